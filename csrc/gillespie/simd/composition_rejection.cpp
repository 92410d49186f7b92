// Composition and rejection (Slepoy, Thompson, Plimpton 2008): the direct method whose choice of a reaction
// costs the same for ten reactions as for a million.
//
// The innermost loop is the one over the reactions that the fired one affects: each gets its new propensity,
// and moves between groups if a power of two lies between the old and the new. That loop limits dense
// networks; sparse ones wait for the few cache lines of an event, which are anywhere.
#include "gillespie/simd/groups.hpp"
#include "gillespie/simd/walk.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

template <bool kPlain>
struct CompositionRejection {
  static constexpr bool kPlainRates = kPlain, kOwnRejection = false;
  const Model& m;
  const double* x;
  Groups groups;
  bool good = true;

  CompositionRejection(const Model& model, const Walk& w)
      : m(model), x(w.x), groups(w.work, model.reactions) {
    for (int64_t r = 0; r < m.reactions; ++r) groups.weight[r] = checked(r);
    groups.rebuild();
  }
  double checked(int64_t r) {
    const double a = propensity_of<kPlain>(m, r, x);
    good &= a >= 0 && a <= DBL_MAX;
    return a;
  }
  bool ready() {
    groups.look_at_peak();
    return groups.total > 0 && groups.total <= DBL_MAX && good;
  }
  bool absorbed() const { return groups.empty() && good; }
  double next(Stream& stream, double t) const { return t + stream.exponential() / groups.total; }
  int64_t choose(Stream& stream, double) const {
    double height;
    return groups.pick(stream, height);
  }
  void reject(int64_t, double, Stream&) {}
  void update(int64_t fired, double, Stream&) {
    for (int32_t i = m.affected_begin[fired]; i < m.affected_begin[fired + 1]; ++i)
      groups.set(m.affected[i], checked(m.affected[i]));
  }
};

}  // namespace

Status run_composition_rejection(const Model& m, Walk& w, int64_t budget) {
  return m.plain ? walk_on<CompositionRejection<true>>(m, w, budget)
                 : walk_on<CompositionRejection<false>>(m, w, budget);
}

}  // namespace kxfast::gillespie::KXFAST_ISA
