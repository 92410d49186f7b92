// Gradients of attention: weights are made again from the scores and the forward pass's logarithms.
//
// With D = sum(grad out) of a row, P = 2^(s - lse) and dS = P (grad v' - D) scale: dq = dS k, dk = dS' q, dv
// = P' grad. `attention_queries` owns a tile of queries and goes through keys, as the forward pass does;
// `attention_keys` owns a tile of keys and goes through the queries of all heads that share it, scores
// transposed, so that P' and dS' come out as the left factors they are. Each sum belongs to one block and is
// added in one order: five products of matrices and two more for the scores made twice, in exchange for
// results that do not depend on chance (with atomics into dq: five and none). Tiles pass by as in the forward
// pass, empty ones left out, the same ranges and classes being read by keys. KX_MAKES says what
// `attention_keys` makes, 1: dk, 2: dv, 3: both, where registers hold the sums of both; results wider than
// KX_PART columns are made in parts.
#include "attention_gradients.cuh"

namespace kx::attention {

template <class T, int kDepth, int kValues, int kPart, int kWarps, int kKeys, int kStages>
__device__ __forceinline__ void gradient_of_queries(const Problem<T>& problem, const Given<T>& given, T* dq) {
  constexpr int kRows = kWarps * 16, kParts = (kDepth + kPart - 1) / kPart, kColumns = wide<T>(kPart);
  const i64 q_tiles = (problem.q_len + kRows - 1) / kRows;
  const int k_tiles = static_cast<int>((problem.k_len + kKeys - 1) / kKeys);
  const i64 q_tile = q_tiles - 1 - blockIdx.x % q_tiles, rest = blockIdx.x / q_tiles;
  const int part = static_cast<int>(rest % kParts) * kPart;
  const Head<T, kDepth, kValues> head(problem, rest / kParts / problem.heads, rest / kParts % problem.heads);
  Shared shared;
  T* const q = shared.take<T>(kRows * pitch<T>(kDepth));
  T* const grad = shared.take<T>(kRows * pitch<T>(kValues));
  T* const k = shared.take<T>(kStages * kKeys * pitch<T>(kDepth));
  T* const v = shared.take<T>(kStages * kKeys * pitch<T>(kValues));
  const auto next = [&](int from) {
    return first_tile(from, k_tiles,
                      [&](int tile) { return head.pairs.template kind<kKeys>(q_tile, tile) > 0; });
  };
  const auto bring = [&](i64 tile, int stage) {
    fetch<T, kKeys, kDepth, kDepth>(k + stage * kKeys * pitch<T>(kDepth), head.k, head.k_row, tile * kKeys,
                                    head.k_len, head.order);
    fetch<T, kKeys, kValues, kValues>(v + stage * kKeys * pitch<T>(kValues), head.v, head.v_row, tile * kKeys,
                                      head.k_len, head.order);
    copy_async_commit();
  };

  const int own = static_cast<int>(threadIdx.x / kWarp) * 16;
  const OwnRows<T> rows(given, head, q_tile * kRows + own);
  Sums<T, 1, kColumns> sums;
  sums.clear();
  int tile = next(0);
  if (tile < k_tiles) {
    fetch<T, kRows, kDepth, kDepth>(q, head.q, head.q_row, q_tile * kRows, head.q_len, head.order);
    fetch<T, kRows, kValues, kValues>(grad, given.grad + head.row * kValues, kValues, q_tile * kRows,
                                      head.q_len, head.order);
    bring(tile, 0);
  }
  for (int stage = 0; tile < k_tiles; stage = (stage + 1) % kStages) {
    const int following = next(tile + 1);
    const bool ahead = kStages > 1 && following < k_tiles;
    if (ahead) bring(following, (stage + 1) % kStages);
    arrive(ahead);
    const T* const keys = k + stage * kKeys * pitch<T>(kDepth);
    Sums<T, 1, kKeys> s, dp;
    s.clear();
    dp.clear();
    times_transposed<T, kDepth>(s, q + own * pitch<T>(kDepth), keys);
    times_transposed<T, kValues>(dp, grad + own * pitch<T>(kValues), v + stage * kKeys * pitch<T>(kValues));
    const bool all = head.pairs.template kind<kKeys>(q_tile, tile) == 2, tested = head.bias || !all;
    u32 kept[1] = {kAllPairs<kKeys>};
    if (tested) {
      const i64 first = q_tile * kRows + own, first_key = static_cast<i64>(tile) * kKeys;
      if (!all || first + 16 > head.q_len) kept[0] = head.pairs.template of_queries<kKeys>(first, first_key);
      if (head.bias)
        add_bias<T, kKeys, false>(s.at[0], kept[0], head.bias, head.bias_row, head.bias_column, first,
                                  first_key);
    }
    score_gradients<T, kKeys>(
        s.at[0], dp.at[0], kept[0], head.factor, head.scale, [&](int, int e) { return rows.base[e / 2]; },
        [&](int, int e) { return rows.share[e / 2]; });
    if (tested && any_strange<T, kKeys, kDepth>(kept[0] != kAllPairs<kKeys>, keys))
      times_selected(sums, dp, kept, PaddedTile<T, pitch<T>(kDepth)>{keys + part}, wide<T>(kDepth) - part);
    else
      times<T, pitch<T>(kDepth)>(sums, dp, keys + part, wide<T>(kDepth) - part);
    __syncthreads();
    if (kStages == 1 && following < k_tiles) bring(following, 0);
    tile = following;
  }
  store<kDepth, kPart, T>(sums.at[0], dq + head.row * kDepth, q_tile * kRows + own, head.q_len, head.order,
                          part);
}

template <class T, int kDepth, int kValues, int kPart, int kMakes, int kWarps, int kQueries, int kStages>
__device__ __forceinline__ void gradients_of_keys(const Problem<T>& problem, const Given<T>& given, T* dk,
                                                  T* dv) {
  using Sum = SumOf<T>;
  constexpr int kRows = kWarps * 16, kMade = kMakes == 1 ? kDepth : kValues;
  constexpr int kParts = kMakes == 3 ? 1 : (kMade + kPart - 1) / kPart;
  constexpr int kOfKeys = wide<T>(kMakes == 3 ? kDepth : kPart),
                kOfValues = wide<T>(kMakes == 3 ? kValues : kPart);
  const i64 k_tiles = (problem.k_len + kRows - 1) / kRows, k_tile = blockIdx.x % k_tiles,
            rest = blockIdx.x / k_tiles;
  const int q_tiles = static_cast<int>((problem.q_len + kQueries - 1) / kQueries);
  const int members = static_cast<int>(problem.heads / problem.groups);
  const int part = static_cast<int>(rest % kParts) * kPart;
  const i64 batch = rest / kParts / problem.groups, group = rest / kParts % problem.groups;
  Shared shared;
  T* const k = shared.take<T>(kRows * pitch<T>(kDepth));
  T* const v = shared.take<T>(kRows * pitch<T>(kValues));
  T* const q = shared.take<T>(kStages * kQueries * pitch<T>(kDepth));
  T* const grad = shared.take<T>(kStages * kQueries * pitch<T>(kValues));
  Sum* const bases = shared.take<Sum>(kStages * kQueries);
  Sum* const shares = shared.take<Sum>(kStages * kQueries);
  const auto head_of = [&](int member) {
    return Head<T, kDepth, kValues>(problem, batch, group * members + member);
  };
  // Tiles of queries, of one after another of the heads that share the keys.
  struct Place {
    int member, tile;
  };
  const auto next = [&](Place at) {
    while (at.member < members) {
      const Head<T, kDepth, kValues> head = head_of(at.member);
      at.tile = first_tile(at.tile, q_tiles,
                           [&](int tile) { return head.pairs.template kind<kRows>(tile, k_tile) > 0; });
      if (at.tile < q_tiles) break;
      ++at.member, at.tile = 0;
    }
    return at;
  };
  const auto bring = [&](Place at, int stage) {
    const Head<T, kDepth, kValues> head = head_of(at.member);
    const i64 first = static_cast<i64>(at.tile) * kQueries;
    fetch<T, kQueries, kDepth, kDepth>(q + stage * kQueries * pitch<T>(kDepth), head.q, head.q_row, first,
                                       head.q_len, head.order);
    fetch<T, kQueries, kValues, kValues>(grad + stage * kQueries * pitch<T>(kValues),
                                         given.grad + head.row * kValues, kValues, first, head.q_len,
                                         head.order);
    for (int r = static_cast<int>(threadIdx.x); r < kQueries; r += kThreads) {
      const bool there = first + r < head.q_len;
      const i64 row = head.row + (there ? head.order(first + r) : 0);
      bases[stage * kQueries + r] = base_of<T>(given.lse + row, there);
      shares[stage * kQueries + r] = there ? given.share[row] : 0;
    }
    copy_async_commit();
  };

  const int own = static_cast<int>(threadIdx.x / kWarp) * 16;
  Sums<T, 1, kOfKeys> of_keys;
  Sums<T, 1, kOfValues> of_values;
  of_keys.clear();
  of_values.clear();
  const Head<T, kDepth, kValues> any = head_of(0);
  Place at = next({0, 0});
  if (at.member < members) {
    fetch<T, kRows, kDepth, kDepth>(k, any.k, any.k_row, k_tile * kRows, any.k_len, any.order);
    fetch<T, kRows, kValues, kValues>(v, any.v, any.v_row, k_tile * kRows, any.k_len, any.order);
    bring(at, 0);
  }
  for (int stage = 0; at.member < members; stage = (stage + 1) % kStages) {
    const Place following = next({at.member, at.tile + 1});
    const bool ahead = kStages > 1 && following.member < members;
    if (ahead) bring(following, (stage + 1) % kStages);
    arrive(ahead);
    const Head<T, kDepth, kValues> head = head_of(at.member);
    const T* const queries = q + stage * kQueries * pitch<T>(kDepth);
    const T* const grads = grad + stage * kQueries * pitch<T>(kValues);
    Sums<T, 1, kQueries> s, dp;
    s.clear();
    dp.clear();
    times_transposed<T, kDepth>(s, k + own * pitch<T>(kDepth), queries);
    if constexpr (kMakes & 1) times_transposed<T, kValues>(dp, v + own * pitch<T>(kValues), grads);
    const i64 query = static_cast<i64>(at.tile) * kQueries;
    const bool all = head.pairs.template kind<kRows>(at.tile, k_tile) == 2, tested = head.bias || !all;
    u32 kept[1] = {kAllPairs<kQueries>};
    if (tested) {
      const i64 first = k_tile * kRows + own;
      if (!all || query + kQueries > head.q_len)
        kept[0] = head.pairs.template of_keys<kQueries>(first, query);
      if (head.bias)
        add_bias<T, kQueries, true>(s.at[0], kept[0], head.bias, head.bias_row, head.bias_column, first,
                                    query);
    }
    const auto place = [&](int n, int e) { return stage * kQueries + n * 8 + lane_id() % 4 * 2 + e % 2; };
    score_gradients<T, kQueries>(
        s.at[0], dp.at[0], kept[0], head.factor, head.scale, [&](int n, int e) { return bases[place(n, e)]; },
        [&](int n, int e) { return shares[place(n, e)]; });
    if constexpr (kMakes & 2) {
      const int begin = kMakes == 3 ? 0 : part;
      if (tested && any_strange<T, kQueries, kValues>(kept[0] != kAllPairs<kQueries>, grads))
        times_selected(of_values, s, kept, PaddedTile<T, pitch<T>(kValues)>{grads + begin},
                       wide<T>(kValues) - begin);
      else
        times<T, pitch<T>(kValues)>(of_values, s, grads + begin, wide<T>(kValues) - begin);
    }
    if constexpr (kMakes & 1) {
      const int begin = kMakes == 3 ? 0 : part;
      if (tested && any_strange<T, kQueries, kDepth>(kept[0] != kAllPairs<kQueries>, queries))
        times_selected(of_keys, dp, kept, PaddedTile<T, pitch<T>(kDepth)>{queries + begin},
                       wide<T>(kDepth) - begin);
      else
        times<T, pitch<T>(kDepth)>(of_keys, dp, queries + begin, wide<T>(kDepth) - begin);
    }
    __syncthreads();
    if (kStages == 1 && following.member < members) bring(following, 0);
    at = following;
  }
  const i64 row = (batch * problem.groups + group) * problem.k_len, first = k_tile * kRows + own;
  if constexpr (kMakes & 1)
    store<kDepth, (kMakes == 3 ? kDepth : kPart), T>(of_keys.at[0], dk + row * kDepth, first, any.k_len,
                                                     any.order, part);
  if constexpr (kMakes & 2)
    store<kValues, (kMakes == 3 ? kValues : kPart), T>(of_values.at[0], dv + row * kValues, first, any.k_len,
                                                       any.order, part);
}

}  // namespace kx::attention

