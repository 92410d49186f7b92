// Dense power iteration with n + 1 reads of W for n steps.
//
// Lengths are scalars, so W' u of the next step can be taken from W v before it is normalised: one read of W
// yields u = W v and t = W' u, and sigma = u' W v is the length of W v, found on the way. At most 32 blocks
// of rows, of at least 128 KB, are the tasks, so a small matrix never wakes a thread; each adds to a row of
// its own and the rows are summed in block order: the result does not depend on the number of threads. Blocks
// of 128 KB whatever the size lost: a matrix of 16 MB then had 2 MB of rows to clear and to sum for each
// read.
#include <algorithm>
#include <cmath>

#include "core/threads.hpp"
#include "core/workspace.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {
namespace {

// Lengths are summed in double: squares of a float neither overflow nor vanish there.
template <class T>
T length(const T* z, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(z[i]) * static_cast<double>(z[i]);
  return static_cast<T>(std::sqrt(sum));
}

template <class T>
void divide(T* z, int64_t n, T by) {
  for (int64_t i = 0; i < n; ++i) z[i] /= by;
}

template <class T>
using Product = void (*)(const T*, int64_t, int64_t, const T*, T*);
template <class T>
using Both = void (*)(const T*, int64_t, int64_t, const T*, T*, T*);

// W in blocks of rows.
template <class T>
class Blocks {
 public:
  Blocks(const T* w, int64_t rows, int64_t cols, int threads)
      : w_(w), rows_(rows), cols_(cols), threads_(threads) {
    constexpr int64_t kBytes = 128 << 10, kMost = 32;
    const int64_t least =
        std::max((rows + kMost - 1) / kMost, kBytes / (cols * static_cast<int64_t>(sizeof(T))));
    height_ = std::max<int64_t>(4, (least + 3) / 4 * 4);
    count_ = (rows + height_ - 1) / height_;
    parts_ = Buffer<T>(static_cast<size_t>(count_ * cols));
  }

  void times(const T* v, T* u) const {
    const auto product = KXFAST_PICK(Product<T>, rows_times_vector);
    each([&](const T* w, int64_t height, int64_t row, T*) { product(w, height, cols_, v, u + row); });
  }

  // t = W' u
  void transposed(const T* u, T* t) {
    const auto product = KXFAST_PICK(Product<T>, add_weighted_rows);
    each([&](const T* w, int64_t height, int64_t row, T* part) {
      std::fill(part, part + cols_, T{0});
      product(w, height, cols_, u + row, part);
    });
    sum(t);
  }

  // u = W v, t = W' u
  void there_and_back(const T* v, T* u, T* t) {
    const auto product = KXFAST_PICK(Both<T>, rows_and_back);
    each([&](const T* w, int64_t height, int64_t row, T* part) {
      std::fill(part, part + cols_, T{0});
      product(w, height, cols_, v, u + row, part);
    });
    sum(t);
  }

 private:
  template <class Body>
  void each(Body&& body) const {
    const auto task = [&](int64_t b) {
      const int64_t row = b * height_;
      T* part = const_cast<T*>(parts_.data()) + b * cols_;
      body(w_ + row * cols_, std::min(height_, rows_ - row), row, part);
    };
    parallel_for(count_, task, threads_);
  }
  void sum(T* t) const {
    constexpr int64_t kColumns = 1024;
    const auto task = [&](int64_t c) {
      const int64_t begin = c * kColumns, end = std::min(cols_, begin + kColumns);
      const T* part = parts_.data();
      std::copy(part + begin, part + end, t + begin);
      for (int64_t b = 1; b < count_; ++b)
        for (int64_t j = begin; j < end; ++j) t[j] += part[b * cols_ + j];
    };
    parallel_for((cols_ + kColumns - 1) / kColumns, task, count_ > 1 ? threads_ : 1);
  }

  const T* w_;
  int64_t rows_, cols_, height_, count_;
  int threads_;
  Buffer<T> parts_;
};

}  // namespace

template <class T>
T power_iteration(const T* w, int64_t rows, int64_t cols, T* u, T* v, int64_t n_iter, T eps, int threads) {
  if (rows == 0 || cols == 0) return 0;
  Blocks<T> blocks(w, rows, cols, threads);
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
  for (int64_t step = 1; step < n_iter; ++step) {
    blocks.there_and_back(v, u, next.data());
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

template float power_iteration(const float*, int64_t, int64_t, float*, float*, int64_t, float, int);
template double power_iteration(const double*, int64_t, int64_t, double*, double*, int64_t, double, int);

}  // namespace kxfast::lipschitz
