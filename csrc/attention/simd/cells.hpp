// Attention by tiles of the matrix extension AMX, both directions: cells of 32 queries and 32 keys, whose
// products are four tiles of sums, and which of their pairs are allowed.
#pragma once

#include "attention/simd/half.hpp"
#include "core/amx.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

constexpr int64_t kRows = matrix::kRows;  // of a tile, whose rows have as many pairs of numbers, or floats
constexpr int64_t kHalves = kTile / kCell;
constexpr int64_t kTileSize = kRows * kCell;  // elements of a tile
constexpr matrix::Shapes kShapes = matrix::whole_tiles();
static_assert(kCell == 2 * kRows);

// What masks do, for lanes whose bits are set: larger(a, b), else a; a b, else 0.
inline Floats larger_where(uint64_t bits, Floats a, Floats b) {
#if defined(__AVX512F__)
  return (Floats)_mm512_mask_max_ps((__m512)a, static_cast<__mmask16>(bits), (__m512)a, (__m512)b);
#else
  return larger(a, where(bits, b, -kInfinity<float>));
#endif
}
inline Floats product_where(uint64_t bits, Floats a, Floats b) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_mul_ps(static_cast<__mmask16>(bits), (__m512)a, (__m512)b);
#else
  return where(bits, a * b, 0.0f);
#endif
}

// 2^x by floor(x) and a cubic of the rest, to 8e-5, a twentieth of what rounding to bfloat16 may change, and
// 0 for lanes whose bits are not set; 0 for -infinity, and NaN for NaN.
inline Floats exp2_where(uint64_t bits, Floats x) {
#if defined(__AVX512DQ__)
  const Floats rest = (Floats)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
  x = larger(all(-127.0f), x);
  const Floats near = x + all(12582912.0f) - all(12582912.0f), whole = near > x ? near - 1 : near;
  const Floats rest = x - whole;
#endif
  Floats y = all(7.8024522640e-2f);
  y = fused(y, rest, all(2.2606715543e-1f));
  y = fused(y, rest, all(6.9583354049e-1f));
  y = fused(y, rest, all(9.9992521856e-1f));
#if defined(__AVX512DQ__)
  return (Floats)_mm512_maskz_scalef_ps(static_cast<__mmask16>(bits), (__m512)y, (__m512)x);
#else
  const Floats biased = whole + all(12582912.0f + 127.0f);
  return where(bits, y * (Floats)((Lanes<float>::Integer)biased << 23), 0.0f);
#endif
}

// Two tiles of bfloat16: rows `row` elements apart, the second tile `second` behind the first.
struct Operand {
  const Bfloat16* data;
  int64_t row, second;
};
inline Operand tiles_at(const Bfloat16* data) {
  return {data, kCell, kTileSize};
}
inline Operand rows_at(const Bfloat16* data, int64_t row) {
  return {data, row, kRows * row};
}

// Sums 0 to 3, 32 x 32, += 32 rows of 32 numbers times 16 pairs of 32.
inline void multiply(matrix::Tiles& tiles, const Operand& a, const Operand& b) {
  tiles.load<4>(a.data, 2 * a.row);
  tiles.load<6>(b.data, 2 * b.row);
  tiles.multiply<0, 4, 6>();
  tiles.load<7>(b.data + b.second, 2 * b.row);
  tiles.multiply<1, 4, 7>();
  tiles.load<5>(a.data + a.second, 2 * a.row);
  tiles.multiply<2, 5, 6>();
  tiles.multiply<3, 5, 7>();
}
inline void zero_sums(matrix::Tiles& tiles) {
  tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
}
inline void load_sums(matrix::Tiles& tiles, const float* from, int64_t row) {
  tiles.load<0>(from, 4 * row), tiles.load<1>(from + kRows, 4 * row);
  tiles.load<2>(from + kRows * row, 4 * row), tiles.load<3>(from + kRows * row + kRows, 4 * row);
}
inline void store_sums(matrix::Tiles& tiles, float* to, int64_t row) {
  tiles.store<0>(to, 4 * row), tiles.store<1>(to + kRows, 4 * row);
  tiles.store<2>(to + kRows * row, 4 * row), tiles.store<3>(to + kRows * row + kRows, 4 * row);
}

