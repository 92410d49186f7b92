// Products of bfloat16 in tiles of the matrix extension AMX, compiled for it and, with emulated tiles, for
// any machine (core/amx.hpp).
//
// Four tiles of sums are 32 rows x (16 candidates + their 16 gates), or 32 rows x 32 columns where nothing is
// gated: for 32 channels in, two tiles of rows and two of weights are loaded for four products. Rows are read
// in place where 16 of them are equally far apart (neighbours, or the one row of zeros 16 times); around the
// ends of sequences and where a mask leaves gaps they are copied, 1 KB, as is the last block of channels that
// is not full. Weights are panels of 16 channels (conv/weights.hpp): a row of a tile is 16 pairs. A finished
// tile goes through 4 KB of the L1 cache to vectors, which finish it in float, a few rows after every four
// products of the next one: done at once, this was as long as the products of 128 channels.
//
// On a Xeon (one core: 3480 GFLOP/s with all operands in tiles, 2860 with the loads) a block of 512 rows runs
// at 1400 with 128 channels, at 1700 with 256 and, bound by the L2 cache, at 1500 with 512; without
// finishing at 2000 where weights stay in the L1 cache. Rows that straddle cache lines cost a third, so they
// are copied before (conv/blocks.hpp). Lost: fetching weights, the next panel or the places of results ahead.
#include "conv/simd/half.hpp"
#include "conv/simd/linear.hpp"
#include "core/amx.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

constexpr int64_t kTileRows = matrix::kRows, kDepth = 32;  // rows of a tile, channels of one of its rows
constexpr matrix::Shapes kShapes = matrix::whole_tiles();

// Two tiles of rows by two of columns, by rows.
struct Sums {
  alignas(64) float at[2 * kTileRows][2][kHalfLanes];
};

// A tile of rows: where they are if they are equally far apart, or a copy.
class RowsTile {
 public:
  void point(const Bfloat16* const* rows, int64_t count) {
    rows_ = rows, count_ = count < kTileRows ? count : kTileRows, even_ = false;
    if (count_ < kTileRows) return;
    const uintptr_t apart = address(1) - address(0);
    uintptr_t strange = 0;
    for (int64_t i = 2; i < kTileRows; ++i) strange |= address(i) - address(i - 1) - apart;
    even_ = strange == 0, apart_ = static_cast<int64_t>(apart);
  }
  template <int TILE>
  void load(matrix::Tiles& tiles, int64_t k, int64_t channels) {
    if (even_ && channels >= kDepth) return tiles.load<TILE>(rows_[0] + k, apart_);
    if (count_ < kTileRows || channels < kDepth) std::memset(copy_, 0, sizeof copy_);
    if (channels >= kDepth)
      for (int64_t i = 0; i < count_; ++i) std::memcpy(copy_[i], rows_[i] + k, sizeof copy_[i]);
    else
      for (int64_t i = 0; i < count_; ++i)
        std::memcpy(copy_[i], rows_[i] + k, static_cast<size_t>(2 * channels));
    tiles.load<TILE>(copy_, sizeof copy_[0]);
  }

 private:
  uintptr_t address(int64_t i) const { return reinterpret_cast<uintptr_t>(rows_[i]); }

  alignas(64) Bfloat16 copy_[kTileRows][kDepth];
  const Bfloat16* const* rows_;
  int64_t count_, apart_;  // bytes
  bool even_;
};

// 16 pairs of channels of weights, `step` elements apart, by 16 columns.
template <int TILE>
void load_weights(matrix::Tiles& tiles, const Bfloat16* from, int64_t step, int64_t channels) {
  if (channels >= kDepth) return tiles.load<TILE>(from, 2 * step);
  alignas(64) Bfloat16 copy[kTileRows][kDepth] = {};
  for (int64_t i = 0; i < channels / 2; ++i) std::memcpy(copy[i], from + i * step, sizeof copy[i]);
  tiles.load<TILE>(copy, sizeof copy[0]);
}

