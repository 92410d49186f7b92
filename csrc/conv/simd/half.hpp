// Gradients in bfloat16 as far as they are the same with pairs and with tiles.
#pragma once

#include "conv/simd/gated.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

constexpr int64_t kHalfLanes = 16;  // of one register or tile of a panel, whatever the width of vectors

KXFAST_INLINE void interleave_run(const Bfloat16* a, const Bfloat16* b, int64_t count, Bfloat16* to) {
  int64_t n = 0;
  for (; n + kHalfLanes <= count; n += kHalfLanes) interleave_16(a + n, b + n, to + 2 * n);
  for (; n < count; ++n) to[2 * n] = a[n], to[2 * n + 1] = b[n];
}

// dz of two rows at a time, by rows for products with transposed weights and by pairs of rows for sums of
// outer products. The last row of an odd number is paired with zeros, which are written to `nowhere` too.
inline void kept_backward_run(const GatedBlock<Bfloat16>& block) {
  constexpr int kLanes = Lanes<float>::kWidth;
  const int64_t gates = block.width <= kHalfLanes ? kHalfLanes : 2 * kHalfLanes;
  Bfloat16 nowhere[4 * kHalfLanes];
  for (int64_t row = 0; row < block.in.count; row += 2) {
    const bool both = row + 1 < block.in.count;
    Bfloat16* first = block.dz + block.number[row] * block.dz_stride;
    Bfloat16* second = both ? block.dz + block.number[row + 1] * block.dz_stride : nowhere;
    Bfloat16* pairs = block.pairs + row * block.pairs_stride;
    for (int64_t at = 0; at < gates; at += kLanes) {
      const int64_t left = block.width - at, count = left < kLanes ? (left > 0 ? left : 0) : kLanes;
      const Opened<Bfloat16> a = gradient(block, reopen(block, row, at, count), row, at, count);
      Opened<Bfloat16> b{};
      if (both) b = gradient(block, reopen(block, row + 1, at, count), row + 1, at, count);
      store_rows(first + at, second + at, pairs + 2 * at, a.candidate, b.candidate);
      store_rows(first + gates + at, second + gates + at, pairs + 2 * (gates + at), a.gate, b.gate);
    }
  }
}

template <int VECTORS>
void outer_columns(const OuterBlock<Bfloat16>& block, int64_t column) {
  constexpr int kLanes = Lanes<float>::kWidth, kHalf = (VECTORS + 1) / 2;
  by_tiles(block.height, [&](int64_t row, auto rows) {
    constexpr int kRows = decltype(rows)::value;
    Tile<Bfloat16, kRows, VECTORS> tile;
    tile.clear();
    const Bfloat16 *x = block.x + 2 * row, *z = block.z + 2 * column;
    for (int64_t t = 0; t < block.count; ++t, x += block.x_stride, z += block.z_stride) {
      const Bfloat16* a[kRows];
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) a[i] = x + 2 * i;
      tile.add(a, 0, z, z + 2 * kHalf * kLanes);
    }
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) {
        float* sum = block.sum + (row + i) * block.width + column + j * kLanes;
        store(sum, load(sum) + tile.sum[i][j]);
      }
  });
}

inline void outer_run(const OuterBlock<Bfloat16>& block) {
  constexpr int64_t kWide = 2 * kVectors * Lanes<float>::kWidth;
  int64_t column = 0;
  for (; column + kWide <= block.width; column += kWide) outer_columns<2 * kVectors>(block, column);
  if (column < block.width) outer_columns<kVectors>(block, column);
}

}  // namespace

void kept_backward(const GatedBlock<Bfloat16>& block) {
  kept_backward_run(block);
}
void outer(const OuterBlock<Bfloat16>& block) {
  outer_run(block);
}
void interleave(const Bfloat16* a, const Bfloat16* b, int64_t count, Bfloat16* to) {
  interleave_run(a, b, count, to);
}

}  // namespace kxfast::conv::KXFAST_ISA
