// The direct method: waiting time Exp(a0), reaction j with probability a_j / a0, a stretch of events at a
// time.
//
// Layout: counts and propensities are doubles in flat arrays (kernels.hpp). Small networks compute every
// propensity anew after each event, summing as they go; the reaction is the number of cumulative sums at most
// u a0, which needs no branch that could be predicted wrongly. Larger ones update the propensities that the
// fired reaction affects and keep sums over blocks of 16 and of 256 reactions, so that a choice walks down
// three short rows. Differences drift: the sums are made anew at the start of a stretch, when a0 has fallen
// to a millionth of its peak, and when a choice lands on a propensity of 0. The innermost loop is the one
// over reactions (small) or over affected reactions (large). Small networks are limited by latency, since
// each event waits for the counts of the one before, and from ten reactions on by loads, six for a
// propensity. All arithmetic is in one written order, so every instruction set gives the same bits.
//
// Tried and lost: four interleaved cumulative sums, a quarter of the reactions each (5 to 10 % faster at 16
// reactions, 10 to 40 % slower at 5 to 18); updates along the dependency graph at 12 to 18 reactions (0 to
// 25 % slower); loops unrolled for 12 to 18 reactions (no difference). A free exponential would save a sixth
// of an event at two reactions and a tenth at twelve: that is all a ziggurat could win.
#include <cfloat>
#include <cmath>

#include "gillespie/simd/propensity.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

// kReactions is the number of reactions, or 0 if it is known at run time only.
template <bool kPlain, int kReactions>
struct Recompute {
  const Model& m;
  const double* x;
  double* sums;
  bool good = true;  // an expression may be negative or not a number, which a sum does not always show

  Recompute(const Model& model, const Walk& w) : m(model), x(w.x), sums(w.work) {}
  int64_t count() const { return kReactions ? kReactions : m.reactions; }

  double total() {
    double sum = 0;
    for (int64_t r = 0; r < count(); ++r) {
      const double a = propensity_of<kPlain>(m, r, x);
      if (!kPlain) good &= a >= 0;
      sums[r] = sum += a;
    }
    return sum;
  }
  int64_t choose(double u, double total) {
    const double target = u * total;
    int64_t j = 0;
    for (int64_t r = 0; r < count(); ++r) j += sums[r] <= target;
    // Only a subnormal total rounds u a0 up to a0; then the last reaction that can fire is meant.
    if (__builtin_expect(j == count(), 0))
      for (--j; j > 0 && !(sums[j] > sums[j - 1]);) --j;
    return j;
  }
  void update(int64_t) {}
};

template <bool kPlain>
struct SumTree {
  const Model& m;
  const double* x;
  double *a, *blocks, *groups;
  int64_t n_blocks, n_groups;
  double peak = 0;
  bool good = true;

  SumTree(const Model& model, const Walk& w) : m(model), x(w.x), a(w.work) {
    n_blocks = blocks_of_16(m.reactions);
    n_groups = blocks_of_16(n_blocks);
    blocks = a + 16 * n_blocks;
    groups = blocks + 16 * n_groups;
    for (int64_t r = 0; r < m.reactions; ++r) good &= (a[r] = propensity_of<kPlain>(m, r, x)) >= 0;
    for (int64_t r = m.reactions; r < 16 * n_blocks; ++r) a[r] = 0;
    for (int64_t b = n_blocks; b < 16 * n_groups; ++b) blocks[b] = 0;
    rebuild();
  }

  static double sum16(const double* p) {
    double sum = 0;
    for (int i = 0; i < 16; ++i) sum += p[i];
    return sum;
  }
  void rebuild() {
    for (int64_t b = 0; b < n_blocks; ++b) blocks[b] = sum16(a + 16 * b);
    for (int64_t g = 0; g < n_groups; ++g) groups[g] = sum16(blocks + 16 * g);
    peak = sum();
  }
  double sum() const {
    double all = 0;
    for (int64_t g = 0; g < n_groups; ++g) all += groups[g];
    return all;
  }
  double total() {
    double all = sum();
    if (all > peak) peak = all;
    if (__builtin_expect(all < 1e-6 * peak, 0)) {
      rebuild();
      all = sum();
    }
    return all;
  }
  int64_t find(double target) const {
    int64_t g = 0;
    while (g < n_groups - 1 && target >= groups[g]) target -= groups[g++];
    int64_t b = 16 * g;
    const int64_t last_block = b + 15 < n_blocks ? b + 15 : n_blocks - 1;
    while (b < last_block && target >= blocks[b]) target -= blocks[b++];
    int64_t r = 16 * b;
    for (const int64_t last = r + 15; r < last && target >= a[r];) target -= a[r++];
    return r;
  }
  int64_t choose(double u, double total) {
    int64_t j = find(u * total);
    if (__builtin_expect(j < m.reactions && a[j] > 0, 1)) return j;
    rebuild();
    const double fresh = sum();
    if (!(fresh > 0)) return -1;  // nothing can fire: the sum was what rounding had left
    j = find(u * fresh);
    while (j >= m.reactions || !(a[j] > 0)) j = j > 0 ? j - 1 : m.reactions - 1;
    return j;
  }
  void update(int64_t fired) {
    for (int32_t i = m.affected_begin[fired]; i < m.affected_begin[fired + 1]; ++i) {
      const int32_t r = m.affected[i];
      const double now = propensity_of<kPlain>(m, r, x), change = now - a[r];
      if (!kPlain) good &= now >= 0;
      a[r] = now;
      blocks[r >> 4] += change;
      groups[r >> 8] += change;
    }
  }
};

