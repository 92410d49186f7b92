// Poisson numbers: below a mean of 10 by going through the cumulative probabilities, from there on by
// transformed rejection (W. Hoermann, Insurance: Mathematics and Economics 12 (1993) 39, algorithm PTRS).
// Everything is in an unnamed namespace: each instruction set has its own copy.
#pragma once

#include <math.h>  // lgamma_r: lgamma has a result that threads share

#include <cmath>

#include "core/random.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

inline double small_poisson(Stream& stream, double mean) {
  constexpr int kMost = 200;  // beyond it the probability is below 2^-1000
  const double u = stream.uniform();
  double p = std::exp(-mean), below = p;
  int k = 0;
  for (; u >= below && k < kMost; below += p) p *= mean / ++k;
  return k;
}

inline double large_poisson(Stream& stream, double mean) {
  const double root = std::sqrt(mean), log_mean = std::log(mean);
  const double b = 0.931 + 2.53 * root, a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), at_once = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const double u = stream.uniform() - 0.5, v = 1 - stream.uniform(), side = 0.5 - std::fabs(u);
    const double k = std::floor((2 * a / side + b) * u + mean + 0.43);
    if (side >= 0.07 && v <= at_once) return k;
    if (!(k >= 0) || (side < 0.013 && v > side)) continue;
    int sign;
    const double log_probability = k * log_mean - mean - lgamma_r(k + 1, &sign);
    if (std::log(v * inverse_alpha / (a / (side * side) + b)) <= log_probability) return k;
  }
}

inline double poisson(Stream& stream, double mean) {
  return mean < 10 ? small_poisson(stream, mean) : large_poisson(stream, mean);
}

}  // namespace
}  // namespace kxfast::gillespie::KXFAST_ISA
