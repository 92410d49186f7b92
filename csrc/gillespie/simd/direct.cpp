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
#include "gillespie/simd/walk.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

// kReactions is the number of reactions, or 0 if it is known at run time only.
template <bool kPlain, int kReactions>
struct Recompute {
  static constexpr bool kPlainRates = kPlain, kOwnRejection = false;
  const Model& m;
  const double* x;
  double* sums;
  double sum = 0;
  bool good = true;  // an expression may be negative or not a number, which a sum does not always show

  Recompute(const Model& model, const Walk& w) : m(model), x(w.x), sums(w.work) {}
  int64_t count() const { return kReactions ? kReactions : m.reactions; }

  bool ready() {
    sum = 0;
    for (int64_t r = 0; r < count(); ++r) {
      const double a = propensity_of<kPlain>(m, r, x);
      if (!kPlain) good &= a >= 0;
      sums[r] = sum += a;
    }
    return sum > 0 && sum <= DBL_MAX && good;
  }
  bool absorbed() const { return sum == 0 && good; }
  double next(Stream& stream, double t) const { return t + stream.exponential() / sum; }
  int64_t choose(Stream& stream, double) const {
    const double target = stream.uniform() * sum;
    int64_t j = 0;
    for (int64_t r = 0; r < count(); ++r) j += sums[r] <= target;
    // Only a subnormal total rounds u a0 up to a0; then the last reaction that can fire is meant.
    if (__builtin_expect(j == count(), 0))
      for (--j; j > 0 && !(sums[j] > sums[j - 1]);) --j;
    return j;
  }
  void reject(int64_t, double, Stream&) {}
  void update(int64_t, double, Stream&) {}
};

template <bool kPlain>
struct SumTree {
  static constexpr bool kPlainRates = kPlain, kOwnRejection = false;
  const Model& m;
  const double* x;
  double *a, *blocks, *groups;
  int64_t n_blocks, n_groups;
  double peak = 0, all = 0;
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
    double found = 0;
    for (int64_t g = 0; g < n_groups; ++g) found += groups[g];
    return found;
  }
  bool ready() {
    all = sum();
    if (all > peak) peak = all;
    if (__builtin_expect(all < 1e-6 * peak, 0)) {
      rebuild();
      all = sum();
    }
    return all > 0 && all <= DBL_MAX && good;
  }
  bool absorbed() const { return all == 0 && good; }
  double next(Stream& stream, double t) const { return t + stream.exponential() / all; }
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
  int64_t choose(Stream& stream, double) {
    const double u = stream.uniform();
    int64_t j = find(u * all);
    if (__builtin_expect(j < m.reactions && a[j] > 0, 1)) return j;
    rebuild();
    const double fresh = sum();
    if (!(fresh > 0)) return kNone;  // nothing can fire: the sum was what rounding had left
    j = find(u * fresh);
    while (j >= m.reactions || !(a[j] > 0)) j = j > 0 ? j - 1 : m.reactions - 1;
    return j;
  }
  void reject(int64_t, double, Stream&) {}
  void update(int64_t fired, double, Stream&) {
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

template <int kReactions>
Status walk_small(const Model& m, Walk& w, int64_t budget) {
  return walk_on<Recompute<true, kReactions>>(m, w, budget);
}

}  // namespace

Status run_direct(const Model& m, Walk& w, int64_t budget) {
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
