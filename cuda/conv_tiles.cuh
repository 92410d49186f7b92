// Convolutions as products of matrices: (positions) x (taps, channels) by (taps, channels) x (channels out).
//
// The text defines KX_T, the type, and the block's tile: four warps, two by two, of KX_BANDS bands of 16 rows
// and KX_N columns each. Rows are positions of all sequences, one after another. A row of the first factor is
// the input's row one shift away, so nothing is gathered beforehand: each thread brings 16 bytes of the
// same rows for every tap, having asked once which of them lie in their sequence and are not masked; the
// others are zeros that nobody reads from memory. Columns come in two groups of KX_N, a group for candidates
// and one for gates where there are such, side by side in one warp: a lane holds candidate and gate of the
// same position and channel. 64 bytes of depth are a step; KX_STAGES of them are on their way at a time, one
// barrier a step.
#pragma once

#include "conv_out.cuh"

namespace kx::conv {

constexpr int kBands = KX_BANDS, kN = KX_N, kStages = KX_STAGES;
constexpr int kThreads = 128, kRows = 2 * kBands * 16, kColumns = 2 * kN;
constexpr int kPairs = kN / 16;  // tiles of 8 columns that a warp has in each group
constexpr int kOwn =
    kBands * kPairs * static_cast<int>(sizeof(SumOf<KX_T>)) / 4;  // registers: an eighth of its sums

template <class T>
constexpr int kDeep = 64 / static_cast<int>(sizeof(T));
// The way from row to row of a tile: 16 bytes beyond its numbers, so that rows lie in different banks.
template <class T>
__device__ constexpr int padded(int numbers) {
  return numbers + 16 / static_cast<int>(sizeof(T));
}

// A warp's place in the block: its first row, and its first column in each group.
__device__ __forceinline__ int own_row() {
  return static_cast<int>(threadIdx.x / kWarp % 2) * kBands * 16;
}
__device__ __forceinline__ int own_column() {
  return static_cast<int>(threadIdx.x / kWarp / 2) * (kN / 2);
}
// Where a warp's n-th tile of 8 columns begins in the block's.
__device__ __forceinline__ int column_of(int n) {
  return own_column() + (n < kPairs ? n * 8 : kN + (n - kPairs) * 8);
}

// Starts to bring kDown rows of kAcross numbers; row(j, r) says where the r-th of
// the tile begins, the j-th of this thread; null: zeros. Of each row, `left`
// numbers are there. Asynchronous where rows are `whole` chunks.
template <class T, int kDown, int kAcross, int kPitch, class Row>
__device__ __forceinline__ void fetch(T* tile, i64 left, bool whole, Row row) {
  constexpr int kCount = Chunk<T>::kCount, kChunks = kAcross / kCount;
  static_assert(kDown * kChunks % kThreads == 0);
#pragma unroll
  for (int j = 0; j < kDown * kChunks / kThreads; ++j) {
    const int c = static_cast<int>(threadIdx.x) + j * kThreads, r = c / kChunks,
              column = c % kChunks * kCount;
    T* const to = tile + r * kPitch + column;
    const T* const from = row(j, r);
    if (whole && from && column < left) {
      copy_async_16(to, from + column);
    } else {
      Chunk<T> chunk{};
      if (from)
#pragma unroll
        for (int e = 0; e < kCount; ++e)
          if (column + e < left) chunk.at[e] = from[column + e];
      *reinterpret_cast<Chunk<T>*>(to) = chunk;
    }
  }
}

// sums += a b over kDeep. `a` has a row for each of the block's or, turned, for
// each depth; `b` a row for each depth or, turned, for each column.
template <class T, bool kTurnedA, bool kTurnedB>
__device__ __forceinline__ void multiply_tiles(Sums<T, kBands, kN>& sums, const T* a, const T* b) {
  constexpr int kPitchA = padded<T>(kTurnedA ? kRows : kDeep<T>);
  constexpr int kPitchB = padded<T>(kTurnedB ? kDeep<T> : kColumns);
  const int lane = lane_id(), own = own_row();
  if constexpr (Of<T>::kMatrix) {
    const int outer = lane / 16 * 8 + lane % 8, inner = lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < kDeep<T>; k += 16) {
      u32 band[kBands][4];
#pragma unroll
      for (int t = 0; t < kBands; ++t) {
        if constexpr (kTurnedA)
          load_matrix_x4_transposed(band[t], a + (k + outer) * kPitchA + own + t * 16 + inner);
        else
          load_matrix_x4(band[t], a + (own + t * 16 + lane % 16) * kPitchA + k + lane / 16 * 8);
      }
#pragma unroll
      for (int n = 0; n < 2 * kPairs; n += 2) {
        u32 two[4];
        if constexpr (kTurnedB)
          load_matrix_x4(two, b + (column_of(n) + outer) * kPitchB + k + inner);
        else
          load_matrix_x4_transposed(two, b + (k + lane % 16) * kPitchB + column_of(n) + lane / 16 * 8);
#pragma unroll
        for (int t = 0; t < kBands; ++t) {
          multiply(T{}, sums.at[t][n], band[t], two[0], two[1]);
          multiply(T{}, sums.at[t][n + 1], band[t], two[2], two[3]);
        }
      }
    }
  } else {
#pragma unroll 4
    for (int k = 0; k < kDeep<T>; ++k) {
      T row[kBands][2];
#pragma unroll
      for (int t = 0; t < kBands; ++t)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int r = own + t * 16 + 8 * i + lane / 4;
          row[t][i] = kTurnedA ? a[k * kPitchA + r] : a[r * kPitchA + k];
        }
#pragma unroll
      for (int n = 0; n < 2 * kPairs; ++n)
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int c = column_of(n) + lane % 4 * 2 + j;
          const T column = kTurnedB ? b[c * kPitchB + k] : b[k * kPitchB + c];
#pragma unroll
          for (int t = 0; t < kBands; ++t)
#pragma unroll
            for (int i = 0; i < 2; ++i)
              sums.at[t][n][2 * i + j] = fused(row[t][i], column, sums.at[t][n][2 * i + j]);
        }
    }
  }
}

