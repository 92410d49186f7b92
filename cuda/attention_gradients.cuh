// What the gradients of attention share: rows' logarithms and shares, weights made again from scores.
#pragma once

#include "attention_problem.cuh"

namespace kx::attention {

// What the forward pass gave, and the gradient of its result. `share` is D above.
template <class T>
struct Given {
  const T* grad;
  const SumOf<T>*lse, *share;
};

// A row's logarithm to base 2; for rows without keys, and beyond the last, what makes all their weights 0.
template <class T>
__device__ __forceinline__ SumOf<T> base_of(const SumOf<T>* lse, bool there) {
  const SumOf<T> x = there ? *lse : minus_infinity<T>();
  return x == minus_infinity<T>() ? -x : x * static_cast<SumOf<T>>(kLog2E);
}

// Scores of a band become weights, products with values become gradients of scores (the bias's), -0 and 0
// where not kept. `base` and `share` give those of a place (n, e).
template <class T, int kN, class Base, class Share>
__device__ __forceinline__ void score_gradients(SumOf<T> (&s)[kN / 8][4], SumOf<T> (&dp)[kN / 8][4], u32 kept,
                                                SumOf<T> factor, SumOf<T> scale, Base base, Share share) {
#pragma unroll
  for (int n = 0; n < kN / 8; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const bool good = (kept >> (4 * n + e) & 1) != 0;
      s[n][e] = good ? power_of_2(fused(s[n][e], factor, -base(n, e))) : -static_cast<SumOf<T>>(0);
      dp[n][e] = good ? s[n][e] * (dp[n][e] - share(n, e)) * scale : 0;
    }
}

// The same of a lane's rows of a band of queries.
template <class T>
struct OwnRows {
  SumOf<T> base[2], share[2];

  template <class HeadOf>
  __device__ OwnRows(const Given<T>& given, const HeadOf& head, i64 first) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const i64 r = first + lane_id() / 4 + 8 * i, row = head.row + (r < head.q_len ? head.order(r) : 0);
      base[i] = base_of<T>(given.lse + row, r < head.q_len);
      share[i] = r < head.q_len ? given.share[row] : 0;
    }
  }
};

}  // namespace kx::attention
