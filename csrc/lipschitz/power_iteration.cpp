// Dense power iteration with n + 1 reads of W for n steps.
//
// Lengths are scalars, so W' u of the next step can be taken from W v before it is normalised: one read of W
// yields u = W v and t = W' u, and sigma = u' W v is the length of W v, found on the way.
#include <algorithm>
#include <cmath>

#include "lipschitz/rows.hpp"

namespace kxfast::lipschitz {

template <class T>
T power_iteration(const T* w, int64_t rows, int64_t cols, T* u, T* v, int64_t n_iter, T eps, Job& job) {
  if (rows == 0 || cols == 0) return 0;
  const Blocks<T, T> blocks(w, rows, cols, 0);
  if (n_iter == 0) {
    Buffer<T> product(static_cast<size_t>(rows));
    blocks.times(v, product.data());
    double sigma = 0;
    for (int64_t i = 0; i < rows; ++i)
      sigma += static_cast<double>(u[i]) * static_cast<double>(product[static_cast<size_t>(i)]);
    return static_cast<T>(sigma);
  }
  Buffer<T> next(static_cast<size_t>(cols));
  blocks.transposed(u, v);
  divide(v, cols, std::max(length(v, cols), eps));
  for (int64_t step = 1; step < n_iter && job.advance(0); ++step) {
    blocks.there_and_back(v, nullptr, u, next.data());
    const T scale = std::max(length(u, rows), eps);
    std::copy(next.begin(), next.end(), v);
    divide(v, cols, scale);
    divide(v, cols, std::max(length(v, cols), eps));
  }
  blocks.times(v, u);
  const T sigma = length(u, rows), scale = std::max(sigma, eps);
  divide(u, rows, scale);
  return sigma * (sigma / scale);
}

template float power_iteration(const float*, int64_t, int64_t, float*, float*, int64_t, float, Job&);
template double power_iteration(const double*, int64_t, int64_t, double*, double*, int64_t, double, Job&);

}  // namespace kxfast::lipschitz
