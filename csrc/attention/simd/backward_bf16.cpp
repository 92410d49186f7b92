// Gradients of attention between one tile of 64 keys and all queries of one head in bfloat16: backward.cpp
// with products of pairs.
//
// p and ds are made in floats, two rows of queries at a time, and rounded twice over: with the two rows side
// by side, for the sums over queries of dk and dv, and ds in rows, for the sums over keys of dq. Sums are
// floats.
#include "attention/simd/pairs.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

// Of a block: p and ds with rows in pairs, (kBlock / 2, kTile, 2); of a group: scores, gradients of weights,
// which become ds, and ds rounded, all (kGroup, kTile).
struct Weights {
  Bfloat16 *p, *ds, *rounded;
  float *scores, *gradients;

  explicit Weights(float* work) : scores(work), gradients(work + kGroup * kTile) {
    constexpr int64_t kAll =
        kBlock * kTile + kAlign;  // what the last group of keys reads beyond the last row
    rounded = reinterpret_cast<Bfloat16*>(gradients + kGroup * kTile);
    p = rounded + kGroup * kTile, ds = p + kAll;
  }
};
static_assert(5 * kGroup * kTile / 2 + kBlock * kTile + kAlign <= backward_work());

inline void weigh(const Backward<Bfloat16>& x, int64_t row, int from, int to, const Weights& w, int64_t at) {
  for (int64_t i = 0; i < kGroup; i += 2) {
    const int64_t last = x.rows - 1, r = row + i < last ? row + i : last, next = r < last ? r + 1 : last;
    const Floats lse[2] = {all(x.lse[r]), all(x.lse[next])};
    const Floats share[2] = {all(x.share[r]), all(x.share[next])}, zero = {};
    for (int c = from; c < to; ++c) {
      const int64_t key = c * kLanes;
      Floats p[2], ds[2];
      for (int j = 0; j < 2; ++j) {
        float *s = w.scores + (i + j) * kTile + key, *g = w.gradients + (i + j) * kTile + key;
        p[j] = exp2_roughly(load(s) - lse[j]);
        ds[j] = p[j] * (load(g) - share[j]);
        ds[j] = p[j] != 0 ? ds[j] : zero;
        if (x.dbias) store(g, ds[j]);
        store_rounded(ds[j], w.rounded + (i + j) * kTile + key);
      }
      store_pairs(p[0], p[1], w.p + at + i * kTile + 2 * key);
      store_pairs(ds[0], ds[1], w.ds + at + i * kTile + 2 * key);
    }
  }
}

void write_dbias(const Backward<Bfloat16>& x, int64_t row, int64_t tile, uint64_t any, const float* ds) {
  for (int64_t i = 0; i < kGroup && row + i < x.rows; ++i)
    for (int64_t k = __builtin_ctzll(any); k < 64 - __builtin_clzll(any); ++k)
      x.dbias[(row + i) * x.k_len + tile * kTile + k] = ds[i * kTile + k] * x.scale;
}

// One group: p, ds and what it adds to dq.
void group(const Backward<Bfloat16>& x, const GroupBits& bits, int64_t row, int64_t tile, const Weights& w,
           int64_t at) {
  const int from = __builtin_ctzll(bits.any) / kLanes, to = (63 - __builtin_clzll(bits.any)) / kLanes + 1;
  const Bfloat16 *q[kGroup], *dout[kGroup], *ds[kGroup];
  row_pointers(x.q, x.q_row, row, x.rows, q);
  row_pointers(x.dout, x.dv_row, row, x.rows, dout);
  scores(q, x.keys + tile * kTile * packed_columns<Bfloat16>(x.d), x.d, from, to, w.scores);
  finish_scores<false>(x, bits, row, tile, from, to, w.scores);
  scores(dout, x.values + tile * kTile * packed_columns<Bfloat16>(x.dv), x.dv, from, to, w.gradients);
  weigh(x, row, from, to, w, at);
  const auto [first, count] = pairs_of(bits.any);
  for (int64_t i = 0; i < kGroup; ++i) ds[i] = w.rounded + i * kTile + 2 * first;
  products<true>(ds, 2, x.k + (tile * kTile + 2 * first) * x.d_row, 2 * x.d_row, count, x.dq + row * x.d_row,
                 x.d_row, x.d_row / kLanes);
  if (x.dbias) write_dbias(x, row, tile, bits.any, w.gradients);
}

void zero(Bfloat16* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = {};
}

// One block: its groups, then what it adds to dk and dv.
void block(const Backward<Bfloat16>& x, int64_t first, int64_t tile, const Weights& w) {
  const BlockBits bits_of = block_bits(x, first, tile);
  const int64_t begin = bits_of.begin, end = bits_of.end;
  const uint64_t any = bits_of.any;
  if (!any) return;
  for (int64_t row = begin; row < end; row += kGroup) {
    const GroupBits& bits = bits_of.group[(row - first) / kGroup];
    const int64_t at = (row - first) * kTile;
    if (bits.any != ~uint64_t{0}) zero(w.p + at, kGroup * kTile), zero(w.ds + at, kGroup * kTile);
    if (bits.any) group(x, bits, row, tile, w, at);
  }
  const int64_t steps = (end - begin + 1) / 2, at = (begin - first) * kTile, keys = 64 - __builtin_clzll(any);
  for (int64_t j = __builtin_ctzll(any) / kGroup * kGroup; j < keys; j += kGroup) {
    const Bfloat16 *p[kGroup], *ds[kGroup];
    for (int64_t i = 0; i < kGroup; ++i) p[i] = w.p + at + 2 * (j + i), ds[i] = w.ds + at + 2 * (j + i);
    products<true>(ds, kTilePairs, x.q_pairs + begin * x.d_row, 2 * x.d_row, steps, x.dk + j * x.d_row,
                   x.d_row, x.d_row / kLanes);
    products<true>(p, kTilePairs, x.dout_pairs + begin * x.dv_row, 2 * x.dv_row, steps,
                   x.dv_sum + j * x.dv_row, x.dv_row, x.dv_row / kLanes);
  }
}

}  // namespace

void add_gradients(const Backward<Bfloat16>& head, int64_t tile) {
  const Weights weights(head.work);
  zero(weights.p + kBlock * kTile, kAlign), zero(weights.ds + kBlock * kTile, kAlign);
  for (int64_t row = 0; row < head.rows; row += kBlock) block(head, row, tile, weights);
}

void row_share(const Bfloat16* dout, const Bfloat16* out, float lse, int64_t dv, float* share,
               float* log2_sum) {
  share_of(dout, out, lse, dv, share, log2_sum);
}

}  // namespace kxfast::attention::KXFAST_ISA