// Rows `row` to row + 32 of a block by the columns at `low` and those at `high`; between() after every four
// products.
template <class Between>
KXFAST_INLINE void multiply(matrix::Tiles& tiles, const Products<Bfloat16>& in, int64_t row,
                            const Bfloat16* low, const Bfloat16* high, int64_t step, Sums& sums,
                            Between&& between) {
  RowsTile upper, lower;
  const int64_t left = in.count - row;
  tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
  for (int64_t tap = 0; tap < in.taps; ++tap) {
    const Bfloat16* const* rows = in.rows + tap * in.stride + row;
    upper.point(rows, left);
    if (left > kTileRows) lower.point(rows + kTileRows, left - kTileRows);
    for (int64_t k = 0; k < in.channels; k += kDepth) {
      const int64_t channels = in.channels - k, place = (tap * in.channels + k) / 2 * step;
      load_weights<6>(tiles, low + place, step, channels);
      load_weights<7>(tiles, high + place, step, channels);
      upper.load<4>(tiles, k, channels);
      tiles.multiply<0, 4, 6>();
      tiles.multiply<1, 4, 7>();
      if (left > kTileRows) {
        lower.load<5>(tiles, k, channels);
        tiles.multiply<2, 5, 6>();
        tiles.multiply<3, 5, 7>();
      }
      between();
    }
  }
  tiles.store<0>(sums.at[0][0], sizeof sums.at[0]);
  tiles.store<1>(sums.at[0][1], sizeof sums.at[0]);
  tiles.store<2>(sums.at[kTileRows][0], sizeof sums.at[0]);
  tiles.store<3>(sums.at[kTileRows][1], sizeof sums.at[0]);
}

// Multiplies 32 rows and two tiles of columns at a time, `panels` times as many columns, and finishes those
// before meanwhile: low(p), high(p) are weights of a panel, end(panel, row, rows, sums) finishes some rows.
template <class Low, class High, class End>
void overlap(const Products<Bfloat16>& in, int64_t panels, int64_t step, Low&& low, High&& high, End&& end) {
  const int64_t steps = in.taps * ((in.channels + kDepth - 1) / kDepth);
  const int64_t each = (2 * kTileRows + steps - 1) / steps;
  matrix::Tiles tiles;
  tiles.configure(kShapes);
  Sums sums[2];
  const Sums* done = sums;
  int64_t panel = 0, row = 0, next = 0, last = 0;  // to be finished: rows next to last from `row` on
  const auto finish = [&](int64_t count) {
    const int64_t many = count < last - next ? count : last - next;
    if (many > 0) end(panel, row + next, many, done->at + next);
    next += many;
  };
  int turn = 0;
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t r = 0; r < in.count; r += 2 * kTileRows, turn ^= 1) {
      multiply(tiles, in, r, low(p), high(p), step, sums[turn], [&] { finish(each); });
      done = sums + turn, panel = p, row = r, next = 0;
      last = in.count - r < 2 * kTileRows ? in.count - r : 2 * kTileRows;
    }
  tiles.release();
  finish(last);
}

// end(offset, count) for the registers of 16 columns, of which `width` are used.
template <class End>
KXFAST_INLINE void by_registers(int64_t width, End&& end) {
  constexpr int kLanes = Lanes<float>::kWidth;
  for (int64_t at = 0; at < kHalfLanes && at < width; at += kLanes)
    end(at, width - at < kLanes ? width - at : kLanes);
}

// How far a gate opens, to 4e-6, which is enough for what is rounded to bfloat16; NaN stays.
KXFAST_INLINE Vector<float> opened(Vector<float> g) {
  Vector<float> t = g * all(-1.44269504f);
  t = t < -125.0f ? all(-125.0f) : t;
  t = t > 125.0f ? all(125.0f) : t;
  const Vector<float> shifted = t + all(0x1.8p23f + 127), r = t - (shifted - all(0x1.8p23f + 127));
  Vector<float> p = fma(all(9.5701019677e-3f), r, all(5.5917860762e-2f));
  p = fma(p, r, all(2.4024744830e-1f));
  p = fma(p, r, all(6.9312181468e-1f));
  p = fma(p, r, all(9.9999926144e-1f));
  const Vector<float> power = Vector<float>(Vector<int32_t>(shifted) << 23);
  return reciprocal(fma(p, power, all(1.0f)));
}

