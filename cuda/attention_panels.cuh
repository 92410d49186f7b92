// Tiles of rows as products of warp groups read them (ptx_hopper.cuh), brought by a warp group of their own.
#pragma once

#include "attention_tiles.cuh"

namespace kx::attention {

constexpr int kGroup = 4 * static_cast<int>(kWarp);  // threads of a warp group

__device__ constexpr int panels(int columns) {
  return (columns + 63) / 64;
}
// Numbers of a tile.
__device__ constexpr int panel_tile(int rows, int columns) {
  return rows * panels(columns) * 64;
}
__device__ __forceinline__ int thread_of_group() {
  return static_cast<int>(threadIdx.x) % kGroup;
}

// The chunks of a tile that a thread of a warp group brings: use(where in the tile, row, column) for each.
// Few at a time: those who bring have few registers.
template <int kRows, int kColumns, class Use>
__device__ __forceinline__ void for_each_chunk(Use use) {
  const int chunk = thread_of_group() % 8, first = thread_of_group() / 8;
  const int place = first * 64 + (chunk ^ first % 8) * 8;
#pragma unroll 2
  for (int j = 0; j < kRows; j += 16)
#pragma unroll 1
    for (int p = 0; p < panels(kColumns); ++p)
      use(place + (p * kRows + j) * 64, first + j, p * 64 + chunk * 8);
}

// Starts to bring rows first .. first + kRows - 1, columns begin .. begin + kColumns - 1 of kAll, into a
// tile; what lies beyond `end` or kAll is 0, as are columns that fill up the last panel.
template <int kRows, int kColumns, int kAll, class T>
__device__ __forceinline__ void fetch_panels(T* tile, const T* rows, i64 step, i64 first, i64 end,
                                             Order order, int begin = 0) {
  static_assert(kAll % 8 == 0 && kRows % 16 == 0);
  const i64 left = end - first;
  for_each_chunk<kRows, kColumns>([&](int place, int row, int column) {
    if (row < left && begin + column < kAll)
      copy_async_16(tile + place, rows + order(first + row) * step + begin + column);
    else
      *reinterpret_cast<Chunk<T>*>(tile + place) = Chunk<T>{};
  });
}

// Whether a number of the chunks that this thread has brought is not finite.
template <int kRows, int kColumns, class T>
__device__ __forceinline__ bool mine_strange(const T* tile) {
  constexpr u32 kExponents = Of<T>::kExponents, kLast = kExponents & ~(kExponents << 1);
  u32 found = 0;
  for_each_chunk<kRows, kColumns>([&](int place, int, int) {
    const Chunk<u32> words = *reinterpret_cast<const Chunk<u32>*>(tile + place);
#pragma unroll
    for (int i = 0; i < 4; ++i) found |= (words.at[i] & kExponents) + kLast;  // into the signs
  });
  return (found & 0x80008000u) != 0;
}

// The numbers of a tile of kRows rows.
template <class T, int kRows>
struct PanelTile {
  const T* data;
  __device__ __forceinline__ T operator()(int row, int column) const {
    return data[(column / 64 * kRows + row) * 64 + (column % 64 / 8 ^ row % 8) * 8 + column % 8];
  }
};

// Between the begin of a group of products and its end: sums = rows of a tile of kRowsA rows, from the row
// `own` on, times a tile of kN rows, transposed, both along their first kDepth columns.
template <int kDepth, int kRowsA, int kN, class T>
__device__ __forceinline__ void group_times_transposed(Sums<T, 1, kN>& sums, const T* a, int own,
                                                       const T* b) {
  const u64 left = tile_descriptor(a + own * 64, 0), right = tile_descriptor(b, 0);
#pragma unroll
  for (u32 k = 0; k < rounded_up(kDepth, 16); k += 16) {
    const u32 panel = k / 64 * 128, within = k % 64 * 2;
    multiply_group<Of<T>::kBrain, false, false>(sums.at[0], moved(left, panel * kRowsA + within),
                                                moved(right, panel * kN + within), k > 0);
  }
}

// A product of kN columns, rounded, as a first factor.
template <class T, int kN>
struct Factor {
  u32 at[kN / 16][4];

  __device__ __forceinline__ explicit Factor(const Sums<T, 1, kN>& p) {
#pragma unroll
    for (int k = 0; k < kN / 16; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        at[k][i] = pack(T{}, p.at[0][2 * k + i / 2][i % 2 * 2], p.at[0][2 * k + i / 2][i % 2 * 2 + 1]);
  }

  // Column by column: the pair that has column j, of the first 16, of a lane's i-th row, from the lane with
  // it.
  __device__ __forceinline__ u32 from(int j, int i, int lane) const {
    return __shfl_sync(kAllLanes, j / 8 % 2 ? at[0][2 + i] : at[0][i], lane);
  }
  // Makes the next 16 columns the first.
  __device__ __forceinline__ void go_on() {
#pragma unroll
    for (int k = 0; k + 1 < kN / 16; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i) at[k][i] = at[k + 1][i];
  }
};

// The same: sums += p b, b being a tile of kN rows.
template <class T, int kColumns, int kN>
__device__ __forceinline__ void group_times(Sums<T, 1, kColumns>& sums, const Factor<T, kN>& p, const T* b) {
  constexpr int kTiles = kColumns == 64 ? 8 : 16;
  static_assert(kColumns % (8 * kTiles) == 0);
  const u64 right = turned_descriptor(b, 0, kN * 128);
#pragma unroll
  for (u32 k = 0; k < kN / 16; ++k)
#pragma unroll
    for (u32 c = 0; c < kColumns / 8; c += kTiles)
      multiply_group<Of<T>::kBrain, true>(reinterpret_cast<float (&)[kTiles][4]>(sums.at[0][c]), p.at[k],
                                          moved(right, c / 8 * kN * 128 + 16 * k * 128));
}

}  // namespace kx::attention
