// Sums of outer products of bfloat16 over rows, in tiles of AMX: the gradient of a convolution's weights.
//
// A product sums over 32 rows. One factor is x transposed: tiles of 16 channels by 32 rows, which are made
// once for each tap, 100 shuffles for 1 KB; the other is dz with two rows side by side, as it is written.
// Four tiles of sums, 32 channels by 16 candidates and their gates, take all rows before they are written.
#include "conv/simd/half.hpp"
#include "core/simd/transpose.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

constexpr int64_t kTile = matrix::kRows * 2 * kHalfLanes;  // elements
constexpr matrix::Shapes kShapes = matrix::whole_tiles();

}  // namespace

// Rows two by two become words, and words of 16 pairs of rows by 16 channels are transposed.
void transpose_rows(const Bfloat16* const* rows, int64_t channels, Bfloat16* to) {
  alignas(64) float words[kHalfLanes][kHalfLanes];
  const auto pairs = [&](int64_t i) { return reinterpret_cast<Bfloat16*>(words[i]); };
  if (channels < kHalfLanes) std::memset(words, 0, sizeof words);
  for (int64_t i = 0; i < kHalfLanes; ++i)
    interleave_run(rows[2 * i], rows[2 * i + 1], channels < kHalfLanes ? channels : kHalfLanes, pairs(i));
  matrix::KXFAST_ISA::transpose_tile(words[0], reinterpret_cast<float*>(to));
}

void outer_tiles(const OuterTiles& block) {
  matrix::Tiles tiles;
  tiles.configure(kShapes);
  tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
  const Bfloat16 *x = block.x, *z = block.z;
  for (int64_t i = 0; i < block.count; ++i, x += 2 * kTile, z += matrix::kRows * block.z_stride) {
    tiles.load<6>(z, 2 * block.z_stride);
    tiles.load<7>(z + 2 * kHalfLanes, 2 * block.z_stride);
    tiles.load<4>(x, matrix::kRowBytes);
    tiles.multiply<0, 4, 6>();
    tiles.multiply<1, 4, 7>();
    tiles.load<5>(x + kTile, matrix::kRowBytes);
    tiles.multiply<2, 5, 6>();
    tiles.multiply<3, 5, 7>();
  }
  constexpr int64_t kApart = 2 * kHalfLanes;
  tiles.store<0>(block.sum, 4 * kApart);
  tiles.store<1>(block.sum + kHalfLanes, 4 * kApart);
  tiles.store<2>(block.sum + matrix::kRows * kApart, 4 * kApart);
  tiles.store<3>(block.sum + matrix::kRows * kApart + kHalfLanes, 4 * kApart);
  tiles.release();
}

}  // namespace kxfast::conv::KXFAST_ISA
