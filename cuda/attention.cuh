// out = softmax((q k' + bias) scale) v under masks, and the logarithm of each row's sum.
//
// A block owns a tile of queries of one head and goes through the tiles of keys that its masks let through,
// empty ones never being touched: scores = q k' by tensor cores into registers, masks and bias there, running
// maximum and sum of each row (powers of 2, the scale folded in), and sums += weights v with the weights
// going from registers straight back into matrix instructions: they are never written. Keys and values of the
// next tile come by asynchronous copies meanwhile. The innermost loop is over the columns of a matrix
// instruction's second factor, which one ldmatrix brings for two instructions and all bands of the warp; two
// bands where registers allow halve what shared memory has to give, the limit of one band on paper. Full
// tiles take no test; in the others a value that is not finite makes the tile go row by row, so that a
// forbidden NaN goes nowhere. Tiles of a head are taken from the last on, which under causal masks are the
// longest. Values wider than KX_PART columns are made in parts by blocks that repeat the scores. Not measured
// on a GPU, and not tried: warp-group matrix instructions with bulk copies, which Hopper's full
// speed needs.
#include "attention_problem.cuh"

namespace kx::attention {

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

  // Makes weights of scores; `sums` are brought to the new maximum.
  template <int kKeys, int kColumns>
  __device__ __forceinline__ void take(Sums<T, kBands, kKeys>& s, Sums<T, kBands, kColumns>& sums) {
#pragma unroll
    for (int t = 0; t < kBands; ++t)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        Sum top = most[t][i];
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
          top = larger(top, larger(s.at[t][n][2 * i], s.at[t][n][2 * i + 1]));
        top = larger(top, __shfl_xor_sync(kAllLanes, top, 1));
        top = larger(top, __shfl_xor_sync(kAllLanes, top, 2));
        const Sum base = top == minus_infinity<T>() ? 0 : top;
        const Sum shrink = power_of_2(most[t][i] - base);
        most[t][i] = top;
        Sum total_here = 0;
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            Sum& x = s.at[t][n][2 * i + j];
            x = power_of_2(x - base);
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

template <class T, int kDepth, int kValues, int kPart, int kWarps, int kBands, int kKeys, int kStages>
__device__ __forceinline__ void forward(const Problem<T>& problem, T* out, SumOf<T>* lse) {
  using Sum = SumOf<T>;
  constexpr int kRows = kWarps * kBands * 16, kColumns = wide<T>(kPart);
  constexpr int kParts = (kValues + kPart - 1) / kPart;
  const i64 q_tiles = (problem.q_len + kRows - 1) / kRows;
  const int k_tiles = static_cast<int>((problem.k_len + kKeys - 1) / kKeys);
  const i64 q_tile = q_tiles - 1 - blockIdx.x % q_tiles, rest = blockIdx.x / q_tiles;
  const int part = static_cast<int>(rest % kParts) * kPart;
  const Head<T, kDepth, kValues> head(problem, rest / kParts / problem.heads, rest / kParts % problem.heads);
  Shared shared;
  T* const q = shared.take<T>(kRows * pitch<T>(kDepth));
  T* const k = shared.take<T>(kStages * kKeys * pitch<T>(kDepth));
  T* const v = shared.take<T>(kStages * kKeys * pitch<T>(kPart));
  const auto stage_of_k = [&](int stage) { return k + stage * kKeys * pitch<T>(kDepth); };
  const auto stage_of_v = [&](int stage) { return v + stage * kKeys * pitch<T>(kPart); };
  const auto next = [&](int from) {
    return first_tile(from, k_tiles,
                      [&](int tile) { return head.pairs.template kind<kKeys>(q_tile, tile) > 0; });
  };
  const auto bring = [&](i64 tile, int stage) {
    fetch<T, kKeys, kDepth, kDepth>(stage_of_k(stage), head.k, head.k_row, tile * kKeys, head.k_len,
                                    head.order);
    fetch<T, kKeys, kPart, kValues>(stage_of_v(stage), head.v, head.v_row, tile * kKeys, head.k_len,
                                    head.order, part);
    copy_async_commit();
  };

  Sums<T, kBands, kColumns> sums;
  sums.clear();
  Running<T, kBands> running;
  const int own = static_cast<int>(threadIdx.x / kWarp) * kBands * 16;  // the warp's first row in the tile
  int tile = next(0);
  if (tile < k_tiles) {
    fetch<T, kRows, kDepth, kDepth>(q, head.q, head.q_row, q_tile * kRows, head.q_len, head.order);
    bring(tile, 0);
  }
  for (int stage = 0; tile < k_tiles; stage = (stage + 1) % kStages) {
    const int following = next(tile + 1);
    const bool ahead = kStages > 1 && following < k_tiles;
    if (ahead) bring(following, (stage + 1) % kStages);
    arrive(ahead);
    Sums<T, kBands, kKeys> s;
    s.clear();
    times_transposed<T, kDepth>(s, q + own * pitch<T>(kDepth), stage_of_k(stage));
    const bool all = head.pairs.template kind<kKeys>(q_tile, tile) == 2, tested = head.bias || !all;
    const i64 first_key = static_cast<i64>(tile) * kKeys;
    bool forbids = false;
    u32 kept[kBands];
    if (tested) {
#pragma unroll
      for (int t = 0; t < kBands; ++t) {
        const i64 first = q_tile * kRows + own + t * 16;
        kept[t] = all && first + 16 <= head.q_len ? kAllPairs<kKeys>
                                                  : head.pairs.template of_queries<kKeys>(first, first_key);
        if (head.bias)
          add_bias<T, kKeys, false>(s.at[t], kept[t], head.bias, head.bias_row, head.bias_column, first,
                                    first_key);
        forbids = forbids || kept[t] != kAllPairs<kKeys>;
      }
    }
#pragma unroll
    for (int t = 0; t < kBands; ++t)
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const Sum x = s.at[t][n][e] * head.factor;
          s.at[t][n][e] = tested && !(kept[t] >> (4 * n + e) & 1) ? minus_infinity<T>() : x;
        }
    running.take(s, sums);
    if (tested && any_strange<T, kKeys, kPart>(forbids, stage_of_v(stage)))
      times_selected<T, pitch<T>(kPart)>(sums, s, kept, stage_of_v(stage));
    else
      times<T, pitch<T>(kPart)>(sums, s, stage_of_v(stage));
    __syncthreads();
    if (kStages == 1 && following < k_tiles) bring(following, 0);
    tile = following;
  }

  running.finish();
#pragma unroll
  for (int t = 0; t < kBands; ++t) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const i64 r = q_tile * kRows + own + t * 16 + lane_id() / 4 + 8 * i;
      const Sum total = running.total[t][i], by = total == 0 ? total : 1 / total;
#pragma unroll
      for (int c = 0; c < kColumns / 8; ++c) sums.at[t][c][2 * i] *= by, sums.at[t][c][2 * i + 1] *= by;
      if (part == 0 && lane_id() % 4 == 0 && r < head.q_len)
        lse[head.row + head.order(r)] = total == 0
                                            ? minus_infinity<T>()
                                            : (running.most[t][i] + log_of_2(total)) * static_cast<Sum>(kLn2);
    }
    store<kValues, kPart, T>(sums.at[t], out + head.row * kValues, q_tile * kRows + own + t * 16, head.q_len,
                             head.order, part);
  }
}

}  // namespace kx::attention

extern "C" __global__ void KX_BOUNDS attention_forward(KX_PROBLEM_PARAMETERS, KX_T* out,
                                                       kx::SumOf<KX_T>* lse) {
  const kx::attention::Problem<KX_T> problem = KX_PROBLEM;
  kx::attention::forward<KX_T, KX_D, KX_DV, KX_PART, KX_WARPS, KX_BANDS, KX_OTHER, KX_STAGES>(problem, out,
                                                                                              lse);
}
KX_ENTRY(attention_forward)
