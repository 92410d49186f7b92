// Attention of few queries with many keys, which are split among blocks: as many as fill all multiprocessors.
//
// Each block makes the result of its keys alone, in the type of sums, and the logarithm of their sum; then a
// warp a row adds results up by the weights that their logarithms give. The first kernel is limited by memory
// (keys and values are read once by each tile of queries), the second is short beside it. Not measured on a
// GPU.
#include "attention_forward.cuh"

extern "C" __global__ void KX_BOUNDS attention_split(KX_PROBLEM_PARAMETERS, kx::SumOf<KX_T>* outs,
                                                     kx::SumOf<KX_T>* lses, kx::i64 rows, int splits) {
  const kx::attention::Problem<KX_T> problem = KX_PROBLEM;
  const int split = static_cast<int>(blockIdx.x % splits);
  kx::attention::forward<KX_T, KX_D, KX_DV, KX_PART, KX_WARPS, KX_BANDS, KX_OTHER, KX_STAGES>(
      problem, blockIdx.x / splits, split, splits, outs + split * rows * KX_DV, lses + split * rows);
}
KX_ENTRY(attention_split)

extern "C" __global__ void __launch_bounds__(128)
    attention_join(const kx::SumOf<KX_T>* outs, const kx::SumOf<KX_T>* lses, KX_T* out, kx::SumOf<KX_T>* lse,
                   kx::i64 rows, int splits) {
  using Sum = kx::SumOf<KX_T>;
  constexpr int kEach = (KX_DV + 31) / 32;  // columns of a lane
  const kx::i64 row = static_cast<kx::i64>(blockIdx.x) * 4 + threadIdx.x / 32;
  if (row >= rows) return;
  const int lane = kx::lane_id();
  Sum top = kx::minus_infinity<KX_T>();
  for (int s = 0; s < splits; ++s) top = kx::larger(top, lses[s * rows + row]);
  const Sum base = top == kx::minus_infinity<KX_T>() ? 0 : top;
  Sum total = 0, sums[kEach] = {};
  for (int s = 0; s < splits; ++s) {
    const Sum weight =
        kx::power_of_2((lses[s * rows + row] - base) * static_cast<Sum>(kx::attention::kLog2E));
    total += weight;
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (lane + 32 * i < KX_DV)
        sums[i] = kx::fused(weight, outs[(s * rows + row) * KX_DV + lane + 32 * i], sums[i]);
  }
  const Sum by = total == 0 ? total : 1 / total;
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    if (lane + 32 * i < KX_DV) kx::narrow(out[row * KX_DV + lane + 32 * i], sums[i] * by);
  if (lane == 0)
    lse[row] = total == 0 ? kx::minus_infinity<KX_T>()
                          : base + kx::attention::log_of_2(total) * static_cast<Sum>(kx::attention::kLn2);
}
KX_ENTRY(attention_join)