void sample_before(const Model& m, Walk& w, double next) {
  for (; w.sample < w.samples && w.grid[w.sample] < next; ++w.sample) {
    int64_t* row = w.out + w.sample * m.species;
    for (int64_t s = 0; s < m.species; ++s) row[s] = static_cast<int64_t>(w.x[s]);
  }
}

void add_area(const Model& m, Walk& w, double from, double to) {
  const double weight = to - (from > w.window ? from : w.window);
  if (!(weight > 0)) return;
  for (int64_t s = 0; s < m.species; ++s) {
    const double d = w.x[s] - w.x0[s];
    w.area[s] += weight * d;
    w.area2[s] += weight * d * d;
  }
}

Status finish(const Model& m, Walk& w, double t, bool absorbed) {
  if (w.area) add_area(m, w, t, w.end);
  sample_before(m, w, HUGE_VAL);
  w.t = t;
  w.absorbed = absorbed;
  return Status::finished;
}

Status bad_propensity(const Model& m, Walk& w, double t) {
  w.t = t;
  w.culprit = -1;  // unless one is found below, each is finite and only the sum is not
  w.value = HUGE_VAL;
  for (int64_t r = m.reactions; r-- > 0;) {
    const double a = any_order(m, r, w.x);
    if (!(a >= 0 && a <= DBL_MAX)) w.culprit = r, w.value = a;
  }
  return Status::bad_propensity;
}

bool counts_are_good(const Model& m, Walk& w) {
  for (int64_t s = 0; s < m.species; ++s)
    if (w.x[s] < 0) return w.culprit = s, w.value = w.x[s], false;
  return true;
}

template <class Chooser>
Status walk_on(const Model& m, Walk& w, int64_t budget) {
  Chooser chooser(m, w);
  Stream stream = *w.stream;
  double t = w.t;
  double* const x = w.x;
  double next_sample = w.sample < w.samples ? w.grid[w.sample] : HUGE_VAL;
  for (int64_t event = 0; event < budget; ++event) {
    const double total = chooser.total();
    if (__builtin_expect(!(total > 0 && total <= DBL_MAX && chooser.good), 0))
      return total == 0 && chooser.good ? finish(m, w, t, true) : bad_propensity(m, w, t);
    const double next = t + stream.exponential() / total;
    if (__builtin_expect(next > next_sample, 0)) {
      sample_before(m, w, next);
      next_sample = w.sample < w.samples ? w.grid[w.sample] : HUGE_VAL;
    }
    if (__builtin_expect(next > w.end, 0)) return finish(m, w, t, false);
    const int64_t j = chooser.choose(stream.uniform(), total);
    if (__builtin_expect(j < 0, 0)) return finish(m, w, t, true);
    if (w.area) add_area(m, w, t, next);
    t = next;
    ++w.fired[j];
    if (w.log_time) w.log_time[event] = t, w.log_reaction[event] = static_cast<int32_t>(j);
    ++w.events;
    for (int64_t c = j * m.width; c < (j + 1) * m.width; ++c) x[m.change_species[c]] += m.change_by[c];
    if (m.checked && !counts_are_good(m, w)) return w.t = t, Status::negative_count;
    chooser.update(j);
  }
  *w.stream = stream;
  w.t = t;
  return Status::running;
}

template <int kReactions>
Status walk_small(const Model& m, Walk& w, int64_t budget) {
  return walk_on<Recompute<true, kReactions>>(m, w, budget);
}

}  // namespace

Status run(const Model& m, Walk& w, int64_t budget) {
  if (m.reactions > kRecomputeUpTo)
    return m.plain ? walk_on<SumTree<true>>(m, w, budget) : walk_on<SumTree<false>>(m, w, budget);
  if (!m.plain) return walk_on<Recompute<false, 0>>(m, w, budget);
  switch (m.reactions) {
    case 1:
      return walk_small<1>(m, w, budget);
    case 2:
      return walk_small<2>(m, w, budget);
    case 3:
      return walk_small<3>(m, w, budget);
    case 4:
      return walk_small<4>(m, w, budget);
    case 5:
      return walk_small<5>(m, w, budget);
    case 6:
      return walk_small<6>(m, w, budget);
    default:
      return walk_small<0>(m, w, budget);
  }
}

}  // namespace kxfast::gillespie::KXFAST_ISA
