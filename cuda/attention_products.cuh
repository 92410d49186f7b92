// Products of tiles, sums in registers.
//
// A warp owns bands of 16 rows of its left factor; a product of a band with N columns is held as matrix
// instructions hold it, sum[n][2 i + j] being row lane / 4 + 8 i, column 8 n + 2 (lane % 4) + j.
// `times_transposed` multiplies two tiles along their rows (scores), `times` a product in registers with a
// tile (values). bfloat16 and float16 go through mma.sync; float and double through fused multiply-adds in
// the same places, 16 bytes of a row at a time: three products of tf32 halves would be twice as fast at best
// and lose the last bits that float32 is asked for.
#pragma once

#include "attention_tiles.cuh"

namespace kx::attention {

// sums += a b', both along their first kDepth columns: a is where the warp's bands begin, b a tile of kN
// rows.
template <class T, int kDepth, int kBands, int kN>
__device__ __forceinline__ void times_transposed(Sums<T, kBands, kN>& sums, const T* a, const T* b) {
  constexpr int kPitch = pitch<T>(kDepth), kWide = wide<T>(kDepth), kCount = Chunk<T>::kCount;
  const int lane = lane_id();
  if constexpr (Of<T>::kMatrix) {
    static_assert(kN % 16 == 0);
    const T* const left = a + lane % 16 * kPitch + lane / 16 * 8;
    const T* const right = b + (lane / 16 * 8 + lane % 8) * kPitch + lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < kWide; k += 16) {
      u32 band[kBands][4];
#pragma unroll
      for (int t = 0; t < kBands; ++t) load_matrix_x4(band[t], left + t * 16 * kPitch + k);
#pragma unroll
      for (int n = 0; n < kN / 16; ++n) {
        u32 two[4];
        load_matrix_x4(two, right + n * 16 * kPitch + k);
#pragma unroll
        for (int t = 0; t < kBands; ++t) {
          multiply(T{}, sums.at[t][2 * n], band[t], two[0], two[1]);
          multiply(T{}, sums.at[t][2 * n + 1], band[t], two[2], two[3]);
        }
      }
    }
  } else {
    const T* const left = a + lane / 4 * kPitch;
    const T* const right = b + lane % 4 * 2 * kPitch;
    const auto chunk = [](const T* from) { return *reinterpret_cast<const Chunk<T>*>(from); };
#pragma unroll 1
    for (int k = 0; k < kWide; k += kCount) {
#pragma unroll
      for (int t = 0; t < kBands; ++t) {
        const Chunk<T> row[2] = {chunk(left + t * 16 * kPitch + k), chunk(left + (t * 16 + 8) * kPitch + k)};
#pragma unroll
        for (int n = 0; n < kN / 8; ++n) {
          const Chunk<T> column[2] = {chunk(right + n * 8 * kPitch + k),
                                      chunk(right + (n * 8 + 1) * kPitch + k)};
#pragma unroll
          for (int e = 0; e < 4; ++e)
#pragma unroll
            for (int c = 0; c < kCount; ++c)
              sums.at[t][n][e] = fused(row[e / 2].at[c], column[e % 2].at[c], sums.at[t][n][e]);
        }
      }
    }
  }
}

// One row of a tile, times the factors of a lane's rows in a band, where `kept` says that it counts; row(c)
// is its number in column c.
template <int kColumns, class Sum, class Row>
__device__ __forceinline__ void add_row(Sum (&sums)[kColumns / 8][4], const Sum (&by)[2],
                                        const bool (&kept)[2], Row row, int valid) {
  const int lane = lane_id();
#pragma unroll
  for (int c = 0; c < kColumns / 8; ++c)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (c * 8 >= valid) continue;
      const Sum next = fused(by[e / 2], widen(row(c * 8 + lane % 4 * 2 + e % 2)), sums[c][e]);
      sums[c][e] = kept[e / 2] ? next : sums[c][e];
    }
}