#if KX_MAKES == 0
extern "C" __global__ void KX_BOUNDS attention_queries(KX_PROBLEM_PARAMETERS, const KX_T* grad,
                                                       const kx::SumOf<KX_T>* lse,
                                                       const kx::SumOf<KX_T>* share, KX_T* dq) {
  const kx::attention::Problem<KX_T> problem = KX_PROBLEM;
  kx::attention::gradient_of_queries<KX_T, KX_D, KX_DV, KX_PART, KX_WARPS, KX_OTHER, KX_STAGES>(
      problem, {grad, lse, share}, dq);
}
KX_ENTRY(attention_queries)
#else
extern "C" __global__ void KX_BOUNDS attention_keys(KX_PROBLEM_PARAMETERS, const KX_T* grad,
                                                    const kx::SumOf<KX_T>* lse, const kx::SumOf<KX_T>* share,
                                                    KX_T* dk, KX_T* dv) {
  const kx::attention::Problem<KX_T> problem = KX_PROBLEM;
  kx::attention::gradients_of_keys<KX_T, KX_D, KX_DV, KX_PART, KX_MAKES, KX_WARPS, KX_OTHER, KX_STAGES>(
      problem, {grad, lse, share}, dk, dv);
}
KX_ENTRY(attention_keys)
#endif
