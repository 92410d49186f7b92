// Lanczos on a convolution, and both ends at a vector.
#pragma once

#include "lipschitz/convolution.hpp"
#include "lipschitz/norms.hpp"

namespace kxfast::lipschitz {

struct Found {
  double value, top;
  int64_t steps;
};

// Lanczos from a random input; `v` (pixels, channels) is the vector found. Convolutions are in floats where
// the width asked for allows it.
Found conv_lanczos(const double* weight, const Moves& moves, const Wanted& wanted, uint64_t seed, Job& job,
                   double* v);

// The ends at the vector v (any length), in double; u and v are set. `margin`: roundings of an application.
Ends conv_ends(const double* weight, const Moves& moves, double top, double margin, double* u, double* v);

}  // namespace kxfast::lipschitz
