// Convolutions without gates: shortcuts, and gradients of inputs, whose weights are read the other way round.
//
// The products are those of the forward pass (conv_tiles.cuh), the innermost loop and the limits too; a block
// owns as many columns as there are in both groups. What a gradient has beside them, that of the skip
// connection, is added on the way out.
#include "conv_tiles.cuh"

namespace kx::conv {

template <class T, bool kTurned>
__device__ __forceinline__ void plain_tile(const Input<T>& in, const T* weight, const Plain<T>& plain) {
  using Sum = SumOf<T>;
  Shared shared;
  T* const memory =
      shared.take<T>(kStages * (kRows * padded<T>(kDeep<T>) +
                                (kTurned ? kColumns * padded<T>(kDeep<T>) : kDeep<T> * padded<T>(kColumns))));
  const i64 columns = plain.columns, across = (columns + kColumns - 1) / kColumns;
  const i64 first = blockIdx.x / across * kRows, begin = blockIdx.x % across * kColumns;
  Sums<T, kBands, kN> sums;
  const Groups groups = {{begin, begin + kN}, {columns, columns}};
  convolve<T, kTurned>(sums, memory, in, weight, columns, groups, first);
  for_each_pair(sums, first, in.rows, [&](i64 row, int column, const Sum(&one)[2], const Sum(&other)[2]) {
#pragma unroll
    for (int g = 0; g < 2; ++g) plain.finish(row, begin + g * kN + column, g ? other : one);
  });
}

}  // namespace kx::conv

extern "C" __global__ void __launch_bounds__(128, 2) conv_plain(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tile<KX_T, false>(KX_INPUT, weight, KX_PLAIN);
}
KX_ENTRY(conv_plain)

extern "C" __global__ void __launch_bounds__(128, 2) conv_turned(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tile<KX_T, true>(KX_INPUT, weight, KX_PLAIN);
}
KX_ENTRY(conv_turned)
