// One dilated gated convolution on Hopper: the products of conv_groups_tiles.cuh, and what conv_gated.cuh
// does with candidates and gates.
#include "conv_gates.cuh"
#include "conv_groups_tiles.cuh"

extern "C" __global__ void __launch_bounds__(384, 1) conv_gated(KX_INPUT_PARAMETERS, KX_GATE_PARAMETERS) {
  using namespace kx;
  using namespace kx::conv;
  const Gate<KX_T> gate = KX_GATE;
  convolve<KX_T, false>(
      KX_INPUT, weight, 2 * channels, counted, (channels + kN - 1) / kN,
      [&](i64 part) { return gate.groups(part * kN); },
      [&](i64 row, i64 part, int column, const float (&c)[2], const float (&g)[2]) {
        gate.finish(row, part * kN + column, c, g);
      });
}
KX_ENTRY(conv_gated)
