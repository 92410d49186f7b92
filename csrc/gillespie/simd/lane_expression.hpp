// Steps of rate expressions in lanes, with the bits of evaluate(): sums, products, quotients, roots and
// comparisons are those of the processor in every width. Functions of the C library are called lane by lane:
// a logarithm or an exponential of our own would give other bits than the scalar kernel, or cost that kernel
// the library's precision. A power that is half of a whole number, as in Hill functions, needs no library.
//
// A step reads and writes rows of the block, so one dispatch serves all groups of lanes.
#pragma once

#include "gillespie/lanes.hpp"
#include "gillespie/simd/expression.hpp"
#include "gillespie/simd/vectors.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

template <int kGroups, class Body>
KXFAST_INLINE void each_group(const LaneStep& step, const LaneBlock& b, Body&& body) {
  Reals* const x = reinterpret_cast<Reals*>(b.x);
  for (int g = 0; g < kGroups; ++g)
    x[step.to * kGroups + g] =
        body(x[step.a * kGroups + g], x[step.b * kGroups + g], x[step.c * kGroups + g]);
}

template <int kGroups, class Body>
KXFAST_INLINE void each_lane(const LaneStep& step, const LaneBlock& b, Body&& body) {
  constexpr int64_t kRow = int64_t{kGroups} * kLanes;
  for (int64_t l = 0; l < kRow; ++l)
    b.x[step.to * kRow + l] = body(b.x[step.a * kRow + l], b.x[step.b * kRow + l], b.x[step.c * kRow + l]);
}

// Out of line: one copy for each number of groups is enough for steps that call a library.
template <int kGroups>
__attribute__((noinline)) void take_slow_step(const LaneStep& step, const LaneBlock& b) {
  switch (step.op) {
    case kPower:
      return each_lane<kGroups>(step, b, [](double x, double y, double) { return std::pow(x, y); });
    case kExp:
      return each_lane<kGroups>(step, b, [](double x, double, double) { return std::exp(x); });
    case kLog:
      return each_lane<kGroups>(step, b, [](double x, double, double) { return std::log(x); });
    case kSin:
      return each_lane<kGroups>(step, b, [](double x, double, double) { return std::sin(x); });
    case kCos:
      return each_lane<kGroups>(step, b, [](double x, double, double) { return std::cos(x); });
    default:
      const auto function = function_of({kCall, 0, step.number});
      return each_lane<kGroups>(step, b, [=](double x, double y, double z) {
        const double arguments[kCallArguments] = {x, y, z};
        return function(arguments);
      });
  }
}

template <int kGroups>
KXFAST_INLINE void take_step(const LaneStep& step, const LaneBlock& b) {
  switch (step.op) {
    case kAdd:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals) { return x + y; });
    case kSubtract:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals) { return x - y; });
    case kMultiply:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals) { return x * y; });
    case kDivide:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals) { return x / y; });
    case kNegate:
      return each_group<kGroups>(step, b, [](Reals x, Reals, Reals) { return -x; });
    case kSqrt:
      return each_group<kGroups>(step, b, [](Reals x, Reals, Reals) { return root(x); });
    case kAbs:
      return each_group<kGroups>(step, b,
                                 [](Reals x, Reals, Reals) { return as_reals(as_words(x) & ~kSign); });
    case kMin:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals) { return y < x ? y : x; });
    case kMax:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals) { return y > x ? y : x; });
    case kLess:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals) { return x < y ? all(1) : all(0); });
    case kLessEqual:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals) { return x <= y ? all(1) : all(0); });
    case kEqual:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals) { return x == y ? all(1) : all(0); });
    case kAnd:
      return each_group<kGroups>(
          step, b, [](Reals x, Reals y, Reals) { return (x != 0) & (y != 0) ? all(1) : all(0); });
    case kOr:
      return each_group<kGroups>(
          step, b, [](Reals x, Reals y, Reals) { return (x != 0) | (y != 0) ? all(1) : all(0); });
    case kNot:
      return each_group<kGroups>(step, b, [](Reals x, Reals, Reals) { return x == 0 ? all(1) : all(0); });
    case kIf:
      return each_group<kGroups>(step, b, [](Reals x, Reals y, Reals z) { return x != 0 ? y : z; });
    case kHalfPower:
      return each_group<kGroups>(step, b, [&](Reals x, Reals, Reals) {
        return half_power(x, step.number, [](Reals value) { return root(value); });
      });
    default:
      return take_slow_step<kGroups>(step, b);
  }
}

}  // namespace
}  // namespace kxfast::gillespie::KXFAST_ISA
