// The kernels of gated.cpp and linear.cpp with products of bfloat16: one instruction multiplies the pairs of
// two neighbouring channels and adds both to a float, so the tile and its loop are the same with half the
// steps. Weights of a pair stand side by side. Bias, sigmoid, gate and skip are computed in float on the tile
// and rounded once. On a Zen 5 core the tile is finished (sigmoids, rounding) in the time of 40 channels in.
//
// Gradients of gates are made in float and rounded once, in two orders: by rows, whose neighbouring channels
// are pairs for the product with transposed weights, and by pairs of rows, for the sums of outer products
// over rows, which read x by pairs of rows too (conv/backward_bf16.cpp). Sums are of floats throughout.
#include "conv/simd/half.hpp"
#include "conv/simd/linear.hpp"

namespace kxfast::conv::KXFAST_ISA {

void gated_forward(const GatedBlock<Bfloat16>& block) {
  run<Forward>(block);
}
void linear(const LinearBlock<Bfloat16>& block) {
  linear_run(block);
}

}  // namespace kxfast::conv::KXFAST_ISA
