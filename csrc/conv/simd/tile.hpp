// The register tile that every product of this stem runs on: ROWS x VECTORS registers of sums.
#pragma once

#include <type_traits>

#include "conv/kernels.hpp"
#include "conv/simd/vector.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

template <class T, int ROWS, int VECTORS>
struct Tile {
  Vector<Wide<T>> sum[ROWS][VECTORS];

  KXFAST_INLINE void clear() {
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) sum[i][j] = Vector<Wide<T>>{};
  }

  // sum[i] += a[i] b, the first half of b's registers at `low` and the second at `high`
  KXFAST_INLINE void add(const T* const (&a)[ROWS], int64_t k, const T* low, const T* high) {
    constexpr int kLanes = kBytes / static_cast<int>(sizeof(T)), kHalf = (VECTORS + 1) / 2;
    using Each = Operand<T>;
    typename Each::Type b[VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; ++j)
      b[j] = j < kHalf ? Each::load(low + j * kLanes) : Each::load(high + (j - kHalf) * kLanes);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; ++i) {
      const typename Each::Type value = Each::all(a[i] + k);
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) sum[i][j] = fma(value, b[j], sum[i][j]);
    }
  }

  static KXFAST_INLINE void fetch(const T* weights) {
    __builtin_prefetch(weights);
    __builtin_prefetch(weights + 64 / sizeof(T));
  }

  // FAR: rows of weights are so far apart that the processor does not foresee them all.
  template <bool FAR = false>
  KXFAST_INLINE void multiply(const Products<T>& in, int64_t row, const T* low, const T* high, int64_t step) {
    constexpr int64_t kAhead = 12;
    clear();
    for (int64_t tap = 0; tap < in.taps; ++tap) {
      const T* a[ROWS];
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; ++i) a[i] = in.rows[tap * in.stride + row + i];
      for (int64_t k = 0; k < in.channels; k += kTogether<T>, low += step, high += step) {
        if constexpr (FAR) fetch(low + kAhead * step), fetch(high + kAhead * step);
        add(a, k, low, high);
      }
    }
  }
};

// Runs body<6>(i), and <4>, <2>, <1> for what is left; 8 are 4 and 4, as 2 rows are too few sums for AVX2.
template <class Body>
KXFAST_INLINE void by_tiles(int64_t count, Body&& body) {
  int64_t i = 0;
  for (; i + 6 <= count && i + 8 != count; i += 6) body(i, std::integral_constant<int, 6>{});
  for (; i + 4 <= count; i += 4) body(i, std::integral_constant<int, 4>{});
  if (i + 2 <= count) body(i, std::integral_constant<int, 2>{}), i += 2;
  if (i < count) body(i, std::integral_constant<int, 1>{});
}

}  // namespace
}  // namespace kxfast::conv::KXFAST_ISA
