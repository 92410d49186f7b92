// The gradient of an additive bias: dS of every pair, added over all batch rows, heads, queries and keys that
// share a number of it.
//
// A block owns a tile of the bias and goes through all that share it, one tile of pairs after another in one
// order, so that the result does not depend on chance and no array of all pairs is made; scores and their
// gradients are made once more (two products of seven). A bias of one row or one column is summed along it at
// the end. What is shared by much is made by few blocks: right, and slow.
#include "attention_gradients.cuh"

namespace kx::attention {

// The bias is (batches, heads, rows, columns), each 1 or the full size.
template <class T, int kDepth, int kValues, int kWarps, int kKeys>
__device__ __forceinline__ void gradient_of_bias(const Problem<T>& problem, const Given<T>& given, T* dbias,
                                                 i64 batch, const i64 (&size)[4]) {
  using Sum = SumOf<T>;
  constexpr int kRows = kWarps * 16;
  const i64 down = (size[2] + kRows - 1) / kRows, across = (size[3] + kKeys - 1) / kKeys;
  const i64 own_k = blockIdx.x % across, own_q = blockIdx.x / across % down, of = blockIdx.x / across / down;
  const i64 own_b = of / size[1], own_h = of % size[1];
  const auto count = [](i64 own_size, i64 all) { return own_size == 1 ? all : 1; };
  const i64 batches = count(size[0], batch), heads = count(size[1], problem.heads);
  const i64 q_tiles = count(size[2], (problem.q_len + kRows - 1) / kRows);
  const i64 k_tiles = count(size[3], (problem.k_len + kKeys - 1) / kKeys);
  Shared shared;
  T* const q = shared.take<T>(kRows * pitch<T>(kDepth));
  T* const grad = shared.take<T>(kRows * pitch<T>(kValues));
  T* const k = shared.take<T>(kKeys * pitch<T>(kDepth));
  T* const v = shared.take<T>(kKeys * pitch<T>(kValues));
  Sum* const result = shared.take<Sum>(kRows * (kKeys + 1));

  const int own = static_cast<int>(threadIdx.x / kWarp) * 16;
  Sums<T, 1, kKeys> sums;
  sums.clear();
  for (i64 at = 0; at < batches * heads * q_tiles * k_tiles; ++at) {
    const i64 k_tile = own_k + at % k_tiles, q_tile = own_q + at / k_tiles % q_tiles;
    const i64 h = own_h + at / k_tiles / q_tiles % heads, b = own_b + at / k_tiles / q_tiles / heads;
    const Head<T, kDepth, kValues> head(problem, b, h);
    if (!head.pairs.template kind<kKeys>(q_tile, k_tile)) continue;
    fetch<T, kRows, kDepth, kDepth>(q, head.q, head.q_row, q_tile * kRows, head.q_len, head.order);
    fetch<T, kRows, kValues, kValues>(grad, given.grad + head.row * kValues, kValues, q_tile * kRows,
                                      head.q_len, head.order);
    fetch<T, kKeys, kDepth, kDepth>(k, head.k, head.k_row, k_tile * kKeys, head.k_len, head.order);
    fetch<T, kKeys, kValues, kValues>(v, head.v, head.v_row, k_tile * kKeys, head.k_len, head.order);
    copy_async_commit();
    arrive(false);
    Sums<T, 1, kKeys> s, dp;
    s.clear();
    dp.clear();
    times_transposed<T, kDepth>(s, q + own * pitch<T>(kDepth), k);
    times_transposed<T, kValues>(dp, grad + own * pitch<T>(kValues), v);
    const i64 first = q_tile * kRows + own;
    u32 kept = head.pairs.template of_queries<kKeys>(first, k_tile * kKeys);
    add_bias<T, kKeys, false>(s.at[0], kept, head.bias, head.bias_row, head.bias_column, first,
                              k_tile * kKeys);
    const OwnRows<T> rows(given, head, first);
    score_gradients<T, kKeys>(
        s.at[0], dp.at[0], kept, head.factor, head.scale, [&](int, int e) { return rows.base[e / 2]; },
        [&](int, int e) { return rows.share[e / 2]; });
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) sums.at[0][n][e] += dp.at[0][n][e];
    __syncthreads();
  }

#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e)
      result[(own + lane_id() / 4 + e / 2 * 8) * (kKeys + 1) + n * 8 + lane_id() % 4 * 2 + e % 2] =
          sums.at[0][n][e];
  __syncthreads();
  const int rows = size[2] == 1 ? 1 : kRows, columns = size[3] == 1 ? 1 : kKeys;
  for (int at = static_cast<int>(threadIdx.x); at < rows * columns; at += kThreads) {
    const i64 row = own_q * kRows + at / columns, column = own_k * kKeys + at % columns;
    if (row >= size[2] || column >= size[3]) continue;
    Sum sum = 0;
    for (int r = 0; r < kRows / rows; ++r)
      for (int c = 0; c < kKeys / columns; ++c)
        sum += result[(at / columns + r) * (kKeys + 1) + at % columns + c];
    narrow(dbias[(of * size[2] + row) * size[3] + column], sum);
  }
}

}  // namespace kx::attention

extern "C" __global__ void KX_BOUNDS attention_bias(KX_PROBLEM_PARAMETERS, const KX_T* grad,
                                                    const kx::SumOf<KX_T>* lse, const kx::SumOf<KX_T>* share,
                                                    KX_T* dbias, kx::i64 batch, kx::i64 batches,
                                                    kx::i64 bias_heads, kx::i64 rows, kx::i64 columns) {
  const kx::attention::Problem<KX_T> problem = KX_PROBLEM;
  kx::attention::gradient_of_bias<KX_T, KX_D, KX_DV, KX_WARPS, KX_OTHER>(
      problem, {grad, lse, share}, dbias, batch, {batches, bias_heads, rows, columns});
}
KX_ENTRY(attention_bias)
