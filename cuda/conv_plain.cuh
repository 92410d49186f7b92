// Convolutions without gates: shortcuts, and gradients of inputs, whose weights are read the other way round.
//
// The products are those of the forward pass (conv_tiles.cuh), the innermost loop and the limits too; a block
// owns as many columns as there are in both groups. What a gradient has beside them, that of the skip
// connection, is added on the way out.
#include "conv_tiles.cuh"

namespace kx::conv {

// Blocks of a multiprocessor that registers must have room for: more of them where a lane's sums are few.
constexpr int kPlainBlocks = kOwn <= 4 ? 4 : kOwn <= 8 ? 3 : 2;

template <class T, bool kTurned>
__device__ __forceinline__ void plain_tile(const Input<T>& in, const T* weight, const Plain<T>& plain) {
  Shared shared;
  constexpr int kRoom = kStages * (kRows * padded<T>(kDeep<T>) + (kTurned ? kColumns * padded<T>(kDeep<T>)
                                                                          : kDeep<T> * padded<T>(kColumns)));
  T* const memory = shared.take<T>(kRoom);
  const i64 columns = plain.columns, across = (columns + kColumns - 1) / kColumns;
  const i64 first = blockIdx.x / across * kRows, begin = blockIdx.x % across * kColumns;
  Sums<T, kBands, kN> sums;
  const Groups groups = {{begin, begin + kN}, {columns, columns}};
  convolve<T, kTurned>(sums, memory, in, weight, columns, groups, first);
  hand_over_tile<PlainColumns<T, kN, false>, kRoom>(sums, memory, first, in.rows, plain, begin);
}

}  // namespace kx::conv

extern "C" __global__ void __launch_bounds__(128, kx::conv::kPlainBlocks) conv_plain(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tile<KX_T, false>(KX_INPUT, weight, KX_PLAIN);
}
KX_ENTRY(conv_plain)

extern "C" __global__ void __launch_bounds__(128, kx::conv::kPlainBlocks) conv_turned(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tile<KX_T, true>(KX_INPUT, weight, KX_PLAIN);
}
KX_ENTRY(conv_turned)
