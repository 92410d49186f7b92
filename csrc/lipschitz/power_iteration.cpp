// Dense power iteration: blocks of rows of about 128 KB are the tasks, so a small matrix never wakes a
// thread. Each block adds its part of W' u to a row of its own and the rows are summed in block order: the
// result does not depend on the number of threads.
#include <algorithm>
#include <cmath>

#include "core/threads.hpp"
#include "core/workspace.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {
namespace {

// Norms are summed in double: squares of a float neither overflow nor vanish there.
template <class T>
void normalize(T* z, int64_t n, T eps) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(z[i]) * static_cast<double>(z[i]);
  const T scale = std::max(static_cast<T>(std::sqrt(sum)), eps);
  for (int64_t i = 0; i < n; ++i) z[i] /= scale;
}

template <class T>
using Product = void (*)(const T*, int64_t, int64_t, const T*, T*);

}  // namespace

template <class T>
T power_iteration(const T* w, int64_t rows, int64_t cols, T* u, T* v, int64_t n_iter, T eps, int threads) {
  if (rows == 0 || cols == 0) return 0;
  const auto multiply = KXFAST_PICK(Product<T>, rows_times_vector);
  const auto accumulate = KXFAST_PICK(Product<T>, add_weighted_rows);
  constexpr int64_t kBlockBytes = 128 << 10;
  const int64_t block = std::max<int64_t>(4, kBlockBytes / (cols * static_cast<int64_t>(sizeof(T))) / 4 * 4);
  const int64_t blocks = (rows + block - 1) / block;
  Buffer<T> parts(static_cast<size_t>(blocks * cols)), product(static_cast<size_t>(rows));
  const auto rows_of = [&](int64_t b) { return std::min(block, rows - b * block); };
  const auto apply = [&](T* out) {
    parallel_for(
        blocks, [&](int64_t b) { multiply(w + b * block * cols, rows_of(b), cols, v, out + b * block); },
        threads);
  };
  for (int64_t step = 0; step < n_iter; ++step) {
    parallel_for(
        blocks,
        [&](int64_t b) {
          T* part = parts.data() + b * cols;
          std::fill(part, part + cols, T{0});
          accumulate(w + b * block * cols, rows_of(b), cols, u + b * block, part);
        },
        threads);
    std::copy(parts.data(), parts.data() + cols, v);
    for (int64_t b = 1; b < blocks; ++b)
      for (int64_t j = 0; j < cols; ++j) v[j] += parts[static_cast<size_t>(b * cols + j)];
    normalize(v, cols, eps);
    apply(u);
    normalize(u, rows, eps);
  }
  apply(product.data());
  double sigma = 0;
  for (int64_t i = 0; i < rows; ++i)
    sigma += static_cast<double>(u[i]) * static_cast<double>(product[static_cast<size_t>(i)]);
  return static_cast<T>(sigma);
}

template float power_iteration(const float*, int64_t, int64_t, float*, float*, int64_t, float, int);
template double power_iteration(const double*, int64_t, int64_t, double*, double*, int64_t, double, int);

}  // namespace kxfast::lipschitz
