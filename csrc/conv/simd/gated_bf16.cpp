// The gated convolution of gated.cpp with products of bfloat16: one instruction multiplies the pairs of two
// neighbouring channels and adds both to a float, so the tile and its loop are the same with half the steps.
// Weights of a pair stand side by side. Bias, sigmoid, gate and skip are computed in float on the tile and
// rounded once. On a Zen 5 core the tile is finished (sigmoids, rounding) in the time of 40 channels in.
#include "conv/simd/gated.hpp"

namespace kxfast::conv::KXFAST_ISA {

Tiling tiling(Bfloat16) {
  return {Lanes<float>::kWidth, kVectors};
}
void gated_forward(const GatedBlock<Bfloat16>& block) {
  run<Forward>(block);
}

}  // namespace kxfast::conv::KXFAST_ISA
