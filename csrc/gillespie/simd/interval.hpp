// Between which two numbers the value of a rate expression lies while each species stays between two counts.
//
// Interval arithmetic over the steps of evaluate(): rounding is monotone, so the ends of + - * / and sqrt,
// computed with the same operations, hold the computed value itself; exp, log and pow, which need not be
// monotone to the last bit, are made wider by a few units. An end that is not a number says that nothing is
// known.
#pragma once

#include <cmath>

#include "gillespie/simd/expression.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

struct Range {
  double low, high;
};
constexpr double kMargin = 0x1p-49;

inline Range unknown() {
  return {-HUGE_VAL, HUGE_VAL};
}
inline Range wider(double low, double high) {
  return {low - std::fabs(low) * kMargin, high + std::fabs(high) * kMargin};
}
inline Range hull(double a, double b, double c, double d) {
  if (!(a == a && b == b && c == c && d == d)) return unknown();
  const double low1 = a < b ? a : b, low2 = c < d ? c : d, high1 = a > b ? a : b, high2 = c > d ? c : d;
  return {low1 < low2 ? low1 : low2, high1 > high2 ? high1 : high2};
}
inline Range times(Range a, Range b) {
  return hull(a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high);
}
inline Range over(Range a, Range b) {
  if (b.low <= 0 && b.high >= 0) return unknown();
  return hull(a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high);
}

// Of a base from 0 on the power is monotone in each operand; of others only squares and the like are known.
inline Range to_power(Range a, Range b) {
  if (a.low > 0 || (a.low == 0 && b.low > 0)) {
    const Range corners = hull(std::pow(a.low, b.low), std::pow(a.low, b.high), std::pow(a.high, b.low),
                               std::pow(a.high, b.high));
    return wider(corners.low, corners.high);
  }
  if (!(b.low == b.high && b.low > 0 && b.low == std::floor(b.low))) return unknown();
  const double low = std::pow(a.low, b.low), high = std::pow(a.high, b.low);
  if (std::fmod(b.low, 2) != 0) return wider(low, high);
  return wider(a.low < 0 && a.high > 0 ? 0 : low < high ? low : high, low > high ? low : high);
}

// The same without a margin: half_power is monotone itself.
inline Range to_half_power(Range a, double power) {
  if (power < 0 && a.low <= 0 && a.high >= 0) return unknown();
  const double low = half_power(a.low, power), high = half_power(a.high, power);
  if (a.low >= 0) return low < high ? Range{low, high} : Range{high, low};
  if (power < 0 || power != std::floor(power)) return unknown();
  if (std::fmod(power, 2) != 0) return {low, high};
  return {a.high > 0 ? 0 : high, low > high ? low : high};
}

// A condition that is surely met, surely not, or neither.
inline Range truth(bool surely, bool surely_not) {
  return {surely ? 1.0 : 0.0, surely_not ? 0.0 : 1.0};
}
inline bool always(Range a) {
  return a.low > 0 || a.high < 0;
}
inline bool never(Range a) {
  return a.low == 0 && a.high == 0;
}
inline Range either(Range condition, Range yes, Range no) {
  if (always(condition)) return yes;
  if (never(condition)) return no;
  return hull(yes.low, yes.high, no.low, no.high);
}

inline Range binary(int32_t op, Range a, Range b) {
  switch (op) {
    case kAdd:
      return {a.low + b.low, a.high + b.high};
    case kSubtract:
      return {a.low - b.high, a.high - b.low};
    case kMultiply:
      return times(a, b);
    case kDivide:
      return over(a, b);
    case kPower:
      return to_power(a, b);
    case kLess:
      return truth(a.high < b.low, a.low >= b.high);
    case kLessEqual:
      return truth(a.high <= b.low, a.low > b.high);
    case kEqual:
      return truth(a.low == a.high && b.low == b.high && a.low == b.low, a.high < b.low || b.high < a.low);
    case kAnd:
      return truth(always(a) && always(b), never(a) || never(b));
    case kOr:
      return truth(always(a) || always(b), never(a) && never(b));
    case kMin:
      return {a.low < b.low ? a.low : b.low, a.high < b.high ? a.high : b.high};
    default:
      return {a.low > b.low ? a.low : b.low, a.high > b.high ? a.high : b.high};
  }
}

// Extremes of sin x are where x / pi - 1/2 is whole.
inline Range sine(Range x, double shift) {
  constexpr double kPi = 3.14159265358979323846, kSlack = 1e-9;
  const double first = (x.low + shift) / kPi - 0.5 - kSlack, last = (x.high + shift) / kPi - 0.5 + kSlack;
  if (!(last - first < 2 && std::fabs(first) < 1e6)) return {-1, 1};
  const double a = std::sin(x.low + shift), b = std::sin(x.high + shift);
  Range found = {(a < b ? a : b) - kSlack, (a > b ? a : b) + kSlack};
  for (double k = std::ceil(first); k <= last; ++k)
    (std::fmod(k, 2) == 0 ? found.high : found.low) = std::fmod(k, 2) == 0 ? 1 : -1;
  return {found.low < -1 ? -1 : found.low, found.high > 1 ? 1 : found.high};
}

inline Range unary(int32_t op, Range a) {
  switch (op) {
    case kNegate:
      return {-a.high, -a.low};
    case kExp:
      return wider(std::exp(a.low), std::exp(a.high));
    case kLog:
      return a.low > 0 ? wider(std::log(a.low), std::log(a.high)) : unknown();
    case kSin:
      return sine(a, 0);
    case kCos:
      return sine(a, 1.57079632679489661923);
    case kNot:
      return truth(never(a), always(a));
    case kSqrt:
      return a.low >= 0 ? Range{std::sqrt(a.low), std::sqrt(a.high)} : unknown();
    default:
      if (a.low >= 0) return a;
      if (a.high <= 0) return {-a.high, -a.low};
      return {0, -a.low > a.high ? -a.low : a.high};
  }
}

inline Range range_of(const Instruction* step, const Instruction* end, const double* low, const double* high,
                      int64_t time) {
  Range stack[kMaxDepth];
  Range* top = stack - 1;
  for (; step != end; ++step) {
    const int32_t op = step->op;
    top -= operands(*step) - 1;
    if (op == kNumber) {
      *top = {step->number, step->number};
    } else if (op == kSpecies) {
      *top = {low[step->species], high[step->species + (step->species == time)]};
    } else if (op == kIf) {
      *top = either(top[0], top[1], top[2]);
    } else if (op == kCall) {
      *top = unknown();
    } else if (op == kHalfPower) {
      *top = to_half_power(*top, step->number);
    } else if (operands(*step) == 1) {
      *top = unary(op, *top);
    } else {
      *top = binary(op, top[0], top[1]);
    }
    if (!(top->low <= top->high)) *top = unknown();
  }
  return *top;
}

}  // namespace
}  // namespace kxfast::gillespie::KXFAST_ISA