// to = 32 rows of `width` channels times 32 keys of a packed tile, from `key` on.
inline void products(matrix::Tiles& tiles, const Bfloat16* rows, int64_t width, const Bfloat16* panel,
                     int64_t key, float* to, int64_t to_row) {
  zero_sums(tiles);
  for (int64_t k = 0; k < width; k += kCell)
    multiply(tiles, rows_at(rows + k, width), {panel + k * kTile + 2 * key, 2 * kTile, 2 * kRows});
  store_sums(tiles, to, to_row);
}

// 32 rows where they are, or, where fewer are left, a copy with zeros behind them.
inline const Bfloat16* whole_cell(const Bfloat16* x, int64_t row, int64_t rows, int64_t width,
                                  Bfloat16* copy) {
  const int64_t left = rows - row;
  if (left >= kCell) return x + row * width;
  std::memcpy(copy, x + row * width, static_cast<size_t>(left * width) * sizeof *x);
  std::memset(copy + left * width, 0, static_cast<size_t>((kCell - left) * width) * sizeof *x);
  return copy;
}

// ROWS queries against a tile: the keys of each, and those that any and that each of 32 queries may attend
// to; none for queries that are not there.
template <int64_t ROWS>
struct Words {
  uint64_t row[ROWS], any[ROWS / kCell], every[ROWS / kCell], all;
};
template <int64_t ROWS>
inline void read_words(const HeadMask& mask, int64_t first, int64_t rows, int64_t tile, int64_t k_len,
                       Words<ROWS>& words) {
  static_assert(ROWS % kGroup == 0 && ROWS % kCell == 0);
  const int64_t there = tile * kTile >= k_len ? 0 : rows - first < ROWS ? rows - first : ROWS;
  const bool masked = mask.bits || mask.intervals;
  const uint64_t keys = below(k_len - tile * kTile);
  for (int64_t row = there; row < ROWS; ++row) words.row[row] = 0;
  for (int64_t row = 0; row < there && !masked; ++row) words.row[row] = keys;
  for (int64_t row = 0; row < there && masked; row += kGroup) {
    const GroupBits bits = group_bits(mask, first + row, rows, tile, k_len);
    const bool same = !bits.any || bits.every == ~uint64_t{0};
    for (int64_t i = 0; i < kGroup && row + i < there; ++i)
      words.row[row + i] = same ? bits.any : bits.row[i];
  }
  words.all = 0;
  for (int64_t step = 0; step < ROWS / kCell; ++step) {
    words.any[step] = 0, words.every[step] = ~uint64_t{0};
    for (int64_t i = step * kCell; i < (step + 1) * kCell; ++i)
      words.any[step] |= words.row[i], words.every[step] &= words.row[i];
    words.all |= words.any[step];
  }
}
inline uint32_t half_of(uint64_t word, int64_t half) {
  return static_cast<uint32_t>(word >> (half * kCell));
}

// s += bias, of 32 queries and 32 keys that are there.
inline void add_bias(const Queries<Bfloat16>& x, int64_t row, int64_t key, float* s, int64_t s_row) {
  const int64_t rows = x.rows - row < kCell ? x.rows - row : kCell;
  const int64_t keys = x.k_len - key < kCell ? x.k_len - key : kCell;
  for (int64_t i = 0; i < rows; ++i, s += s_row) {
    const float* bias = x.bias.data + (row + i) * x.bias.row;
    for (int64_t k = 0; k < keys; ++k) s[k] += bias[(key + k) * x.bias.key];
  }
}

}  // namespace
}  // namespace kxfast::attention::KXFAST_ISA
