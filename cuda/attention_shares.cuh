// What a row's gradient and result have in common, D of attention_gradients.cuh: a warp a row; memory is the
// limit. 0 for rows without keys.
#include "numbers.cuh"

extern "C" __global__ void __launch_bounds__(128)
    attention_shares(const KX_T* grad, const KX_T* out, const kx::SumOf<KX_T>* lse, kx::SumOf<KX_T>* share,
                     kx::i64 rows) {
  using Sum = kx::SumOf<KX_T>;
  const kx::i64 row = static_cast<kx::i64>(blockIdx.x) * 4 + threadIdx.x / 32;
  if (row >= rows) return;
  Sum sum = 0;
  for (kx::i64 c = row * KX_DV + threadIdx.x % 32; c < (row + 1) * KX_DV; c += 32)
    sum = kx::fused(kx::widen(grad[c]), kx::widen(out[c]), sum);
  for (int by = 16; by; by /= 2) sum += __shfl_xor_sync(kx::kAllLanes, sum, by);
  if (threadIdx.x % 32 == 0) share[row] = lse[row] == kx::minus_infinity<KX_T>() ? 0 : sum;
}
KX_ENTRY(attention_shares)
