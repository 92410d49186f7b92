// Cholesky factorisation in place, real or complex Hermitian.
#pragma once

#include "core/job.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {

// Replaces the upper triangle of M by R with R^H R = M; false, with M destroyed, where a pivot is not
// positive or the job stops.
bool cholesky(Planes m, int64_t n, Job& job);

}  // namespace kxfast::lipschitz
