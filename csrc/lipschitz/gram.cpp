// The Gram matrix A'A or A A', whichever is smaller, its upper triangle.
//
// The operand is packed, scaled by a power of two, so that rows of 64 neighbours of the side that remains
// follow each other: both operands of a tile then come from two such panels. Pairs of panels are the tasks,
// each with the depth innermost in chunks that fit into the L1 and L2 caches; a pair is read once. With
// floats the limit is their rate of multiply-adds, twice that of doubles; runs of 16 of them, each widened
// and added to doubles, took a fifth longer than runs of 32. Rows that have to be columns are turned a square
// of registers at a time: number by number it took 3 ms of 60 for 1024 x 4096.
#include "lipschitz/gram.hpp"

#include <algorithm>
#include <cmath>

#include "conv/common.hpp"
#include "core/threads.hpp"

namespace kxfast::conv {
namespace {

template <class T>
using Transpose = void (*)(const T*, int64_t, T*, int64_t);
template <class T>
Transpose<T> square_transpose() {
  return KXFAST_PICK(Transpose<T>, transpose);
}

}  // namespace
}  // namespace kxfast::conv

namespace kxfast::lipschitz {
namespace {

constexpr int64_t kPanel = 64, kChunk = 128;

// packed[panel][k][j] = scale * (element k of the long side, panel * kPanel + j of the short one).
template <class T, class To>
void pack(const T* a, int64_t rows, int64_t cols, To scale, int64_t panels, Buffer<To>& packed) {
  const bool across = rows < cols;  // rows are the short side
  const int64_t depth = std::max(rows, cols), size = std::min(rows, cols);
  const int64_t down = across ? 1 : cols, along = across ? cols : 1;
  const int64_t square = conv::tiling<T>().lanes;
  const auto transpose = conv::square_transpose<T>();
  constexpr int64_t kDepth = 256, kMost = 256;
  const int64_t pieces = (depth + kDepth - 1) / kDepth;
  const auto task = [&](int64_t i) {
    const int64_t panel = i / pieces, begin = i % pieces * kDepth, end = std::min(begin + kDepth, depth);
    const int64_t first = panel * kPanel, width = std::min(kPanel, size - first);
    To* to = packed.data() + (panel * depth + begin) * kPanel;
    const auto one = [&](int64_t k, int64_t j) {
      to[(k - begin) * kPanel + j] = static_cast<To>(a[k * down + (first + j) * along]) * scale;
    };
    T turned[kMost];  // a square of registers
    int64_t k = begin;
    for (; across && k + square <= end; k += square) {
      int64_t j = 0;
      for (; j + square <= width; j += square) {
        transpose(a + (first + j) * cols + k, cols, turned, square);
        for (int64_t r = 0; r < square; ++r)
          for (int64_t c = 0; c < square; ++c)
            to[(k - begin + r) * kPanel + j + c] = static_cast<To>(turned[r * square + c]) * scale;
      }
      for (; j < width; ++j)
        for (int64_t r = 0; r < square; ++r) one(k + r, j);
    }
    for (; k < end; ++k)
      for (int64_t j = 0; j < width; ++j) one(k, j);
    for (k = begin; k < end; ++k)
      std::fill(to + (k - begin) * kPanel + width, to + (k - begin + 1) * kPanel, To{0});
  };
  parallel_for(panels * pieces, task, depth * size < (1 << 16) ? 1 : 0);
}

}  // namespace

double gram_error(int64_t depth, int64_t run) {
  const double terms = static_cast<double>(depth);
  if (!run) return 0x1p-52 * (terms + 4);
  return 0x1.004p-24 * static_cast<double>(run) + 0x1p-52 * (terms / static_cast<double>(run) + 8);
}

template <class T>
Gram gram(const T* a, int64_t rows, int64_t cols, int exponent, int64_t run, Job& job) {
  const int64_t size = std::min(rows, cols), depth = std::max(rows, cols),
                panels = (size + kPanel - 1) / kPanel;
  Gram result;
  result.size = size;
  result.stride = odd_lines(panels * kPanel);
  result.entries = Buffer<double>(static_cast<size_t>(panels * kPanel * result.stride));
  result.error = gram_error(depth, run);
  const double scale = std::ldexp(1.0, -exponent);
  Buffer<float> floats(static_cast<size_t>(run ? panels * depth * kPanel : 0));
  Buffer<double> doubles(static_cast<size_t>(run ? 0 : panels * depth * kPanel));
  run ? pack(a, rows, cols, static_cast<float>(scale), panels, floats)
      : pack(a, rows, cols, scale, panels, doubles);
  using OfFloats = void (*)(const float*, int64_t, const float*, int64_t, int64_t, int64_t, double*, int64_t,
                            int64_t, int64_t);
  using OfDoubles =
      void (*)(const double*, int64_t, const double*, int64_t, int64_t, double*, int64_t, int64_t, int64_t);
  const auto of_floats = KXFAST_PICK(OfFloats, add_product_of_floats);
  const auto of_doubles = KXFAST_PICK(OfDoubles, add_product);
  const auto task = [&](int64_t number) {
    if (!job.advance(0)) return;
    int64_t i = 0;  // panel pairs in rows of the triangle
    while (number >= panels - i) number -= panels - i++;
    const int64_t j = i + number, rows_here = std::min(kPanel, size - i * kPanel);
    const int64_t cols_here = std::min(kPanel, size - j * kPanel);
    double* c = result.entries.data() + i * kPanel * result.stride + j * kPanel;
    for (int64_t r = 0; r < kPanel; ++r)
      std::fill(c + r * result.stride, c + r * result.stride + kPanel, 0.0);
    for (int64_t k = 0; k < depth; k += kChunk) {
      const int64_t terms = std::min(kChunk, depth - k), x = (i * depth + k) * kPanel,
                    y = (j * depth + k) * kPanel;
      if (run)
        of_floats(floats.data() + x, kPanel, floats.data() + y, kPanel, terms, run, c, result.stride,
                  rows_here, cols_here);
      else
        of_doubles(doubles.data() + x, kPanel, doubles.data() + y, kPanel, terms, c, result.stride, rows_here,
                   cols_here);
    }
  };
  parallel_for(panels * (panels + 1) / 2, task, depth * size * size < (1 << 20) ? 1 : 0);
  for (int64_t i = 0; i < size; ++i)
    result.frobenius += result.entries[static_cast<size_t>(i * result.stride + i)];
  result.frobenius *= 1 + 2 * result.error + 0x1p-50 * static_cast<double>(size);
  return result;
}

template Gram gram(const float*, int64_t, int64_t, int, int64_t, Job&);
template Gram gram(const double*, int64_t, int64_t, int, int64_t, Job&);

}  // namespace kxfast::lipschitz
