// y = skip connection and candidates, mixed as gates say: the forward pass of a dilated gated convolution;
// and convolutions without gates, which its gradients and shortcuts are made of.
//
// A block owns 128 positions and 64 channels (64 and 32 where there would be few blocks), whose candidates
// and gates come out of one product (conv_tiles.cuh), and ends with them in registers: bias, dropout,
// sigmoid, skip connection and mask are done there, and each result is written once. The innermost loop is
// over the columns of a matrix instruction's second factor, for all bands of the warp. Positions of all
// sequences stand in one line, so short sequences leave no tile half empty; a block whose positions are all
// masked writes zeros. With a warp's 64 x 64 sums four ldmatrix serve sixteen instructions: on paper the
// matrix units are the limit, not shared memory. Not measured on a GPU, and not tried: warp-group
// instructions with bulk copies.
#pragma once

#include "conv_gates.cuh"
#include "conv_tiles.cuh"

namespace kx::conv {

// What is done with candidates and gates; null pointers: not wanted, or not there.
template <class T>
struct Gate {
  const T* bias;
  const u8* counted;  // positions whose result is not 0
  Skip skip;
  bool first;  // gates are the first half of the columns
  Skipped<T> skipped;
  Dropout dropout;
  T* y;
  SumOf<T>*parts, *mixed;  // candidates and open shares; c s alone, where a normalisation follows

  // The results of two neighbouring channels at a row, of which `count` are there.
  __device__ __forceinline__ void finish(i64 row, i64 f, int count, const SumOf<T> (&c)[2],
                                         const SumOf<T> (&g)[2], bool there) const {
    using Sum = SumOf<T>;
    const i64 channels = skipped.channels;
    const bool pair = channels % 2 == 0;
    Sum factor[2], opens[2], keeps[2], mix[2], out[2], x[2] = {0, 0}, candidate[2];
    dropout.factors(factor, row, f);
    if (y && skip != kNone && there) {
      if (skipped.projected)
        load_pair<Sum>(x, skipped.projected + row * channels + f, count, pair);
      else if (!skipped.mask || skipped.mask[row])
        load_pair<T>(x, skipped.input + row * channels + f, count, pair);
    }
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      sigmoid(g[j] * factor[j], opens[j], keeps[j]);
      mix[j] = c[j] * opens[j];
      out[j] = skip == kGated ? fused(x[j], keeps[j], mix[j]) : x[j] + mix[j];
      candidate[j] = c[j];
      if (!there) out[j] = mix[j] = opens[j] = candidate[j] = 0;
    }
    if (y) store_pair<T>(y + row * channels + f, out, count, pair);
    if (mixed) store_pair<Sum>(mixed + row * channels + f, mix, count, pair);
    if (!parts) return;
    store_pair<Sum>(parts + row * 2 * channels + f, candidate, count, pair);
    store_pair<Sum>(parts + row * 2 * channels + channels + f, opens, count, pair);
  }
};

// Numbers of shared memory that the stages of both factors take.
template <class T>
constexpr int kTiles = kStages * (kRows * padded<T>(kDeep<T>) + kDeep<T> * padded<T>(kColumns));

// Tile `tile` of one layer; tiles with the same rows are neighbours.
template <class T>
__device__ __forceinline__ void gated_tile(T* memory, const Input<T>& in, const T* weight,
                                           const Gate<T>& gate, i64 tile) {
  using Sum = SumOf<T>;
  const i64 channels = gate.skipped.channels, across = (channels + kN - 1) / kN;
  const i64 first = tile / across * kRows, begin = tile % across * kN;
  bool some = !gate.counted;
  for (i64 row = first + threadIdx.x; !some && row < first + kRows && row < in.rows; row += kThreads)
    some = gate.counted[row] != 0;
  // Behind this barrier the tile's memory may be filled again, too.
  const bool any = __syncthreads_count(static_cast<int>(some)) > 0;
  Sums<T, kBands, kN> sums;
  const i64 of_c = gate.first ? channels : 0, of_g = channels - of_c;
  if (any) {
    const Groups groups = {{of_c + begin, of_g + begin}, {of_c + channels, of_g + channels}};
    convolve<T, false>(sums, memory, in, weight, 2 * channels, groups, first);
  } else {
    sums.clear();
  }
  for_each_pair(sums, first, in.rows, [&](i64 row, int column, const Sum(&one)[2], const Sum(&other)[2]) {
    const i64 f = begin + column;
    if (f >= channels) return;
    const int count = f + 1 < channels ? 2 : 1;
    Sum c[2] = {one[0], one[1]}, g[2] = {other[0], other[1]};
    for (int j = 0; j < count && gate.bias; ++j)
      c[j] += widen(gate.bias[of_c + f + j]), g[j] += widen(gate.bias[of_g + f + j]);
    gate.finish(row, f, count, c, g, !gate.counted || gate.counted[row]);
  });
}

}  // namespace kx::conv