// sums = rows first .. of the convolution, of the columns of `groups`. A tap of the
// weight is (deep, columns), or (columns, deep) if turned. `memory` holds kStages
// tiles of both factors.
template <class T, bool kTurned>
__device__ __forceinline__ void convolve(Sums<T, kBands, kN>& sums, T* memory, const Input<T>& in,
                                         const T* weight, i64 columns, const Groups& groups, i64 first) {
  constexpr int kPitchA = padded<T>(kDeep<T>), kPitchB = padded<T>(kTurned ? kDeep<T> : kColumns);
  constexpr int kSizeA = kRows * kPitchA, kSizeB = (kTurned ? kColumns : kDeep<T>)*kPitchB;
  constexpr int kMine = kRows * 4 / kThreads;  // rows of the first factor that a thread brings 16 bytes of
  const i64 chunks = (in.deep + kDeep<T> - 1) / kDeep<T>, steps = (in.end_tap - in.first_tap) * chunks;
  const bool whole =
      in.whole() && (kTurned || (columns % Chunk<T>::kCount == 0 && groups.begin[0] % Chunk<T>::kCount == 0 &&
                                 groups.begin[1] % Chunk<T>::kCount == 0));
  i64 place[kMine];
#pragma unroll
  for (int j = 0; j < kMine; ++j) place[j] = (first + threadIdx.x / 4 + 32 * j) % in.length;
  u32 live[kMine];  // bit a: tap a of the 32 now at hand reads something in that
                    // row
  i64 tap = in.first_tap, chunk = 0;
  const auto look = [&] {
    const i64 some = in.end_tap - tap;
#pragma unroll
    for (int j = 0; j < kMine; ++j) {
      const i64 row = first + threadIdx.x / 4 + 32 * j;
      live[j] = 0;
#pragma unroll 1
      for (int a = 0; a < 32 && a < some && row < in.rows; ++a) {
        const i64 at = place[j] + in.shift(tap + a);
        const bool there =
            at >= 0 && at < in.length && (!in.readable || in.readable[row + in.shift(tap + a)]);
        live[j] |= static_cast<u32>(there) << a;
      }
    }
  };
  const auto bring = [&](i64 stage) {
    if (tap < in.end_tap) {
      const int bit = static_cast<int>((tap - in.first_tap) % 32);
      if (!bit && !chunk) look();
      T* const a = memory + stage * (kSizeA + kSizeB);
      T* const b = a + kSizeA;
      const i64 done = chunk * kDeep<T>, from = (first + in.shift(tap)) * in.deep + done;
      fetch<T, kRows, kDeep<T>, kPitchA>(a, in.deep - done, whole, [&](int j, int r) {
        return live[j] >> bit & 1 ? in.data + from + r * in.deep : nullptr;
      });
#pragma unroll
      for (int g = 0; g < 2; ++g) {
        const i64 begin = groups.begin[g], left = groups.end[g] - begin;
        if constexpr (kTurned)
          fetch<T, kN, kDeep<T>, kPitchB>(b + g * kN * kPitchB, in.deep - done, whole, [&](int, int r) {
            return r < left ? weight + (tap * columns + begin + r) * in.deep + done : nullptr;
          });
        else
          fetch<T, kDeep<T>, kN, kPitchB>(b + g * kN, left, whole, [&](int, int r) {
            return done + r < in.deep ? weight + (tap * in.deep + done + r) * columns + begin : nullptr;
          });
      }
      if (++chunk == chunks) chunk = 0, ++tap;
    }
    copy_async_commit();
  };
  sums.clear();
#pragma unroll 1  // copies of what brings factors had 10,000 instructions
  for (int s = 0; s < kStages - 1; ++s) bring(s);
#pragma unroll 1
  for (i64 i = 0; i < steps; ++i) {
    copy_async_wait<kStages - 2>();
    __syncthreads();
    bring((i + kStages - 1) % kStages);
    const T* const a = memory + i % kStages * (kSizeA + kSizeB);
    multiply_tiles<T, false, kTurned>(sums, a, a + kSizeA);
  }
}

constexpr int kLanes = kN / 4;  // of a row, where sums are handed over: a warp has
                                // half of a group's columns

// Hands sums over to their columns; the factors' memory is that of the sums now.
template <class Columns, int kRoom, class T, class Target>
__device__ __forceinline__ void hand_over_tile(const Sums<T, kBands, kN>& sums, T* memory, i64 first,
                                               i64 rows, const Target& target, i64 begin) {
  constexpr int kOne = 8 * kHandedOver<kLanes>;
  static_assert(kThreads / kWarp * kOne * sizeof(SumOf<T>) <= kRoom * sizeof(T));
  SumOf<T>* const own = reinterpret_cast<SumOf<T>*>(memory) + threadIdx.x / kWarp * kOne;
  __syncthreads();
  hand_over<kLanes>(sums.at, own, rows, Columns(target, begin + own_column() + lane_id() % kLanes * 2),
                    [&](int band) { return first + own_row() + band * 16; });
}

}  // namespace kx::conv
