// One call of attention as Python hands it over, and the sizes that its text is compiled for.
//
// The text defines KX_T, the type; KX_D and KX_DV, head sizes of queries and of values; and the plan of a
// kernel: KX_WARPS, KX_BANDS (of 16 rows, a warp), KX_OTHER (rows of the tiles that pass by), KX_STAGES of
// these, KX_PART (columns of the result that a block makes).
#pragma once

#include "attention_masks.cuh"

// Two blocks to a multiprocessor are what shared memory holds; asked for more, the compiler spills.
#define KX_BOUNDS __launch_bounds__(KX_WARPS * 32, 2)
#define KX_PROBLEM_PARAMETERS                                                                           \
  const KX_T *q, const KX_T *k, const KX_T *v, const KX_T *bias, kx::i64 heads, kx::i64 groups,         \
      kx::i64 q_len, kx::i64 k_len, double scale, kx::i64 q_batch, kx::i64 q_head, kx::i64 q_row,       \
      kx::i64 k_batch, kx::i64 k_head, kx::i64 k_row, kx::i64 v_batch, kx::i64 v_head, kx::i64 v_row,   \
      kx::i64 bias_batch, kx::i64 bias_head, kx::i64 bias_row, kx::i64 bias_column,                     \
      const kx::attention::Interval *intervals, const int *ranges, kx::i64 interval_batch,              \
      kx::i64 interval_row, kx::i64 range_batch, kx::i64 range_tile, const kx::u32 *bits,               \
      const kx::u8 *classes, kx::i64 bit_batch, kx::i64 bit_head, kx::i64 bit_row, kx::i64 class_batch, \
      kx::i64 class_head, kx::i64 class_tile, const kx::i64 *captured, const kx::i64 *places,           \
      kx::i64 place_batch
#define KX_PROBLEM                                                                                        \
  {                                                                                                       \
    {q, q_batch, q_head, q_row}, {k, k_batch, k_head, k_row}, {v, v_batch, v_head, v_row},                \
        {bias, bias_batch, bias_head, bias_row, bias_column}, heads, groups, q_len, k_len, scale, {       \
      intervals, ranges, interval_batch, interval_row, range_batch, range_tile, bits, classes, bit_batch, \
          bit_head, bit_row, class_batch, class_head, class_tile, captured, places, place_batch           \
    }                                                                                                     \
  }

namespace kx::attention {

constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

// Rows of all heads: the ways from one batch row, head and row to the next.
template <class T>
struct Rows {
  const T* data;
  i64 batch, head, row;

  __device__ const T* of(i64 b, i64 h) const { return data + b * batch + h * head; }
};

template <class T>
struct Problem {
  Rows<T> q, k, v;
  Bias<T> bias;
  i64 heads, groups, q_len, k_len;
  double scale;
  Pairs pairs;
};

// One head of it. `factor` brings scores to logarithms of base 2.
template <class T, int kDepth, int kValues>
struct Head {
  const T *q, *k, *v, *bias;
  i64 q_row, k_row, v_row, bias_row, bias_column, q_len, k_len,
      row;  // `row`: its first among the rows of all heads
  SumOf<T> scale, factor;
  HeadPairs pairs;
  Order order;

  __device__ Head(const Problem<T>& all, i64 batch, i64 head)
      : q(all.q.of(batch, head)),
        k(all.k.of(batch, head / (all.heads / all.groups))),
        v(all.v.of(batch, head / (all.heads / all.groups))),
        bias(all.bias.data ? all.bias.data + batch * all.bias.batch + head * all.bias.head : nullptr),
        q_row(all.q.row),
        k_row(all.k.row),
        v_row(all.v.row),
        bias_row(all.bias.row),
        bias_column(all.bias.column),
        q_len(all.q_len),
        k_len(all.k_len),
        row((batch * all.heads + head) * all.q_len),
        scale(static_cast<SumOf<T>>(all.scale)),
        factor(static_cast<SumOf<T>>(all.scale * kLog2E)),
        pairs(all.pairs, batch, head, all.q_len, all.k_len),
        order{all.pairs.places ? all.pairs.places + batch * all.pairs.place_batch : nullptr} {}
};

// Waits for the tile that is needed now, the next one being on its way; then all threads may read it.
__device__ __forceinline__ void arrive(bool another) {
  if (another)
    copy_async_wait<1>();
  else
    copy_async_wait<0>();
  __syncthreads();
}

// Writes a band of sums where rows first .. and columns part .. of the result are, kAll columns a row.
template <int kAll, int kColumns, class T, int kN>
__device__ __forceinline__ void store(const SumOf<T> (&sums)[kN][4], T* rows, i64 first, i64 end, Order order,
                                      int part) {
  const int lane = lane_id();
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const i64 r = first + lane / 4 + 8 * i;
    if (r >= end) continue;
    T* const row = rows + order(r) * kAll + part;
#pragma unroll
    for (int c = 0; c < kN; ++c)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int column = c * 8 + lane % 4 * 2 + j;
        if (column < kColumns && part + column < kAll) narrow(row[column], sums[c][2 * i + j]);
      }
  }
}

}  // namespace kx::attention
