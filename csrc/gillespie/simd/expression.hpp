// The value of a rate expression. Everything is in an unnamed namespace: each instruction set has its own
// copy.
#pragma once

#include <cmath>

#include "gillespie/kernels.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

// x to a power that is half of a whole number and not 0, for numbers and vectors of them: products in one
// order, and a root. Each step is monotone where x is not negative, and so is the power.
template <class Real, class Root>
inline __attribute__((always_inline)) Real half_power(Real x, double power, Root&& root) {
  auto twice = static_cast<int>(2 * (power < 0 ? -power : power));
  bool none = !(twice & 1);  // no factor yet
  Real result = none ? x : root(x);
  for (twice >>= 1; twice; twice >>= 1, x *= x)
    if (twice & 1) result = none ? x : result * x, none = false;
  return power < 0 ? 1 / result : result;
}
inline double half_power(double x, double power) {
  return half_power(x, power, [](double value) { return std::sqrt(value); });
}

inline double evaluate(const Instruction* step, const Instruction* end, const double* x) {
  double stack[kMaxDepth];
  double* top = stack - 1;
  for (; step != end; ++step) {
    top -= operands(*step) - 1;
    switch (step->op) {
      case kNumber:
        *top = step->number;
        break;
      case kSpecies:
        *top = x[step->species];
        break;
      case kAdd:
        *top += top[1];
        break;
      case kSubtract:
        *top -= top[1];
        break;
      case kMultiply:
        *top *= top[1];
        break;
      case kDivide:
        *top /= top[1];
        break;
      case kPower:
        *top = std::pow(*top, top[1]);
        break;
      case kNegate:
        *top = -*top;
        break;
      case kExp:
        *top = std::exp(*top);
        break;
      case kLog:
        *top = std::log(*top);
        break;
      case kSqrt:
        *top = std::sqrt(*top);
        break;
      case kAbs:
        *top = std::fabs(*top);
        break;
      case kMin:
        *top = top[1] < *top ? top[1] : *top;
        break;
      case kMax:
        *top = top[1] > *top ? top[1] : *top;
        break;
      case kLess:
        *top = *top < top[1];
        break;
      case kLessEqual:
        *top = *top <= top[1];
        break;
      case kEqual:
        *top = *top == top[1];
        break;
      case kAnd:
        *top = *top != 0 && top[1] != 0;
        break;
      case kOr:
        *top = *top != 0 || top[1] != 0;
        break;
      case kNot:
        *top = *top == 0;
        break;
      case kSin:
        *top = std::sin(*top);
        break;
      case kCos:
        *top = std::cos(*top);
        break;
      case kCall:
        *top = function_of(*step)(top);
        break;
      case kHalfPower:
        *top = half_power(*top, step->number);
        break;
      default:
        *top = *top != 0 ? top[1] : top[2];
        break;
    }
  }
  return *top;
}

}  // namespace
}  // namespace kxfast::gillespie::KXFAST_ISA
