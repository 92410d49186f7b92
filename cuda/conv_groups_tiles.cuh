// Convolutions as products of matrices on Hopper, of half types: see conv_tiles.cuh for what is multiplied.
//
// A block is three warp groups. The first brings factors, 64 numbers of depth a step, into a ring of
// kStages stages; each of the other two multiplies 128 rows by 128 columns of two groups, 64 of candidates
// and 64 of gates, so that both come out of one instruction and a lane holds candidate and gate of the same
// position and channel. Blocks stay and take tile after tile: while sums are written, the first steps of the
// next tile are on their way. The innermost loop is over the 16 numbers of depth of an instruction.
//
// A step brings 48 KiB for 2^21 products, which on paper takes the second cache longer than the matrix units:
// it is the limit of deep layers. Counted in instructions, the way out of a gated tile is as long as the
// products of nine steps, and nothing is multiplied meanwhile: that is the limit of layers with few channels,
// which have six steps at 128. Two blocks would have no room for their sums on a multiprocessor.
// Tried and lost, by instructions: results written from the registers that hold the sums, in pieces of 16
// bytes. Not tried: bulk copies that go to several blocks at once, and a tile of its own for either warp
// group, in turn. Not measured on a GPU.
#pragma once

#include "conv_groups_ring.cuh"
#include "conv_out.cuh"

namespace kx::conv {

constexpr int kN = 64, kRows = 2 * kBands * 64;  // columns of a group; rows
constexpr int kLanes = kWarp;                    // of a row, where sums are handed over

// Steps of depth of a tile.
template <class T>
__device__ __forceinline__ i64 steps_of(const Input<T>& in) {
  return (in.end_tap - in.first_tap) * ((in.deep + kDeep - 1) / kDeep);
}

// Brings both factors of the rows first .. and the columns of `groups`. A tap of the weight is (deep,
// columns), or (columns, deep) if turned; rows of both factors are made of whole chunks.
template <class T, bool kTurned>
__device__ __forceinline__ void bring_tile(Ring<T>& ring, const Input<T>& in, const T* weight, i64 columns,
                                           const Groups& groups, i64 first) {
  constexpr int kJump = Bringer::kJump;
  const Bringer mine;
  const int own = mine.row, column = mine.column;
  // Of its 16 rows of the first factor a thread looks after two.
  i64 row[2], within[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    row[h] = first + own + 16 * (mine.chunk + 8 * h);
    within[h] = row[h] % in.length;
  }
  for (i64 tap = in.first_tap; tap < in.end_tap; ++tap) {
    const i64 shift = in.shift(tap);
    u32 live = 0;  // bit j: the tap reads something in row own + 16 j
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const i64 at = within[h] + shift;
      const bool there =
          row[h] < in.rows && at >= 0 && at < in.length && (!in.readable || in.readable[row[h] + shift]);
      live |= mine.votes(there) << 8 * h;
    }
    for (i64 done = 0; done < in.deep; done += kDeep) {
      ring.wait_until_empty();
      const bool within_row = done + column < in.deep;
      const T* const from = in.data + (first + own + shift) * in.deep + done + column;
#pragma unroll
      for (int j = 0; j < kRows / 16; ++j)
        bring_chunk(ring.a() + mine.place + j * kJump, from + 16 * j * in.deep, within_row && live >> j & 1);
#pragma unroll
      for (int g = 0; g < 2; ++g) {
        const i64 begin = groups.begin[g], left = groups.end[g] - begin;
        T* const to = ring.b() + g * kN * kDeep + mine.place;
        if constexpr (kTurned) {
          const T* const rows = weight + (tap * columns + begin + own) * in.deep + done + column;
#pragma unroll
          for (int j = 0; j < kN / 16; ++j)
            bring_chunk(to + j * kJump, rows + 16 * j * in.deep, within_row && own + 16 * j < left);
        } else {
          const T* const rows = weight + (tap * in.deep + done + own) * columns + begin + column;
#pragma unroll
          for (int j = 0; j < kDeep / 16; ++j)
            bring_chunk(to + j * kJump, rows + 16 * j * columns,
                        column < left && done + own + 16 * j < in.deep);
        }
      }
      ring.sent();
    }
  }
}

// The warp group's first row of the tile.
__device__ __forceinline__ int own_rows() {
  return static_cast<int>(threadIdx.x / kGroup - 1) * kBands * 64;
}

// Whether one of a tile's rows counts; all lanes of a warp ask for the same tile.
template <class T>
__device__ __forceinline__ bool any_counts(const Input<T>& in, const u8* counted, i64 first) {
  bool some = !counted;
  for (i64 row = first + lane_id(); !some && row < first + kRows && row < in.rows; row += kWarp)
    some = counted[row] != 0;
  return __any_sync(kAllLanes, some);
}

// All tiles of a convolution; those with the same rows are neighbours. `Columns` are made of a target and the
// first of a lane's columns, and kAcross is a tile's. A tile whose rows are all not `counted` has sums of 0.
template <class T, bool kTurned, class Columns, class Target>
__device__ __forceinline__ void convolve(const Input<T>& in, const T* weight, i64 columns, const u8* counted,
                                         i64 wide, const Target& target) {
  Shared shared;
  Ring<T> ring(shared);
  float* const rows_of_warps = shared.take<float>(2 * kGroup / kWarp * 8 * kHandedOver<kLanes>);
  const i64 across = (wide + Columns::kAcross - 1) / Columns::kAcross;
  const i64 tiles = (in.rows + kRows - 1) / kRows * across;
  if (threadIdx.x < kGroup) {
    leave_registers<kFewer>();
    for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
      const i64 first = tile / across * kRows, begin = tile % across * Columns::kAcross;
      if (any_counts(in, counted, first))
        bring_tile<T, kTurned>(ring, in, weight, columns, Columns::groups(target, begin), first);
    }
    ring.all_sent();
  } else {
    take_registers<kMore>();
    const int own = __shfl_sync(kAllLanes, own_rows(), 0);  // one of a warp: addresses are computed once
    for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
      const i64 first = tile / across * kRows, begin = tile % across * Columns::kAcross;
      GroupSums sums;
      multiply_steps(
          ring, sums, any_counts(in, counted, first) ? steps_of(in) : 0, [&](const T* a, const T* b, int k) {
            const u64 right = moved(kTurned ? tile_descriptor(b, 0) : turned_descriptor(b, 0, kDeep * 128),
                                    static_cast<u32>(kTurned ? 2 * k : 128 * k));
#pragma unroll
            for (int m = 0; m < kBands; ++m) {
              const u64 left = tile_descriptor(a + (own + m * 64) * kDeep, 0);
              multiply_group<kBrain<T>, false, !kTurned>(sums[m], moved(left, static_cast<u32>(2 * k)),
                                                         right);
            }
          });
      const int warp = static_cast<int>(threadIdx.x / kWarp);
      hand_over<kLanes>(sums, rows_of_warps + (warp - 4) * 8 * kHandedOver<kLanes>, in.rows,
                        Columns(target, begin + 2 * lane_id()),
                        [&](int band) { return first + own_rows() + band * 64 + warp % 4 * 16; });
    }
  }
}

}  // namespace kx::conv
