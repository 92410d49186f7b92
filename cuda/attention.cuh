// Attention, a block a tile of queries: see attention_forward.cuh.
#include "attention_forward.cuh"

extern "C" __global__ void KX_BOUNDS attention_forward(KX_PROBLEM_PARAMETERS, KX_T* out,
                                                       kx::SumOf<KX_T>* lse) {
  const kx::attention::Problem<KX_T> problem = KX_PROBLEM;
  kx::attention::forward<KX_T, KX_D, KX_DV, KX_PART, KX_WARPS, KX_BANDS, KX_OTHER, KX_STAGES>(
      problem, blockIdx.x, 0, 1, out, lse);
}
KX_ENTRY(attention_forward)
