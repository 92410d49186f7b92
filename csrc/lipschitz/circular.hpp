// The norm of a convolution on a torus.
#pragma once

#include <vector>

#include "core/job.hpp"
#include "core/random.hpp"

namespace kxfast::lipschitz {

// A kernel of stride 1 on a torus, in polyphase form: places (taps, 2) on it, matrices (groups, taps, rows,
// cols). Where `twist` is 1 what goes once around comes back negated: frequencies are between those of the
// plain torus.
struct Torus {
  int64_t sides[2], twist[2], groups, taps, rows, cols;
  const int64_t* places;
  const double* matrices;
};

struct Peak {
  double value = 0, top = 0;  // the largest norm seen, and what is proven to be above all
  int64_t frequency[2] = {0, 0}, group = 0;
  std::vector<double> vector;  // of the shorter side there (2, n)
};

// Proves an upper end at most (1 + rise) times the largest norm, or (1 + tol) `value` where that is larger;
// infinity where a norm above `limit` is found.
struct Goal {
  double value, tol, rise, limit;
};
Peak circular_norm(const Torus& torus, Goal goal, uint64_t seed, Job& job);

// values.cpp: all singular values on a plain torus, in descending order.
std::vector<double> circular_values(const Torus& torus, Job& job);

}  // namespace kxfast::lipschitz
