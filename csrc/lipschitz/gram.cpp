// The Gram matrix A'A or A A', whichever is smaller, its upper triangle.
//
// The operand is packed, scaled by a power of two, so that rows of 64 neighbours of the side that remains
// follow each other: both operands of a tile then come from two such panels. Pairs of panels are the tasks,
// each with the depth innermost in chunks that fit into the L1 and L2 caches; a pair is read once. With
// floats the limit is their rate of multiply-adds, twice that of doubles.
#include "lipschitz/gram.hpp"

#include <algorithm>
#include <cmath>

#include "core/threads.hpp"
#include "lipschitz/cholesky.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr int64_t kPanel = 64, kChunk = 128;

// packed[panel][k][j] = scale * (element k of the long side, panel * kPanel + j of the short one).
template <class T, class To>
void pack(const T* a, int64_t rows, int64_t cols, double scale, int64_t panels, Buffer<To>& packed) {
  const bool across = rows < cols;  // rows are the short side
  const int64_t depth = std::max(rows, cols), size = std::min(rows, cols);
  constexpr int64_t kDepth = 256;
  const int64_t pieces = (depth + kDepth - 1) / kDepth;
  const auto task = [&](int64_t i) {
    const int64_t panel = i / pieces, begin = i % pieces * kDepth, end = std::min(begin + kDepth, depth);
    const int64_t first = panel * kPanel, width = std::min(kPanel, size - first);
    To* to = packed.data() + (panel * depth + begin) * kPanel;
    if (across) {
      constexpr int64_t kSquare = 16;
      for (int64_t k = begin; k < end; k += kSquare)
        for (int64_t j = 0; j < width; ++j)
          for (int64_t s = k; s < std::min(k + kSquare, end); ++s)
            to[(s - begin) * kPanel + j] =
                static_cast<To>(static_cast<double>(a[(first + j) * cols + s]) * scale);
    } else {
      for (int64_t k = begin; k < end; ++k)
        for (int64_t j = 0; j < width; ++j)
          to[(k - begin) * kPanel + j] =
              static_cast<To>(static_cast<double>(a[k * cols + first + j]) * scale);
    }
    for (int64_t k = begin; k < end; ++k)
      std::fill(to + (k - begin) * kPanel + width, to + (k - begin + 1) * kPanel, To{0});
  };
  parallel_for(panels * pieces, task, depth * size < (1 << 16) ? 1 : 0);
}

}  // namespace

double gram_error(int64_t depth, int64_t run) {
  const double terms = static_cast<double>(depth);
  if (!run) return 0x1p-53 * (terms + 4);
  return 0x1p-24 * static_cast<double>(run + 2) + 0x1p-53 * (terms / static_cast<double>(run) + 8);
}

template <class T>
Gram gram(const T* a, int64_t rows, int64_t cols, int exponent, int64_t run, Job& job) {
  const int64_t size = std::min(rows, cols), depth = std::max(rows, cols),
                panels = (size + kPanel - 1) / kPanel;
  Gram result;
  result.size = size;
  result.stride = odd_lines(panels * kPanel);
  result.entries = Buffer<double>(static_cast<size_t>(panels * kPanel * result.stride));
  std::fill(result.entries.begin(), result.entries.end(), 0.0);
  result.error = gram_error(depth, run);
  const double scale = std::ldexp(1.0, -exponent);
  Buffer<float> floats(static_cast<size_t>(run ? panels * depth * kPanel : 0));
  Buffer<double> doubles(static_cast<size_t>(run ? 0 : panels * depth * kPanel));
  run ? pack(a, rows, cols, scale, panels, floats) : pack(a, rows, cols, scale, panels, doubles);
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
