// Products of bfloat16 in tiles of the matrix extension AMX, compiled for it and, with emulated tiles, for
// any machine (core/amx.hpp). No machine with AMX was at hand: checked in emulation, never measured.
//
// Four tiles of sums are 32 rows x (16 candidates + their 16 gates), or 32 rows x 32 columns where nothing is
// gated: for 32 channels in, two tiles of rows and two of weights are loaded for four products. Rows are read
// in place where 16 of them are equally far apart (neighbours, or the one row of zeros 16 times); around the
// ends of sequences and where a mask leaves gaps they are copied, 1 KB, as is the last block of channels that
// is not full. Weights are the panels of the pairs (conv/weights.hpp): a row of a tile is 16 pairs. A
// finished tile goes through 4 KB of the L1 cache to vectors, which finish it in float as everywhere else.
#include "conv/simd/half.hpp"
#include "conv/simd/linear.hpp"
#include "core/amx.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

constexpr int64_t kTileRows = matrix::kRows, kDepth = 32;  // rows of a tile, channels of one of its rows
constexpr matrix::Shapes kShapes = matrix::whole_tiles();

// Two tiles of rows by two of columns.
struct Sums {
  alignas(64) float at[2][2][kTileRows][kHalfLanes];  // by rows, columns
};

// A tile of rows: where they are if they are equally far apart, or a copy.
struct RowsTile {
  alignas(64) Bfloat16 copy[kTileRows][kDepth];

  template <int TILE>
  void load(matrix::Tiles& tiles, const Bfloat16* const* rows, int64_t count, int64_t k, int64_t channels) {
    const int64_t apart = count > 1 ? rows[1] - rows[0] : 0, used = channels < kDepth ? channels : kDepth;
    bool even = count == kTileRows && used == kDepth;
    for (int64_t i = 2; even && i < count; ++i) even = rows[i] - rows[i - 1] == apart;
    if (even) return tiles.load<TILE>(rows[0] + k, apart * 2);
    std::memset(copy, 0, sizeof copy);
    for (int64_t i = 0; i < count; ++i) std::memcpy(copy[i], rows[i] + k, static_cast<size_t>(2 * used));
    tiles.load<TILE>(copy, sizeof copy[0]);
  }
};

// 16 pairs of channels of weights, `step` elements apart, by 16 columns.
template <int TILE>
void load_weights(matrix::Tiles& tiles, const Bfloat16* from, int64_t step, int64_t channels) {
  if (channels >= kDepth) return tiles.load<TILE>(from, 2 * step);
  alignas(64) Bfloat16 copy[kTileRows][kDepth] = {};
  for (int64_t i = 0; i < channels / 2; ++i) std::memcpy(copy[i], from + i * step, sizeof copy[i]);
  tiles.load<TILE>(copy, sizeof copy[0]);
}

// Rows `row` to row + 32 of a block by the columns at `low` and those at `high`.
void multiply(matrix::Tiles& tiles, const Products<Bfloat16>& in, int64_t row, const Bfloat16* low,
              const Bfloat16* high, int64_t step, Sums& sums) {
  const int64_t left = in.count - row, first = left < kTileRows ? left : kTileRows;
  const int64_t second = left - first < kTileRows ? left - first : kTileRows;
  RowsTile upper, lower;
  tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
  for (int64_t tap = 0; tap < in.taps; ++tap) {
    const Bfloat16* const* rows = in.rows + tap * in.stride + row;
    for (int64_t k = 0; k < in.channels; k += kDepth) {
      const int64_t channels = in.channels - k, place = (tap * in.channels + k) / 2 * step;
      load_weights<6>(tiles, low + place, step, channels);
      load_weights<7>(tiles, high + place, step, channels);
      upper.load<4>(tiles, rows, first, k, channels);
      tiles.multiply<0, 4, 6>();
      tiles.multiply<1, 4, 7>();
      if (second <= 0) continue;
      lower.load<5>(tiles, rows + first, second, k, channels);
      tiles.multiply<2, 5, 6>();
      tiles.multiply<3, 5, 7>();
    }
  }
  tiles.store<0>(sums.at[0][0], 4 * kHalfLanes);
  tiles.store<1>(sums.at[0][1], 4 * kHalfLanes);
  tiles.store<2>(sums.at[1][0], 4 * kHalfLanes);
  tiles.store<3>(sums.at[1][1], 4 * kHalfLanes);
}

// end(row, offset in the tiles, rows of sums) for all registers of 16 columns, of which `width` are used.
template <class End>
void finish_tiles(const Sums& sums, int64_t count, int64_t row, int64_t width, End&& end) {
  constexpr int kLanes = Lanes<float>::kWidth;
  for (int64_t i = 0; i < 2 * kTileRows && row + i < count; ++i)
    for (int64_t at = 0; at < kHalfLanes && at < width; at += kLanes) {
      const int64_t here = width - at < kLanes ? width - at : kLanes;
      const float (&tile)[2][kTileRows][kHalfLanes] = sums.at[i / kTileRows];
      end(row + i, at, here, load(tile[0][i % kTileRows] + at), load(tile[1][i % kTileRows] + at));
    }
}

}  // namespace

void gated_forward(const GatedBlock<Bfloat16>& block) {
  matrix::Tiles tiles;
  tiles.configure(kShapes);
  Sums sums;
  for (int64_t row = 0; row < block.in.count; row += 2 * kTileRows)
    for (int64_t column = 0; column < block.width; column += kHalfLanes) {
      multiply(tiles, block.in, row, block.candidate + 2 * column, block.gate + 2 * column, block.step, sums);
      finish_tiles(sums, block.in.count, row, block.width - column,
                   [&](int64_t i, int64_t at, int64_t count, Vector<float> c, Vector<float> g) {
                     at += column;
                     Forward::finish(block, open(block, c, g, i, at, count), i, at, count, 0);
                   });
    }
  tiles.release();
}

void linear(const LinearBlock<Bfloat16>& block) {
  matrix::Tiles tiles;
  tiles.configure(kShapes);
  Sums sums;
  const int64_t padded = block.width <= 2 * kHalfLanes ? 2 * kHalfLanes : 4 * kHalfLanes;
  for (int64_t row = 0; row < block.in.count; row += 2 * kTileRows)
    for (int64_t column = 0; column < block.width; column += 2 * kHalfLanes) {
      const Bfloat16* weight = block.weight + 2 * column;
      multiply(tiles, block.in, row, weight, weight + 2 * kHalfLanes, 2 * padded, sums);
      finish_tiles(sums, block.in.count, row, block.width - column,
                   [&](int64_t i, int64_t at, int64_t count, Vector<float> low, Vector<float> high) {
                     finish(block, low, i, column + at, count);
                     const int64_t next = column + kHalfLanes + at, left = block.width - next;
                     if (left > 0)
                       finish(block, high, i, next,
                              left < Lanes<float>::kWidth ? left : Lanes<float>::kWidth);
                   });
    }
  tiles.release();
}

}  // namespace kxfast::conv::KXFAST_ISA
