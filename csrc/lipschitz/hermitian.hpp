// Lanczos on a Hermitian matrix.
#pragma once

#include <vector>

#include "core/random.hpp"
#include "lipschitz/kernels.hpp"
#include "lipschitz/tridiagonal.hpp"

namespace kxfast::lipschitz {

// The largest eigenvalue of G (upper triangle) to a relative `tol`, and its vector (2, n).
Ritz hermitian_lanczos(Planes g, int64_t n, double tol, Stream random, std::vector<double>& vector);

}  // namespace kxfast::lipschitz
