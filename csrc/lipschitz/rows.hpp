// A matrix in blocks of rows, and lengths of vectors.
//
// At most 32 blocks of rows, of at least 128 KB, are the tasks, so a small matrix never wakes a thread; each
// adds to a row of its own and the rows are summed in block order: the result does not depend on the number
// of threads. Blocks of 128 KB whatever the size lost: a matrix of 16 MB then had 2 MB of rows to clear and
// to sum for each read.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/threads.hpp"
#include "core/workspace.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {

// Squares are summed in double: those of a float neither overflow nor vanish there.
template <class T>
double squares(const T* z, int64_t n) {
  double sum[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t k = 0; k < 8; ++k) sum[k] += static_cast<double>(z[i + k]) * static_cast<double>(z[i + k]);
  for (; i < n; ++i) sum[0] += static_cast<double>(z[i]) * static_cast<double>(z[i]);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

template <class T>
T length(const T* z, int64_t n) {
  return static_cast<T>(std::sqrt(squares(z, n)));
}

template <class T>
void divide(T* z, int64_t n, T by) {
  for (int64_t i = 0; i < n; ++i) z[i] /= by;
}

// Makes the length of z 1, unless it is below `least`, and returns what it was: in pieces that threads share.
template <class T>
T normalize(T* z, int64_t n, T least) {
  constexpr int64_t kPiece = 1 << 13;
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  Buffer<double> sums(static_cast<size_t>(pieces));
  const auto sum = [&](int64_t i) {
    sums[static_cast<size_t>(i)] = squares(z + i * kPiece, std::min(kPiece, n - i * kPiece));
  };
  parallel_for(pieces, sum);
  double all = 0;
  for (const double each : sums) all += each;
  const T size = static_cast<T>(std::sqrt(all)), by = std::max(size, least);
  const auto task = [&](int64_t i) { divide(z + i * kPiece, std::min(kPiece, n - i * kPiece), by); };
  parallel_for(pieces, task);
  return size;
}

// out = a x + b y (a x where y is null; out may be null), and the sum of its squares: in pieces that threads
// share.
template <class T>
double mixed(const T* x, T a, const T* y, T b, int64_t n, T* out) {
  const auto part = KXFAST_PICK(double (*)(const T*, T, const T*, T, int64_t, T*), mix);
  constexpr int64_t kPiece = 1 << 15;
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  if (pieces <= 1) return part(x, a, y, b, n, out);
  Buffer<double> sums(static_cast<size_t>(pieces));
  const auto task = [&](int64_t i) {
    const int64_t at = i * kPiece;
    sums[static_cast<size_t>(i)] =
        part(x + at, a, y ? y + at : nullptr, b, std::min(kPiece, n - at), out ? out + at : nullptr);
  };
  parallel_for(pieces, task);
  double sum = 0;
  for (const double each : sums) sum += each;
  return sum;
}

template <class T, class V>
using Product = void (*)(const T*, int64_t, int64_t, const V*, V*);
template <class T, class V>
using Both = void (*)(const T*, int64_t, int64_t, const V*, const V*, V*, V*);

// W of type T in blocks of rows, beside vectors of type V.
template <class T, class V>
class Blocks {
 public:
  Blocks(const T* w, int64_t rows, int64_t cols, int threads)
      : w_(w), rows_(rows), cols_(cols), threads_(threads) {
    constexpr int64_t kBytes = 128 << 10, kMost = 32;
    const int64_t least =
        std::max((rows + kMost - 1) / kMost, kBytes / (cols * static_cast<int64_t>(sizeof(T))));
    height_ = std::max<int64_t>(4, (least + 3) / 4 * 4);
    count_ = (rows + height_ - 1) / height_;
  }

  void times(const V* v, V* u) const {
    const auto product = KXFAST_PICK(Plain, rows_times_vector);
    each([&](const T* w, int64_t height, int64_t row, int64_t) { product(w, height, cols_, v, u + row); });
  }

  // t = W' u
  void transposed(const V* u, V* t) const {
    const auto product = KXFAST_PICK(Plain, add_weighted_rows);
    Buffer<V> parts = parts_for(cols_);
    each([&](const T* w, int64_t height, int64_t row, int64_t b) {
      V* part = count_ > 1 ? parts.data() + b * cols_ : t;
      std::fill(part, part + cols_, V{0});
      product(w, height, cols_, u + row, part);
    });
    sum(parts, cols_, t);
  }

  // u = W v - before (nothing if null), t = W' u for each of `many` vectors, which follow one another; rows
  // are in the cache for all but the first of them.
  void there_and_back(const V* v, const V* before, V* u, V* t, int64_t many = 1) const {
    const auto product = KXFAST_PICK(Fused, rows_and_back);
    const int64_t width = many * cols_;
    Buffer<V> parts = parts_for(width);
    each([&](const T* w, int64_t height, int64_t row, int64_t b) {
      V* part = count_ > 1 ? parts.data() + b * width : t;
      std::fill(part, part + width, V{0});
      const int64_t step = many > 1 ? 4 : height;
      for (int64_t i = 0; i < height; i += step)
        for (int64_t k = 0; k < many; ++k) {
          const int64_t at = k * rows_ + row + i;
          product(w + i * cols_, std::min(step, height - i), cols_, v + k * cols_,
                  before ? before + at : nullptr, u + at, part + k * cols_);
        }
    });
    sum(parts, width, t);
  }

 private:
  using Plain = Product<T, V>;
  using Fused = Both<T, V>;

  template <class Body>
  void each(Body&& body) const {
    const auto task = [&](int64_t b) {
      const int64_t row = b * height_;
      body(w_ + row * cols_, std::min(height_, rows_ - row), row, b);
    };
    parallel_for(count_, task, threads_);
  }
  // One block alone adds to the result.
  Buffer<V> parts_for(int64_t width) const {
    return Buffer<V>(static_cast<size_t>(count_ > 1 ? count_ * width : 0));
  }
  void sum(const Buffer<V>& parts, int64_t width, V* t) const {
    if (count_ == 1) return;
    constexpr int64_t kColumns = 1024;
    const auto task = [&](int64_t c) {
      const int64_t begin = c * kColumns, end = std::min(width, begin + kColumns);
      const V* part = parts.data();
      std::copy(part + begin, part + end, t + begin);
      for (int64_t b = 1; b < count_; ++b)
        for (int64_t j = begin; j < end; ++j) t[j] += part[b * width + j];
    };
    parallel_for((width + kColumns - 1) / kColumns, task, threads_);
  }

  const T* w_;
  int64_t rows_, cols_, height_, count_;
  int threads_;
};

}  // namespace kxfast::lipschitz
