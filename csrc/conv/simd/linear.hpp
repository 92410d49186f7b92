// Products that are not gated on register tiles (linear.cpp).
#pragma once

#include "conv/simd/tile.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

template <class T>
KXFAST_INLINE void finish(const LinearBlock<T>& block, Vector<Wide<T>> y, int64_t row, int64_t at,
                          int64_t count) {
  const int64_t place = block.number[row] * block.out_stride + at;
  if (block.bias) y += load(block.bias + at, count);
  if (block.add) y += load(block.out + place, count);
  if constexpr (std::is_same_v<T, Wide<T>>)
    if (block.relu) y = relu(y);
  if (block.rounded)
    store(block.rounded + place, y, count);
  else
    store(block.out + place, y, count);
}

template <class T, int VECTORS>
void linear_panel(const LinearBlock<T>& block) {
  constexpr int kLanes = Lanes<Wide<T>>::kWidth, kHalf = (VECTORS + 1) / 2, kEach = kLanes * kTogether<T>;
  by_tiles(block.in.count, [&](int64_t row, auto rows) {
    constexpr int kRows = decltype(rows)::value;
    Tile<T, kRows, VECTORS> tile;
    tile.multiply(block.in, row, block.weight, block.weight + kHalf * kEach, VECTORS * kEach);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) {
        const int64_t at = j * kLanes, left = block.width - at;
        const int64_t count = left < kLanes ? (left > 0 ? left : 0) : kLanes;
        finish(block, tile.sum[i][j], row + i, at, count);
      }
  });
}

template <class T>
void linear_run(const LinearBlock<T>& block) {
  if (block.width <= kVectors * Lanes<Wide<T>>::kWidth)
    linear_panel<T, kVectors>(block);
  else
    linear_panel<T, 2 * kVectors>(block);
}

}  // namespace
}  // namespace kxfast::conv::KXFAST_ISA
