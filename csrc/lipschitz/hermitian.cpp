// Lanczos on a Hermitian matrix, without reorthogonalisation: only its largest value is wanted, and copies of
// it do no harm. The product with the matrix, read once, is nearly all of the work.
#include "lipschitz/hermitian.hpp"

#include <algorithm>
#include <cmath>

#include "lipschitz/lanczos.hpp"

namespace kxfast::lipschitz {

Ritz hermitian_lanczos(Planes g, int64_t n, double tol, Stream random, std::vector<double>& vector) {
  const auto times = KXFAST_PICK(void (*)(Planes, int64_t, const double*, double*), hermitian_times);
  std::vector<std::vector<double>> basis(1, std::vector<double>(static_cast<size_t>(2 * n)));
  std::vector<double> diagonal, beside, y(static_cast<size_t>(2 * n));
  random_normal(random, basis[0].data(), 2 * n);
  divide(basis[0].data(), 2 * n, length(basis[0].data(), 2 * n));
  Ritz ritz;
  for (int64_t k = 0, check = 2;; ++k) {
    const std::vector<double>& x = basis.back();
    times(g, n, x.data(), y.data());
    double alpha = 0;
    for (size_t i = 0; i < y.size(); ++i) alpha += x[i] * y[i];
    for (size_t i = 0; i < y.size(); ++i)
      y[i] -= alpha * x[i] + (k ? beside.back() * basis[basis.size() - 2][i] : 0);
    diagonal.push_back(alpha);
    const double beta = length(y.data(), 2 * n);
    const bool last = !(beta > 1e-14 * std::fabs(diagonal[0])) || k > 4 * n + 20;
    if (k >= check || last) {
      check = k + 1 + k / 8;
      ritz = largest_eigenvalue(diagonal, beside);
      const double r = beta * std::fabs(ritz.vector.back());
      const double error = ritz.error > 0 ? std::min(r, r * r / ritz.error) : r;
      if (error <= tol * ritz.value || last) break;
    }
    beside.push_back(beta);
    basis.push_back(y);
    divide(basis.back().data(), 2 * n, beta);
  }
  vector.assign(static_cast<size_t>(2 * n), 0.0);
  for (size_t k = 0; k < ritz.vector.size(); ++k)
    for (size_t i = 0; i < vector.size(); ++i) vector[i] += ritz.vector[k] * basis[k][i];
  return ritz;
}

}  // namespace kxfast::lipschitz
