// One dilated gated convolution: see conv_gated.cuh.
#include "conv_gated.cuh"

extern "C" __global__ void __launch_bounds__(128, kx::conv::kGatedBlocks)
    conv_gated(KX_INPUT_PARAMETERS, KX_GATE_PARAMETERS) {
  using namespace kx::conv;
  kx::Shared shared;
  KX_T* const memory = shared.take<KX_T>(kTiles<KX_T>);
  const Gate<KX_T> gate = KX_GATE;
  gated_tile<KX_T>(memory, KX_INPUT, weight, gate, blockIdx.x);
}
KX_ENTRY(conv_gated)
