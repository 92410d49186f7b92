// One step of power iteration per layer with one read of its weight, then the scaled weight with another.
//
// As in power_iteration.cpp, W'u is taken with the u that is not yet normalised. The second read is of a
// weight that is still in the L2 cache for layers up to a megabyte; for larger ones it, and the write, are
// two thirds of the traffic, which the mode "scale_only" saves.
#include "lipschitz/normalize.hpp"

#include "lipschitz/rows.hpp"

namespace kxfast::lipschitz {

template <class T>
double normalize_step(const T* w, int64_t rows, int64_t cols, T* u, T* v, int64_t n_iter) {
  if (rows == 0 || cols == 0) return 0;
  constexpr T kLeast = static_cast<T>(1e-12);
  const Blocks<T, T> blocks(w, rows, cols, 0);
  if (n_iter == 0) {
    Buffer<T> product(static_cast<size_t>(rows));
    blocks.times(v, product.data());
    double sigma = 0;
    for (int64_t i = 0; i < rows; ++i)
      sigma += static_cast<double>(u[i]) * static_cast<double>(product[static_cast<size_t>(i)]);
    return sigma;
  }
  Buffer<T> next(static_cast<size_t>(cols));
  double sigma = 0;
  for (int64_t step = 0; step < n_iter; ++step) {
    blocks.there_and_back(v, nullptr, u, next.data());
    const T size = std::max(length(u, rows), kLeast), back = length(next.data(), cols);
    sigma = static_cast<double>(back) / static_cast<double>(size);
    for (int64_t i = 0; i < rows; ++i) u[i] /= size;
    const T by = std::max(static_cast<T>(sigma), kLeast) * size;
    for (int64_t j = 0; j < cols; ++j) v[j] = next[static_cast<size_t>(j)] / by;
  }
  return sigma;
}

template <class T>
void scale(const T* w, int64_t size, T factor, T* out) {
  constexpr int64_t kPiece = 1 << 16;
  const auto task = [&](int64_t i) {
    const int64_t begin = i * kPiece, end = std::min(size, begin + kPiece);
    for (int64_t k = begin; k < end; ++k) out[k] = w[k] * factor;
  };
  parallel_for((size + kPiece - 1) / kPiece, task);
}

template double normalize_step(const float*, int64_t, int64_t, float*, float*, int64_t);
template double normalize_step(const double*, int64_t, int64_t, double*, double*, int64_t);
template void scale(const float*, int64_t, float, float*);
template void scale(const double*, int64_t, double, double*);

}  // namespace kxfast::lipschitz
