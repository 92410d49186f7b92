// Convolutions without gates on Hopper: the products of conv_groups_tiles.cuh for what conv_plain.cuh is for.
#include "conv_groups_tiles.cuh"

namespace kx::conv {

template <class T, bool kTurned>
__device__ __forceinline__ void plain_tiles(const Input<T>& in, const T* weight, const Plain<T>& plain) {
  const i64 columns = plain.columns;
  convolve<T, kTurned>(
      in, weight, columns, nullptr, (columns + 2 * kN - 1) / (2 * kN),
      [&](i64 part) {
        const i64 begin = part * 2 * kN;
        return Groups{{begin, begin + kN}, {columns, columns}};
      },
      [&](i64 row, i64 part, int column, const float (&one)[2], const float (&other)[2]) {
        plain.finish(row, part * 2 * kN + column, one);
        plain.finish(row, part * 2 * kN + kN + column, other);
      });
}

}  // namespace kx::conv

extern "C" __global__ void __launch_bounds__(384, 1) conv_plain(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tiles<KX_T, false>(KX_INPUT, weight, KX_PLAIN);
}
KX_ENTRY(conv_plain)

extern "C" __global__ void __launch_bounds__(384, 1) conv_turned(KX_PLAIN_PARAMETERS) {
  kx::conv::plain_tiles<KX_T, true>(KX_INPUT, weight, KX_PLAIN);
}
KX_ENTRY(conv_turned)
