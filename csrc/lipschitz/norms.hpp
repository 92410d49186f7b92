// Enclosures of spectral norms.
#pragma once

#include "lipschitz/lanczos.hpp"

namespace kxfast::lipschitz {

struct Ends {
  double lower, upper;
  int64_t steps;
};

// A matrix (rows, cols) and a start (cols or null); u (rows) and v (cols) are set. Ends are NaN where it is
// not finite.
template <class T>
Ends spectral_norm(const T* a, int64_t rows, int64_t cols, const Wanted& wanted, const double* start,
                   Stream random, Job& job, double* u, double* v);

// The ends from u = A x and v = A'A x of a unit vector x, which are normalised: the lower one is |A'u| less a
// margin for its roundings.
Ends finish(double top, double margin, int64_t steps, double* u, double* v, int64_t rows, int64_t cols);

}  // namespace kxfast::lipschitz
