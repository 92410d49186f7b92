// The softmax of scores that come tile by tile, and what is written when all have been.
#pragma once

#include "attention_problem.cuh"

namespace kx::attention {

// The factor that is left for scores to be multiplied by, which is positive, so that the largest stays the
// largest: any other is applied here.
template <class T, int kBands, int kKeys>
__device__ __forceinline__ SumOf<T> positive_factor(Sums<T, kBands, kKeys>& s, SumOf<T> factor) {
  if (factor > 0) return factor;
#pragma unroll
  for (int t = 0; t < kBands; ++t)
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) s.at[t][n][e] *= factor;
  return 1;
}

// The running softmax of a lane's rows.
template <class T, int kBands>
struct Running {
  using Sum = SumOf<T>;
  Sum most[kBands][2], total[kBands][2];

  __device__ Running() {
#pragma unroll
    for (int t = 0; t < kBands; ++t)
#pragma unroll
      for (int i = 0; i < 2; ++i) most[t][i] = minus_infinity<T>(), total[t][i] = 0;
  }

  // Makes weights of scores times a factor; `sums` are brought to the new maximum.
  template <int kKeys, int kColumns>
  __device__ __forceinline__ void take(Sums<T, kBands, kKeys>& s, Sum factor,
                                       Sums<T, kBands, kColumns>& sums) {
#pragma unroll
    for (int t = 0; t < kBands; ++t)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        Sum top = minus_infinity<T>();
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
          top = larger(top, larger(s.at[t][n][2 * i], s.at[t][n][2 * i + 1]));
        top = larger(top, __shfl_xor_sync(kAllLanes, top, 1));
        top = larger(most[t][i], larger(top, __shfl_xor_sync(kAllLanes, top, 2)) * factor);
        const Sum base = top == minus_infinity<T>() ? 0 : top;
        const Sum shrink = power_of_2(most[t][i] - base);
        most[t][i] = top;
        Sum total_here = 0;
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            Sum& x = s.at[t][n][2 * i + j];
            x = power_of_2(fused(x, factor, -base));
            total_here += x;
          }
        total[t][i] = fused(total[t][i], shrink, total_here);
#pragma unroll
        for (int c = 0; c < kColumns / 8; ++c)
          sums.at[t][c][2 * i] *= shrink, sums.at[t][c][2 * i + 1] *= shrink;
      }
  }

  // Adds up what the four lanes of a row have.
  __device__ __forceinline__ void finish() {
#pragma unroll
    for (int t = 0; t < kBands; ++t)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        total[t][i] += __shfl_xor_sync(kAllLanes, total[t][i], 1);
        total[t][i] += __shfl_xor_sync(kAllLanes, total[t][i], 2);
      }
  }
};

__device__ __forceinline__ float log_of_2(float x) {
  return log2f(x);
}
__device__ __forceinline__ double log_of_2(double x) {
  return log2(x);
}

// Writes the results of a band of rows from `first` on, columns `part` .., and with the first columns the
// logarithms of the rows' sums.
template <class T, int kDepth, int kValues, int kPart, int kBands, int kN, class Out>
__device__ __forceinline__ void write_band(const Head<T, kDepth, kValues>& head,
                                           const Running<T, kBands>& running, int band,
                                           SumOf<T> (&sums)[kN][4], i64 first, int part, Out* out,
                                           SumOf<T>* lse) {
  using Sum = SumOf<T>;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const i64 r = first + lane_id() / 4 + 8 * i;
    const Sum total = running.total[band][i], by = total == 0 ? total : 1 / total;
#pragma unroll
    for (int c = 0; c < kN; ++c) sums[c][2 * i] *= by, sums[c][2 * i + 1] *= by;
    if (part == 0 && lane_id() % 4 == 0 && r < head.q_len)
      lse[head.row + head.order(r)] =
          total == 0 ? minus_infinity<T>()
                     : (running.most[band][i] + log_of_2(total)) * static_cast<Sum>(kLn2);
  }
  store<kValues, kPart, Out>(sums, out + head.row * kValues, first, head.q_len, head.order, part);
}

}  // namespace kx::attention
