// One dilated gated convolution on Hopper: the products of conv_groups_tiles.cuh, and what conv_gated.cuh
// does with candidates and gates.
#include "conv_gates.cuh"
#include "conv_groups_tiles.cuh"

extern "C" __global__ void __launch_bounds__(384, 1) conv_gated(KX_INPUT_PARAMETERS, KX_GATE_PARAMETERS) {
  using namespace kx::conv;
  const Gate<KX_T> gate = KX_GATE;
  convolve<KX_T, false, GateColumns<KX_T, kN, true>>(KX_INPUT, weight, 2 * channels, counted, channels, gate);
}
KX_ENTRY(conv_gated)
