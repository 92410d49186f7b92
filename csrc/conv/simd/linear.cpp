// Products that are not gated: rows by a panel of columns (gradients of the input, 1x1 shortcuts), and sums
// of outer products over rows (gradients of weights).
//
// Both use the register tile of gated.cpp. The outer products read 6 neighbouring channels of x by broadcast
// and one panel of dz by rows: neither is transposed. The panel of a block of rows stays in the L1 cache over
// all channels of x, which is why rows of dz are an odd number of cache lines apart: at a power of two they
// would fall into few sets of the cache. Blocks of 96 rows leave it room for the tile's sums, which are asked
// for before the products: 2 to 3 % of forward and backward of nine layers, against 128 rows; 192 rows or
// those 128 with sums asked for are slower by 4 to 6 %, 64 by 1. Two or four rows of dz at a time: 1 % less
// for 128 rows, 1 % more for 2048.
#include "conv/simd/linear.hpp"

#include "core/simd/transpose.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

template <class T, int VECTORS>
void outer_panel(const OuterBlock<T>& block) {
  constexpr int kLanes = Lanes<T>::kWidth, kHalf = (VECTORS + 1) / 2;
  by_tiles(block.height, [&](int64_t row, auto rows) {
    constexpr int kRows = decltype(rows)::value;
    const OuterBlock<T> given = block;  // no store changes it
    T* const sums = given.sum + row * VECTORS * kLanes;
    for (int64_t at = 0; at < kRows * VECTORS * kLanes; at += 64 / static_cast<int64_t>(sizeof(T)))
      __builtin_prefetch(sums + at, 1);
    Tile<T, kRows, VECTORS> tile;
    tile.clear();
    for (int64_t t = 0; t < given.count; ++t) {
      const T *x = given.x[t] + given.x_first + row, *z = given.z[t] + given.z_first;
      const T* a[kRows];
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) a[i] = x + i;
      tile.add(a, 0, z, z + kHalf * kLanes);
    }
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) {
        T* sum = sums + (i * VECTORS + j) * kLanes;
        store(sum, given.fresh ? tile.sum[i][j] : load(sum) + tile.sum[i][j]);
      }
  });
}

template <class T>
void outer_run(const OuterBlock<T>& block) {
  if (block.width == kVectors * Lanes<T>::kWidth)
    outer_panel<T, kVectors>(block);
  else
    outer_panel<T, 2 * kVectors>(block);
}

}  // namespace

void linear(const LinearBlock<float>& block) {
  linear_run(block);
}
void linear(const LinearBlock<double>& block) {
  linear_run(block);
}
void transpose(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  matrix::KXFAST_ISA::transpose_square(from, from_stride, to, to_stride);
}
void transpose(const double* from, int64_t from_stride, double* to, int64_t to_stride) {
  matrix::KXFAST_ISA::transpose_square(from, from_stride, to, to_stride);
}
void outer(const OuterBlock<float>& block) {
  outer_run(block);
}
void outer(const OuterBlock<double>& block) {
  outer_run(block);
}

}  // namespace kxfast::conv::KXFAST_ISA
