// Products of bfloat16 for attention: one instruction multiplies two neighbours with two neighbours and adds
// both products to a float. What is summed over stands in pairs: of channels in packed tiles of keys, of rows
// elsewhere. The micro-kernel is that of tile.hpp, 6 rows by 4 registers of sums, with half the steps.
#pragma once

#include <cstring>

#include "attention/simd/half.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

constexpr int kLanes = 16;                 // floats of a register, and pairs of one
constexpr int64_t kTilePairs = 2 * kTile;  // elements of a step of a packed tile

inline __m512bh load_pairs(const Bfloat16* x) {
  return (__m512bh)_mm512_loadu_si512(x);
}
inline __m512bh all_pairs(const Bfloat16* x) {
  int32_t pair;
  std::memcpy(&pair, x, sizeof pair);
  return (__m512bh)_mm512_set1_epi32(pair);
}
inline Floats fused(__m512bh a, __m512bh b, Floats c) {
  return (Floats)_mm512_dpbf16_ps((__m512)c, a, b);
}

// c[i][0 ...] = sum over steps of a[i][step a_step ...] b[step b_row ...], of a group and NV registers; ADD:
// c += it.
template <int NV, bool ADD>
inline void product(const Bfloat16* const* a, int64_t a_step, const Bfloat16* b, int64_t b_row, int64_t steps,
                    float* c, int64_t c_row) {
  Floats sum[kGroup][NV] = {};
  for (int64_t k = 0; k < steps; ++k, b += b_row) {
    __m512bh v[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) v[j] = load_pairs(b + j * 2 * kLanes);
#pragma GCC unroll 6
    for (int i = 0; i < kGroup; ++i) {
      const __m512bh x = all_pairs(a[i] + k * a_step);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = fused(x, v[j], sum[i][j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kGroup; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      float* to = c + i * c_row + j * kLanes;
      store(to, ADD ? load(to) + sum[i][j] : sum[i][j]);
    }
}

// The same for any number of registers.
template <bool ADD>
inline void products(const Bfloat16* const* a, int64_t a_step, const Bfloat16* b, int64_t b_row,
                     int64_t steps, float* c, int64_t c_row, int64_t registers) {
  for (; registers >= 4; registers -= 4, b += 8 * kLanes, c += 4 * kLanes)
    product<4, ADD>(a, a_step, b, b_row, steps, c, c_row);
  if (registers == 1) product<1, ADD>(a, a_step, b, b_row, steps, c, c_row);
  if (registers == 2) product<2, ADD>(a, a_step, b, b_row, steps, c, c_row);
  if (registers == 3) product<3, ADD>(a, a_step, b, b_row, steps, c, c_row);
}

// s = rows times the keys of a packed tile, registers `from` to `to`
inline void scores(const Bfloat16* const* row, const Bfloat16* panel, int64_t d, int from, int to, float* s) {
  products<false>(row, 2, panel + from * 2 * kLanes, kTilePairs, (d + 1) / 2, s + from * kLanes, kTile,
                  to - from);
}

// Keys of a tile, two by two, from the pair that holds the first to the one that holds the last.
struct PairRun {
  int64_t first, count;
};
inline PairRun pairs_of(uint64_t any) {
  const int64_t first = __builtin_ctzll(any) / 2, last = (65 - __builtin_clzll(any)) / 2;
  return {first, last - first};
}

}  // namespace
}  // namespace kxfast::attention::KXFAST_ISA
