// The rejection-based method (Thanh, Priami, Zunino 2014) with composition and rejection below it: candidates
// come at the rate of upper bounds of the propensities, which hold as long as every count stays between two
// bounds of its own, and a candidate is kept with probability propensity / bound.
//
// Bounds are a tenth to either side, 4 below 25, and [0, 0] at 0: a species that is not there must not make
// all of its partners' reactions look possible. Nothing is computed anew until a count leaves its bounds;
// then the reactions that read this species are (the innermost loop), and those of a hub, hundreds of them,
// once in thousands of events. A lower bound spares most candidates the propensity itself. Candidates that
// are all rejected, 32 in a row, make the bounds tight, so that an end at which nothing can fire is found.
// The bounds of an expression are proven by interval arithmetic; where that finds none the bound is the
// propensity itself, computed after each event that affects it. What limits it are the cache lines of an
// event: a dozen, anywhere. Networks whose counts are 0 to 3 break bounds at each event and are faster by
// other methods.
#include "gillespie/simd/groups.hpp"
#include "gillespie/simd/interval.hpp"
#include "gillespie/simd/walk.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

constexpr int kPatience = 32;

template <bool kPlain>
struct Rssa {
  static constexpr bool kPlainRates = kPlain, kOwnRejection = true;
  const Model& m;
  Walk& w;
  const double* x;
  Groups groups;  // of the upper bounds
  double *lower, *low, *high;
  int32_t* exact;  // whether a reaction's bounds are its propensity
  int64_t exacts = 0;
  int rejections = 0;
  bool good = true, tight = false;

  Rssa(const Model& model, Walk& walk) : m(model), w(walk), x(walk.x), groups(walk.work, model.reactions) {
    const int64_t room = 16 * blocks_of_16(m.reactions);
    lower = w.work + 2 * room;
    exact = reinterpret_cast<int32_t*>(lower + room);
    low = lower + 2 * room;
    high = low + m.state + kBesidesState;
    for (int64_t r = 0; r < m.reactions; ++r) exact[r] = 0;
    for (int64_t s = m.species; s < m.state + kBesidesState; ++s) low[s] = high[s] = x[s];
    bound_all();
  }

  void bound_all() {
    for (int64_t s = 0; s < m.species; ++s) bound(s);
    for (int64_t r = 0; r < m.reactions; ++r) groups.weight[r] = bounds_of(r);
    groups.rebuild();
  }
  void bound(int64_t s) {
    const double d = tight || x[s] == 0 ? 0 : x[s] < 25 ? 4 : std::floor(0.1 * x[s]);
    low[s] = x[s] > d ? x[s] - d : 0;
    high[s] = x[s] + d;
  }
  // Sets the lower bound and returns the upper one.
  double bounds_of(int64_t r) {
    if (kPlain || m.program_begin[r] == m.program_begin[r + 1]) {
      const double least = propensity_of<kPlain>(m, r, low);
      lower[r] = least > 0 ? least : 0;
      return propensity_of<kPlain>(m, r, high);
    }
    const Range range =
        range_of(m.program + m.program_begin[r], m.program + m.program_begin[r + 1], low, high, m.state + 2);
    const int32_t known = range.low >= 0 && range.high <= DBL_MAX;
    exacts += (1 - known) - exact[r];
    exact[r] = 1 - known;
    lower[r] = range.low;
    return known ? range.high : exactly(r);
  }
  double exactly(int64_t r) {
    const double a = propensity_of<kPlain>(m, r, x);
    good &= a >= 0 && a <= DBL_MAX;
    lower[r] = m.timed && m.is_timed[r] ? 0 : a;  // a bound where it depends on the time
    return a;
  }

  bool ready() {
    groups.look_at_peak();
    if (__builtin_expect(rejections > kPatience || !(groups.total <= DBL_MAX), 0)) {
      rejections = 0;
      tight = true;
      bound_all();
      tight = false;
    }
    return groups.total > 0 && groups.total <= DBL_MAX && good;
  }
  bool absorbed() const { return groups.empty() && good; }
  double next(Stream& stream, double t) const { return t + stream.exponential() / groups.total; }
  int64_t choose(Stream& stream, double now) {
    double height;
    const int64_t r = groups.pick(stream, height);
    const bool timed = !kPlain && m.timed && m.is_timed[r];
    if (height < lower[r] || height < (timed ? value_at(m, r, w.x, now) : propensity_of<kPlain>(m, r, x))) {
      rejections = 0;
      return r;
    }
    ++rejections;
    return kRejected;
  }
  void reject(int64_t, double, Stream&) {}
  void update(int64_t fired, double, Stream&) {
    for (int64_t c = fired * m.width; c < (fired + 1) * m.width; ++c) {
      const int32_t s = m.change_species[c];
      if (x[s] >= low[s] && x[s] <= high[s]) continue;
      if (s >= m.species) break;  // the row is filled up from here
      bound(s);
      const int32_t end = m.reader_begin[s + 1];
      w.looked += end - m.reader_begin[s];
      for (int32_t i = m.reader_begin[s]; i < end; ++i) groups.set(m.readers[i], bounds_of(m.readers[i]));
    }
    if (!kPlain && exacts) update_exact(fired);
  }
  void update_exact(int64_t fired) {
    for (int32_t i = m.affected_begin[fired]; i < m.affected_begin[fired + 1]; ++i)
      if (exact[m.affected[i]]) {
        ++w.looked;
        groups.set(m.affected[i], exactly(m.affected[i]));
      }
  }
};

}  // namespace

Status run_rssa(const Model& m, Walk& w, int64_t budget) {
  return m.plain ? walk_on<Rssa<true>>(m, w, budget) : walk_on<Rssa<false>>(m, w, budget);
}

}  // namespace kxfast::gillespie::KXFAST_ISA
