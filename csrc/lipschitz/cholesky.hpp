// Cholesky factorisation in place, real or complex Hermitian.
#pragma once

#include "core/job.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {

// A stride for n columns that is an odd number of cache lines: rows a power of two apart would fall into few
// sets of the cache.
inline int64_t odd_lines(int64_t n) {
  return ((n + 7) / 8 | 1) * 8;
}

// Replaces the upper triangle of M by R with R^H R = M; false, with M destroyed, where a pivot is not
// positive or the job stops.
bool cholesky(Planes m, int64_t n, Job& job);

}  // namespace kxfast::lipschitz
