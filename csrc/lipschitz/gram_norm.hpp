// Enclosures by way of a Gram matrix.
#pragma once

#include "lipschitz/norms.hpp"

namespace kxfast::lipschitz {

struct Found {
  double top;
  int64_t steps;
};

// A proven upper end of the norm of 2^-exponent A and a vector of the shorter side that is near the leading
// one, so that the norm of its image, less `margin`, is within the width asked for; false where this way
// cannot serve, or would not be faster.
template <class T>
bool norm_by_gram(const T* a, int64_t rows, int64_t cols, int exponent, const Extent& extent, double margin,
                  const Wanted& wanted, const double* start, Stream random, Job& job, double* vector,
                  Found& found);

}  // namespace kxfast::lipschitz
