// The value of a rate expression. Everything is in an unnamed namespace: each instruction set has its own
// copy.
#pragma once

#include <cmath>

#include "gillespie/kernels.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

inline double evaluate(const Instruction* step, const Instruction* end, const double* x) {
  double stack[kMaxDepth];
  double* top = stack - 1;
  for (; step != end; ++step) {
    const int32_t op = step->op;
    if (op >= kAdd && op != kNegate && (op < kExp || op > kAbs) && !(op >= kNot && op <= kCos))
      top -= op == kIf ? 2 : 1;
    switch (op) {
      case kNumber:
        *++top = step->number;
        break;
      case kSpecies:
        *++top = x[step->species];
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
      default:
        *top = *top != 0 ? top[1] : top[2];
        break;
    }
  }
  return *top;
}

}  // namespace
}  // namespace kxfast::gillespie::KXFAST_ISA
