// Propensities of one reaction: the short form of up to two reactants, the product of factors, the
// expression; of one that depends on the time an upper bound until the end of the window. Everything is in an
// unnamed namespace: each instruction set has its own copy.
#pragma once

#include "gillespie/simd/interval.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

inline double second_order(const Model& m, int64_t r, const double* x) {
  return m.rate[r] * x[m.one[r]] * (x[m.other[r]] - m.less[r]);
}

inline double any_order(const Model& m, int64_t r, const double* x) {
  const int32_t steps = m.program_begin[r], steps_end = m.program_begin[r + 1];
  if (steps != steps_end) {
    if (m.timed && m.is_timed[r])
      return range_of(m.program + steps, m.program + steps_end, x, x, m.state + 2).high;
    return evaluate(m.program + steps, m.program + steps_end, x);
  }
  double a = second_order(m, r, x);
  for (int32_t f = m.factor_begin[r]; f < m.factor_begin[r + 1]; ++f)
    a *= (x[m.factors[f].species] - m.factors[f].less) / m.factors[f].over;
  return a;
}

// What a propensity that depends on the time is at the time t.
inline double value_at(const Model& m, int64_t r, double* x, double t) {
  double& now = x[m.state + 2];
  const double window = now;
  now = t;
  const double a = evaluate(m.program + m.program_begin[r], m.program + m.program_begin[r + 1], x);
  now = window;
  return a;
}

template <bool kPlain>
inline double propensity_of(const Model& m, int64_t r, const double* x) {
  return kPlain ? second_order(m, r, x) : any_order(m, r, x);
}

}  // namespace
}  // namespace kxfast::gillespie::KXFAST_ISA
