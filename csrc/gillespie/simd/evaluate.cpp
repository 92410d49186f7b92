// One expression, for callers outside the kernels.
#include "gillespie/simd/propensity.hpp"

namespace kxfast::gillespie::KXFAST_ISA {

double value_of(const Instruction* begin, const Instruction* end, const double* x) {
  return evaluate(begin, end, x);
}

}  // namespace kxfast::gillespie::KXFAST_ISA
