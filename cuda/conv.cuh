// One dilated gated convolution: see conv_gated.cuh.
#include "conv_gated.cuh"

extern "C" __global__ void __launch_bounds__(128, 2)
    conv_gated(KX_INPUT_PARAMETERS, kx::i64 channels, const KX_T* bias, const kx::u8* counted, kx::i64 skip,
               kx::i64 first, const KX_T* skipped, const kx::SumOf<KX_T>* projected, const kx::u8* skip_mask,
               kx::u64 threshold, kx::u64 key, double kept, double sign, KX_T* y, kx::SumOf<KX_T>* parts,
               kx::SumOf<KX_T>* mixed) {
  using namespace kx::conv;
  kx::Shared shared;
  KX_T* const memory = shared.take<KX_T>(kTiles<KX_T>);
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
