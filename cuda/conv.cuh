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

// Calls use(row, column in the group, sums of the two groups) for each two neighbouring columns of a lane.
template <class T, class Use>
__device__ __forceinline__ void for_each_pair(const Sums<T, kBands, kN>& sums, i64 first, i64 rows, Use use) {
  const int lane = lane_id();
#pragma unroll
  for (int t = 0; t < kBands; ++t)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const i64 row = first + own_row() + t * 16 + 8 * i + lane / 4;
      if (row >= rows) continue;
#pragma unroll
      for (int n = 0; n < kPairs; ++n) {
        const SumOf<T> one[2] = {sums.at[t][n][2 * i], sums.at[t][n][2 * i + 1]};
        const SumOf<T> other[2] = {sums.at[t][n + kPairs][2 * i], sums.at[t][n + kPairs][2 * i + 1]};
        use(row, own_column() + n * 8 + lane % 4 * 2, one, other);
      }
    }
}

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

// out (rows, columns) = the convolution + bias + added; 0 where `kept` says so. One of out and sums_out is
// there.
template <class T, bool kTurned>
__device__ __forceinline__ void plain_tile(const Input<T>& in, const T* weight, i64 columns, const T* bias,
                                           const SumOf<T>* added, const u8* kept, T* out,
                                           SumOf<T>* sums_out) {
  using Sum = SumOf<T>;
  Shared shared;
  T* const memory =
      shared.take<T>(kStages * (kRows * padded<T>(kDeep<T>) +
                                (kTurned ? kColumns * padded<T>(kDeep<T>) : kDeep<T> * padded<T>(kColumns))));
  const i64 across = (columns + kColumns - 1) / kColumns;
  const i64 first = blockIdx.x / across * kRows, begin = blockIdx.x % across * kColumns;
  Sums<T, kBands, kN> sums;
  const Groups groups = {{begin, begin + kN}, {columns, columns}};
  convolve<T, kTurned>(sums, memory, in, weight, columns, groups, first);
  const bool pair = columns % 2 == 0;
  for_each_pair(sums, first, in.rows, [&](i64 row, int column, const Sum(&one)[2], const Sum(&other)[2]) {
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      const i64 at = begin + g * kN + column, place = row * columns + at;
      if (at >= columns) return;
      const int count = at + 1 < columns ? 2 : 1;
      Sum x[2] = {g ? other[0] : one[0], g ? other[1] : one[1]};
      for (int j = 0; j < count; ++j) {
        if (bias) x[j] += widen(bias[at + j]);
        if (added) x[j] += added[place + j];
        if (kept && !kept[row]) x[j] = 0;
      }
      if (out) store_pair<T>(out + place, x, count, pair);
      if (sums_out) store_pair<Sum>(sums_out + place, x, count, pair);
    }
  });
}

}  // namespace kx::conv

#define KX_INPUT_PARAMETERS                                                                                \
  const KX_T *data, const kx::u8 *readable, kx::i64 rows, kx::i64 length, kx::i64 deep, kx::i64 first_tap, \
      kx::i64 end_tap, kx::i64 step, kx::i64 origin, const KX_T *weight
#define KX_INPUT {data, readable, rows, length, deep, first_tap, end_tap, step, origin}
#define KX_PLAIN_PARAMETERS                                                                                \
  KX_INPUT_PARAMETERS, kx::i64 columns, const KX_T *bias, const kx::SumOf<KX_T>*added, const kx::u8 *kept, \
      KX_T *out, kx::SumOf<KX_T>*sums_out

extern "C" __global__ void __launch_bounds__(128, 2)
    conv_gated(KX_INPUT_PARAMETERS, kx::i64 channels, const KX_T* bias, const kx::u8* counted, kx::i64 skip,
               kx::i64 first, const KX_T* skipped, const kx::SumOf<KX_T>* projected, const kx::u8* skip_mask,
               kx::u64 threshold, kx::u64 key, double kept, double sign, KX_T* y, kx::SumOf<KX_T>* parts,
               kx::SumOf<KX_T>* mixed) {
  using namespace kx::conv;
  kx::Shared shared;
  KX_T* const memory =
      shared.take<KX_T>(kStages * (kRows * padded<KX_T>(kDeep<KX_T>) + kDeep<KX_T> * padded<KX_T>(kColumns)));
  const Input<KX_T> in = KX_INPUT;
  const Gate<KX_T> gate = {bias,
                           counted,
                           static_cast<Skip>(skip),
                           first != 0,
                           {skipped, projected, skip_mask, channels},
                           {threshold, key, kept, sign},
                           y,
                           parts,
                           mixed};
  gated_tile<KX_T>(memory, in, weight, gate, blockIdx.x);
}
KX_ENTRY(conv_gated)

extern "C" __global__ void __launch_bounds__(128, 2) conv_plain(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tile<KX_T, false>(KX_INPUT, weight, columns, bias, added, kept, out, sums_out);
}
KX_ENTRY(conv_plain)

extern "C" __global__ void __launch_bounds__(128, 2) conv_turned(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tile<KX_T, true>(KX_INPUT, weight, columns, bias, added, kept, out, sums_out);
}
KX_ENTRY(conv_turned)
