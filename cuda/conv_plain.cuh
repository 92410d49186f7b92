// Convolutions without gates: shortcuts, and gradients of inputs, whose weights are read the other way round.
//
// The products are those of the forward pass (conv_tiles.cuh), the innermost loop and the limits too; a block
// owns as many columns as there are in both groups. What a gradient has beside them, that of the skip
// connection, is added on the way out.
#include "conv_tiles.cuh"

namespace kx::conv {

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

#define KX_PLAIN_PARAMETERS                                                                                \
  KX_INPUT_PARAMETERS, kx::i64 columns, const KX_T *bias, const kx::SumOf<KX_T>*added, const kx::u8 *kept, \
      KX_T *out, kx::SumOf<KX_T>*sums_out

extern "C" __global__ void __launch_bounds__(128, 2) conv_plain(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tile<KX_T, false>(KX_INPUT, weight, columns, bias, added, kept, out, sums_out);
}
KX_ENTRY(conv_plain)

extern "C" __global__ void __launch_bounds__(128, 2) conv_turned(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tile<KX_T, true>(KX_INPUT, weight, columns, bias, added, kept, out, sums_out);
}
KX_ENTRY(conv_turned)
