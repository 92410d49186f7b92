// Tiles of rows in shared memory, and how they come in.
//
// A tile holds whole rows, each padded with zeros to what a matrix instruction takes and 16 bytes more, so
// that eight rows at the same column lie in different banks: nothing is turned round in addresses. Rows made
// of whole 16 bytes come by asynchronous copies, others number by number.
#pragma once

#include "numbers.cuh"

namespace kx::attention {

constexpr int kThreads = KX_WARPS * 32;

// The order in which rows are taken: the place of the r-th one; none: as they stand.
struct Order {
  const i64* places;
  __device__ __forceinline__ i64 operator()(i64 r) const { return places ? places[r] : r; }
};

// Starts to bring rows first .. first + kRows - 1, columns begin .. begin + kColumns - 1 of kAll, into a
// tile; what lies beyond `end` or kAll is 0. Asynchronous where rows are made of whole chunks.
template <class T, int kRows, int kColumns, int kAll>
__device__ __forceinline__ void fetch(T* tile, const T* rows, i64 step, i64 first, i64 end, Order order,
                                      int begin = 0) {
  constexpr int kWide = wide<T>(kColumns), kPitch = pitch<T>(kColumns), kCount = Chunk<T>::kCount;
  const i64 left = end - first;
  if constexpr (kAll % kCount == 0 && (kColumns == kAll || kColumns % kCount == 0)) {
    for (int c = static_cast<int>(threadIdx.x); c < kRows * (kWide / kCount); c += kThreads) {
      const int row = c / (kWide / kCount), column = c % (kWide / kCount) * kCount;
      T* const to = tile + row * kPitch + column;
      if (row < left && column < kColumns && begin + column < kAll)
        copy_async_16(to, rows + order(first + row) * step + begin + column);
      else
        *reinterpret_cast<Chunk<T>*>(to) = Chunk<T>{};
    }
  } else {
    for (int c = static_cast<int>(threadIdx.x); c < kRows * kWide; c += kThreads) {
      const int row = c / kWide, column = c % kWide;
      const bool there = row < left && column < kColumns && begin + column < kAll;
      tile[row * kPitch + column] = there ? rows[order(first + row) * step + begin + column] : T{};
    }
  }
}

// Whether some thread's pairs are forbidden and any number of a tile is not finite: the same answer in all
// threads, which must all ask.
template <class T, int kRows, int kColumns>
__device__ __forceinline__ bool any_strange(bool forbids, const T* tile) {
  if (!__syncthreads_count(static_cast<int>(forbids))) return false;
  constexpr int kWide = wide<T>(kColumns), kPitch = pitch<T>(kColumns), kCount = Chunk<T>::kCount;
  bool found = false;
  for (int c = static_cast<int>(threadIdx.x); c < kRows * (kWide / kCount); c += kThreads) {
    const int row = c / (kWide / kCount), column = c % (kWide / kCount) * kCount;
    const Chunk<T> chunk = *reinterpret_cast<const Chunk<T>*>(tile + row * kPitch + column);
    for (int e = 0; e < kCount; ++e) {
      const SumOf<T> x = widen(chunk.at[e]);
      found = found || !(x - x == 0);
    }
  }
  return __syncthreads_count(static_cast<int>(found)) > 0;
}

}  // namespace kx::attention
