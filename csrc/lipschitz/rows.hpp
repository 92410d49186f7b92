// A matrix in blocks of rows, and lengths of vectors.
//
// At most 32 blocks of rows, of at least 128 KB, are the tasks, so a small matrix never wakes a thread; what
// they add up to does not depend on the number of threads. Blocks of 128 KB whatever the size lost: a matrix
// of 16 MB then had 2 MB of rows to clear and to sum for each read. One row for each of its 32 blocks, summed
// in the end, still was 5 % of a read on one thread: now a thread sums the blocks of a branch in few rows.
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
    const auto task = [&](int64_t b) {
      product(w_ + b * height_ * cols_, height(b), cols_, v, u + b * height_);
    };
    parallel_for(count_, task, threads_);
  }

  // t = W' u
  void transposed(const V* u, V* t) const {
    const auto product = KXFAST_PICK(Plain, add_weighted_rows);
    sum(cols_, t, [&](int64_t b, V* part) {
      product(w_ + b * height_ * cols_, height(b), cols_, u + b * height_, part);
    });
  }

  // u = W v - before (nothing if null), t = W' u for each of `many` vectors, which follow one another; rows
  // are in the cache for all but the first of them.
  void there_and_back(const V* v, const V* before, V* u, V* t, int64_t many = 1) const {
    const auto product = KXFAST_PICK(Fused, rows_and_back);
    sum(many * cols_, t, [&](int64_t b, V* part) {
      const int64_t row = b * height_, rows = height(b), step = many > 1 ? 4 : rows;
      for (int64_t i = 0; i < rows; i += step)
        for (int64_t k = 0; k < many; ++k) {
          const int64_t at = k * rows_ + row + i;
          product(w_ + (row + i) * cols_, std::min(step, rows - i), cols_, v + k * cols_,
                  before ? before + at : nullptr, u + at, part + k * cols_);
        }
    });
  }

 private:
  using Plain = Product<T, V>;
  using Fused = Both<T, V>;

  int64_t height(int64_t b) const { return std::min(height_, rows_ - b * height_); }

  // t = what add(b, part) adds to rows of `width` zeros, for all blocks: a binary tree over their numbers,
  // which is the same for any number of threads. A thread sums a branch of it.
  template <class Add>
  void sum(int64_t width, V* t, Add&& add) const {
    const int threads = count_ > 1 ? free_threads(threads_) : 1;
    int level = 0;  // 2^level blocks are a branch, and four branches or more for each thread
    while (int64_t{1} << level < count_ && (threads == 1 || branches(level + 1) >= 4 * threads)) ++level;
    const int64_t count = branches(level), rows = level + 1;
    const int64_t size = (count * rows - 1) * width;
    V few[kFew];
    Buffer<V> room(size > kFew ? static_cast<size_t>(size) : 0);
    V* const more = size > kFew ? room.data() : few;  // the first row is t
    const auto place = [&](int64_t i) { return i ? more + (i * rows - 1) * width : t; };
    const auto task = [&](int64_t i) {
      branch(i << level, level, width, place(i), more + i * rows * width, add);
    };
    parallel_for(count, task, threads_);
    if (count == 1) return;
    constexpr int64_t kColumns = 1024;
    const auto join = [&](int64_t c) {
      const int64_t begin = c * kColumns, columns = std::min(kColumns, width - begin);
      for (int64_t apart = 1; apart < count; apart *= 2)
        for (int64_t i = 0; i + apart < count; i += 2 * apart)
          add_to(place(i) + begin, place(i + apart) + begin, columns);
    };
    parallel_for((width + kColumns - 1) / kColumns, join, threads_);
  }

  // The sum over 2^level blocks, or those that there are, from `begin` on; `spare` has a row for each level.
  template <class Add>
  void branch(int64_t begin, int level, int64_t width, V* into, V* spare, Add& add) const {
    if (level == 0) {
      std::fill_n(into, width, V{0});
      return add(begin, into);
    }
    const int64_t next = begin + (int64_t{1} << (level - 1));
    branch(begin, level - 1, width, into, spare, add);
    if (next >= count_) return;
    branch(next, level - 1, width, spare, spare + width, add);
    add_to(into, spare, width);
  }

  static void add_to(V* into, const V* from, int64_t n) {
    const auto add = KXFAST_PICK(void (*)(const V*, int64_t, int64_t, const V*, V*), add_weighted_rows);
    const V one{1};
    add(from, 1, n, &one, into);
  }
  int64_t branches(int level) const { return (count_ + (int64_t{1} << level) - 1) >> level; }

  static constexpr int64_t kFew = 512;
  const T* w_;
  int64_t rows_, cols_, height_, count_;
  int threads_;
};

}  // namespace kxfast::lipschitz
