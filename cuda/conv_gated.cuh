// y = skip connection and candidates, mixed as gates say: the forward pass of a dilated gated convolution;
// and convolutions without gates, which its gradients and shortcuts are made of.
//
// A block owns 128 positions and 64 channels (64 and 32 where there would be few blocks), whose candidates
// and gates come out of one product (conv_tiles.cuh), and hands them over to lanes that stand side by side
// along the channels: bias, dropout, sigmoid, skip connection and mask are done there, and each result is
// written once. The innermost loop is over the columns of a matrix instruction's second factor, for all bands
// of the warp. Positions of all sequences stand in one line, so short sequences leave no tile half empty; a
// block whose positions are all masked writes zeros. With a warp's 64 x 64 sums four ldmatrix serve sixteen
// instructions: on paper the matrix units are the limit, not shared memory. On Hopper large half types go by
// conv_groups.cuh. Not measured on a GPU.
#pragma once

#include "conv_gates.cuh"
#include "conv_tiles.cuh"

namespace kx::conv {

// Numbers of shared memory that the stages of both factors take.
template <class T>
constexpr int kTiles = kStages * (kRows * padded<T>(kDeep<T>) + kDeep<T> * padded<T>(kColumns));

// Blocks of a multiprocessor that registers must have room for: more of them where a lane's sums are few.
constexpr int kGatedBlocks = kOwn <= 4 ? 4 : 2;

// Tile `tile` of one layer; tiles with the same rows are neighbours.
template <class T>
__device__ __forceinline__ void gated_tile(T* memory, const Input<T>& in, const T* weight,
                                           const Gate<T>& gate, i64 tile) {
  const i64 channels = gate.skipped.channels, across = (channels + kN - 1) / kN;
  const i64 first = tile / across * kRows, begin = tile % across * kN;
  bool some = !gate.counted;
  for (i64 row = first + threadIdx.x; !some && row < first + kRows && row < in.rows; row += kThreads)
    some = gate.counted[row] != 0;
  // Behind this barrier the tile's memory may be filled again, too.
  const bool any = __syncthreads_count(static_cast<int>(some)) > 0;
  Sums<T, kBands, kN> sums;
  if (any) {
    convolve<T, false>(sums, memory, in, weight, 2 * channels, gate.groups(begin), first);
  } else {
    sums.clear();
  }
  hand_over_tile<GateColumns<T, kN, false>, kTiles<T>>(sums, memory, first, in.rows, gate, begin);
}

}  // namespace kx::conv
