// The kernels of gated.cpp and linear.cpp with products of bfloat16: one instruction multiplies the pairs of
// two neighbouring channels and adds both to a float, so the tile and its loop are the same with half the
// steps. Weights of a pair stand side by side. Bias, sigmoid, gate and skip are computed in float on the tile
// and rounded once. On a Zen 5 core the tile is finished (sigmoids, rounding) in the time of 40 channels in.
//
// Gradients of gates are made in float and rounded once, in two orders: by rows, whose neighbouring channels
// are pairs for the product with transposed weights, and by pairs of rows, for the sums of outer products
// over rows, which read x by pairs of rows too (conv/backward_bf16.cpp). Sums are of floats throughout.
#include "conv/simd/half.hpp"
#include "conv/simd/linear.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

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

void gated_forward(const GatedBlock<Bfloat16>& block) {
  run<Forward>(block);
}
void linear(const LinearBlock<Bfloat16>& block) {
  linear_run(block);
}
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
