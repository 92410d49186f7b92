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
// longest. Values wider than KX_PART columns are made in parts by blocks that repeat the scores. On Hopper
// most half types go by attention_groups.cuh. Not measured on a GPU.
#pragma once

#include "attention_softmax.cuh"

namespace kx::attention {

// Block `block` of those of all queries makes what the keys of one of `splits` equal parts of all tiles give.
template <class T, int kDepth, int kValues, int kPart, int kWarps, int kBands, int kKeys, int kStages,
          class Out>
__device__ __forceinline__ void forward(const Problem<T>& problem, i64 block, int split, int splits, Out* out,
                                        SumOf<T>* lse) {
  using Sum = SumOf<T>;
  constexpr int kRows = kWarps * kBands * 16, kColumns = wide<T>(kPart);
  constexpr int kParts = (kValues + kPart - 1) / kPart;
  const i64 q_tiles = (problem.q_len + kRows - 1) / kRows;
  const i64 all_tiles = (problem.k_len + kKeys - 1) / kKeys;
  const int k_tiles = static_cast<int>(all_tiles * (split + 1) / splits);  // behind the last of them
  const i64 q_tile = q_tiles - 1 - block % q_tiles, rest = block / q_tiles;
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
  int tile = next(static_cast<int>(all_tiles * split / splits));
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
    const Sum factor = positive_factor(s, head.factor);
#pragma unroll
    for (int t = 0; t < kBands; ++t)
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (tested && !(kept[t] >> (4 * n + e) & 1)) s.at[t][n][e] = minus_infinity<T>();
    running.take(s, factor, sums);
    if (tested && any_strange<T, kKeys, kPart>(forbids, stage_of_v(stage)))
      times_selected(sums, s, kept, PaddedTile<T, pitch<T>(kPart)>{stage_of_v(stage)});
    else
      times<T, pitch<T>(kPart)>(sums, s, stage_of_v(stage));
    __syncthreads();
    if (kStages == 1 && following < k_tiles) bring(following, 0);
    tile = following;
  }

  running.finish();
#pragma unroll
  for (int t = 0; t < kBands; ++t)
    write_band<T, kDepth, kValues, kPart>(head, running, t, sums.at[t], q_tile * kRows + own + t * 16, part,
                                          out, lse);
}

}  // namespace kx::attention