// sums += p b for those pairs alone that are in `kept`, bit 4 n + e of it for p[n][e]: a forbidden NaN in b
// goes nowhere. b(j, c) is its number in row j, column c. Row by row; p comes from the lane that holds it.
// Eight rows on, p is moved along, so that the loop needs no registers that are chosen at run time.
template <class T, int kColumns, int kBands, int kN, class Tile>
__device__ __forceinline__ void times_selected(Sums<T, kBands, kColumns>& sums, Sums<T, kBands, kN> p,
                                               const u32 (&kept)[kBands], Tile b, int valid = kColumns) {
  using Sum = SumOf<T>;
  const int quad = lane_id() / 4 * 4;
#pragma unroll
  for (int t = 0; t < kBands; ++t)
#pragma unroll 1
    for (int j = 0; j < kN; ++j) {
      const int from = quad + j % 8 / 2, bit = j / 8 * 4 + j % 2;
      const Sum mine[2] = {j % 2 ? p.at[t][0][1] : p.at[t][0][0], j % 2 ? p.at[t][0][3] : p.at[t][0][2]};
      const u32 word = __shfl_sync(kAllLanes, kept[t], from);
      const Sum by[2] = {__shfl_sync(kAllLanes, mine[0], from), __shfl_sync(kAllLanes, mine[1], from)};
      const bool some[2] = {(word >> bit & 1) != 0, (word >> (bit + 2) & 1) != 0};
      add_row<kColumns>(sums.at[t], by, some, [&](int c) { return b(j, c); }, valid);
      if (j % 8 < 7) continue;
#pragma unroll
      for (int n = 0; n + 1 < kN / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) p.at[t][n][e] = p.at[t][n + 1][e];
    }
}

// The numbers of a tile whose rows are so far apart.
template <class T, int kPitch>
struct PaddedTile {
  const T* data;
  __device__ __forceinline__ T operator()(int row, int column) const { return data[row * kPitch + column]; }
};

// sums += p b; b is a tile of kN rows, or a part of its columns of which `valid` are there.
template <class T, int kPitch, int kColumns, int kBands, int kN>
__device__ __forceinline__ void times(Sums<T, kBands, kColumns>& sums, const Sums<T, kBands, kN>& p,
                                      const T* b, int valid = kColumns) {
  const int lane = lane_id();
  if constexpr (Of<T>::kMatrix) {
    static_assert(kN % 16 == 0 && kColumns % 16 == 0);
    const T* const right = b + lane % 16 * kPitch + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < kN / 16; ++k) {
      u32 band[kBands][4];
#pragma unroll
      for (int t = 0; t < kBands; ++t)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          band[t][i] = pack(T{}, p.at[t][2 * k + i / 2][i % 2 * 2], p.at[t][2 * k + i / 2][i % 2 * 2 + 1]);
#pragma unroll
      for (int c = 0; c < kColumns / 16; ++c) {
        if (c * 16 >= valid) continue;
        u32 two[4];
        load_matrix_x4_transposed(two, right + k * 16 * kPitch + c * 16);
#pragma unroll
        for (int t = 0; t < kBands; ++t) {
          multiply(T{}, sums.at[t][2 * c], band[t], two[0], two[1]);
          multiply(T{}, sums.at[t][2 * c + 1], band[t], two[2], two[3]);
        }
      }
    }
  } else {
    using Sum = SumOf<T>;
    const bool all[2] = {true, true};
#pragma unroll
    for (int t = 0; t < kBands; ++t)
#pragma unroll
      for (int n = 0; n < kN / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e)
#pragma unroll 1
          for (int l = 0; l < 4; ++l) {
            const int from = lane / 4 * 4 + l;
            const Sum by[2] = {__shfl_sync(kAllLanes, p.at[t][n][e], from),
                               __shfl_sync(kAllLanes, p.at[t][n][2 + e], from)};
            const T* const row = b + (n * 8 + 2 * l + e) * kPitch;
            add_row<kColumns>(sums.at[t], by, all, [&](int at) { return row[at]; }, valid);
          }
  }
}

}  // namespace kx::attention
