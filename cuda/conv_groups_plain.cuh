// Convolutions without gates on Hopper: the products of conv_groups_tiles.cuh for what conv_plain.cuh is for.
#include "conv_groups_tiles.cuh"

extern "C" __global__ void __launch_bounds__(384, 1) conv_plain(KX_PLAIN_PARAMETERS) {
  using namespace kx::conv;
  const Plain<KX_T> plain = KX_PLAIN;
  convolve<KX_T, false, PlainColumns<KX_T, kN, true>>(KX_INPUT, weight, columns, nullptr, columns, plain);
}
KX_ENTRY(conv_plain)

extern "C" __global__ void __launch_bounds__(384, 1) conv_turned(KX_PLAIN_PARAMETERS) {
  using namespace kx::conv;
  const Plain<KX_T> plain = KX_PLAIN;
  convolve<KX_T, true, PlainColumns<KX_T, kN, true>>(KX_INPUT, weight, columns, nullptr, columns, plain);
}
KX_ENTRY(conv_turned)