// Finishes rows of 16 channels whose gates are not scaled.
template <Skip SKIP, bool KEPT>
KXFAST_INLINE void finish_whole(const GatedBlock<Bfloat16>& block, int64_t column, int64_t row, int64_t count,
                                const float (*sums)[2][kHalfLanes]) {
  constexpr int kLanes = Lanes<float>::kWidth;
  const int64_t* number = block.number + row;
  const Bfloat16* const* skipped = block.skipped + row;
  const int64_t channels = block.channels, offset = block.skipped_offset + column;
  Bfloat16* y = block.y + column;
  float* kept = KEPT ? block.kept + column : nullptr;
  const Vector<float> sign = all(block.sign);
  for (int64_t at = 0; at < kHalfLanes; at += kLanes) {
    Vector<float> candidate_bias{}, gate_bias{};
    if (block.candidate_bias) {
      candidate_bias = load(block.candidate_bias + column + at);
      gate_bias = load(block.gate_bias + column + at);
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t place = number[i] * channels + at;
      const Vector<float> c = load(sums[i][0] + at) + candidate_bias;
      const Vector<float> opens = opened((load(sums[i][1] + at) + gate_bias) * sign);
      if constexpr (KEPT) {
        store(kept + place + number[i] * channels, c);
        store(kept + place + number[i] * channels + channels, opens);
      }
      Vector<float> result = c * opens;
      if constexpr (SKIP == Skip::gated)
        result = fma(load(skipped[i] + offset + at, kLanes), all(1.0f) - opens, result);
      if constexpr (SKIP == Skip::add) result += load(skipped[i] + offset + at, kLanes);
      store(y + place, result, kLanes);
    }
  }
}

void finish_rows(const GatedBlock<Bfloat16>& block, int64_t column, int64_t row, int64_t count,
                 const float (*sums)[2][kHalfLanes]) {
  if (!block.scale && block.y && block.width - column >= kHalfLanes) {
    const bool kept = block.kept != nullptr;
    if (block.skip == Skip::gated)
      return kept ? finish_whole<Skip::gated, true>(block, column, row, count, sums)
                  : finish_whole<Skip::gated, false>(block, column, row, count, sums);
    if (block.skip == Skip::add)
      return kept ? finish_whole<Skip::add, true>(block, column, row, count, sums)
                  : finish_whole<Skip::add, false>(block, column, row, count, sums);
    return kept ? finish_whole<Skip::none, true>(block, column, row, count, sums)
                : finish_whole<Skip::none, false>(block, column, row, count, sums);
  }
  for (int64_t i = 0; i < count; ++i)
    by_registers(block.width - column, [&](int64_t at, int64_t lanes) {
      const Vector<float> c = load(sums[i][0] + at), g = load(sums[i][1] + at);
      Forward::finish(block, open(block, c, g, row + i, column + at, lanes), row + i, column + at, lanes, 0);
    });
}

}  // namespace

void gated_forward(const GatedBlock<Bfloat16>& block) {
  const int64_t panels = (block.width + kHalfLanes - 1) / kHalfLanes;
  overlap(
      block.in, panels, block.step, [&](int64_t p) { return block.candidate + p * block.panel; },
      [&](int64_t p) { return block.gate + p * block.panel; },
      [&](int64_t p, int64_t row, int64_t count, const float (*sums)[2][kHalfLanes]) {
        finish_rows(block, p * kHalfLanes, row, count, sums);
      });
}

void linear(const LinearBlock<Bfloat16>& block) {
  const bool narrow = block.width <= kHalfLanes;
  overlap(
      block.in, 1, (narrow ? 2 : 4) * kHalfLanes, [&](int64_t) { return block.weight; },
      [&](int64_t) { return block.weight + (narrow ? 0 : 2 * kHalfLanes); },
      [&](int64_t, int64_t row, int64_t count, const float (*sums)[2][kHalfLanes]) {
        for (int64_t i = 0; i < count; ++i)
          for (int64_t half = 0; half < 2; ++half)
            by_registers(block.width - half * kHalfLanes, [&](int64_t at, int64_t lanes) {
              finish(block, load(sums[i][half] + at), row + i, half * kHalfLanes + at, lanes);
            });
      });
}

void kept_backward(const GatedBlock<Bfloat16>& block) {
  kept_backward_run(block);
}

void interleave(const Bfloat16* a, const Bfloat16* b, int64_t count, Bfloat16* to) {
  interleave_run(a, b, count, to);
}

}  // namespace kxfast::conv::KXFAST_ISA
