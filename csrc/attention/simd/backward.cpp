// Gradients of attention between one tile of 64 keys and all queries of one head.
//
// With p = 2^(s - lse) made again from the scores and ds = p (dout v' - sum(dout out)): dq += ds k, dk += ds'
// q, dv += p' dout. For each block of 48 queries, p and ds of its groups are made and dq is added to; then
// the block's p and ds, 12 KB each, are multiplied from the left with the queries' rows. Five products, all
// by the two micro-kernels of tile.hpp, which are the limit. Walking queries inside keys needs these five; a
// pass for dq and one for dk and dv would need seven. Blocks are 48 deep since a micro-kernel that reads and
// writes 6 x 64 sums for every group alone would do little else.
//
// Pairs that are not allowed have p = ds = 0. As in the forward pass, a 0 that meets NaN or infinity spoils
// sums: the caller looks at the results and asks again, `selected`, for the loop that leaves zeros out.
#include "attention/simd/group.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

template <class T>
struct Weights {
  T *p, *ds;  // (kBlock, kTile)
};

template <int MR, int kRow, int kStep, class T>
inline void add(const T* a, const T* b, int64_t b_row, int64_t depth, T* c, int64_t columns, const T* weight,
                bool selected) {
  if (selected)
    add_selected<MR, kRow, kStep>(a, b, b_row, depth, c, columns, columns, weight);
  else
    add_rows<MR, kRow, kStep>(a, b, b_row, depth, c, columns, columns);
}

// Scores in p become weights, dout v' in ds becomes the gradient of the scores.
template <class T>
inline void weigh(const Backward<T>& x, int64_t row, int from, int to, const Weights<T>& w) {
  using V = typename Lanes<T>::Vector;
  constexpr int kWidth = Lanes<T>::kWidth;
  for (int64_t i = 0; i < kGroup; ++i) {
    const int64_t r = row + i < x.rows ? row + i : x.rows - 1;
    const V lse = all(x.lse[r]), share = all(x.share[r]), zero = {};
    for (int64_t at = i * kTile + from * kWidth; at < i * kTile + to * kWidth; at += kWidth) {
      const V p = exp2(load(w.p + at) - lse), ds = p * (load(w.ds + at) - share);
      store(w.p + at, p);
      store(w.ds + at, p != 0 ? ds : zero);
    }
  }
}

template <class T>
void write_dbias(const Backward<T>& x, int64_t row, int64_t tile, int begin, int end, const T* ds) {
  for (int64_t i = 0; i < kGroup && row + i < x.rows; ++i)
    for (int64_t k = begin; k < end; ++k)
      x.dbias[(row + i) * x.k_len + tile * kTile + k] = ds[i * kTile + k] * x.scale;
}

// One group: p, ds and what it adds to dq.
template <class T>
void group(const Backward<T>& x, const GroupBits& bits, int64_t row, int64_t tile, const Weights<T>& w,
           bool selected) {
  constexpr int kWidth = Lanes<T>::kWidth;
  const int begin = __builtin_ctzll(bits.any), end = 64 - __builtin_clzll(bits.any);
  const int from = begin / kWidth, to = (end + kWidth - 1) / kWidth;
  const T *q[kGroup], *dout[kGroup];
  row_pointers(x.q, x.q_row, row, x.rows, q);
  row_pointers(x.dout, x.dv_row, row, x.rows, dout);
  scores(q, x.keys + tile * kTile * x.d, x.d, from, to, w.p);
  finish_scores<true>(x, bits, row, tile, from, to, w.p);
  scores(dout, x.values + tile * kTile * x.dv, x.dv, from, to, w.ds);
  weigh(x, row, from, to, w);
  add<kGroup, kTile, 1>(w.ds + begin, x.k + (tile * kTile + begin) * x.d_row, x.d_row, end - begin,
                x.dq + row * x.d_row, x.d_row, w.p + begin, selected);
  if (x.dbias) write_dbias(x, row, tile, begin, end, w.ds);
}

template <class T>
void zero(T* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = 0;
}

// What the weights of a block from key j of a tile on add to dk and dv.
template <int MR, class T>
inline void add_keys(const Backward<T>& x, const Weights<T>& w, int64_t j, int64_t begin, int64_t depth,
                     bool selected) {
  const T *p = w.p + j, *ds = w.ds + j;
  add<MR, 1, kTile>(ds, x.q + begin * x.q_row, x.q_row, depth, x.dk + j * x.d_row, x.d_row, p, selected);
  add<MR, 1, kTile>(p, x.dout + begin * x.dv_row, x.dv_row, depth, x.dv_sum + j * x.dv_row, x.dv_row, p, selected);
}

// One block: its groups, then what it adds to dk and dv.
template <class T>
void block(const Backward<T>& x, int64_t first, int64_t tile, bool selected, Sender<T>& sender) {
  const Weights<T> w{x.work, x.work + backward_work() / 2};
  const BlockBits bits_of = block_bits(x, first, tile);
  const int64_t begin = bits_of.begin, end = bits_of.end;
  const uint64_t any = bits_of.any;
  if (!any) return;
  for (int64_t row = begin; row < end; row += kGroup) {
    sender.visit();
    const GroupBits& bits = bits_of.group[(row - first) / kGroup];
    const int64_t at = (row - first) * kTile;
    if (bits.any != ~uint64_t{0}) zero(w.p + at, kGroup * kTile), zero(w.ds + at, kGroup * kTile);
    if (bits.any) group(x, bits, row, tile, {w.p + at, w.ds + at}, selected);
  }
  const int64_t depth = end - begin, keys = 64 - __builtin_clzll(any), at = (begin - first) * kTile;
  const Weights<T> seen{w.p + at, w.ds + at};
  int64_t j = __builtin_ctzll(any) / kGroup * kGroup;
  for (; j < keys && j + kGroup <= kTile; j += kGroup) add_keys<kGroup>(x, seen, j, begin, depth, selected);
  if (j < keys) add_keys<kTile % kGroup>(x, seen, j, begin, depth, selected);
}

template <class T>
void gradients(const Backward<T>& x, int64_t tile, bool selected) {
  Sender<T> sender(x.upcoming, groups_of(x.rows));
  for (int64_t row = 0; row < x.rows; row += kBlock) block(x, row, tile, selected, sender);
}

template <class T>
void share_of(const T* dout, const T* out, T lse, int64_t dv, T* share, T* log2_sum) {
  constexpr int kWidth = Lanes<T>::kWidth;
  typename Lanes<T>::Vector total = {};
  int64_t j = 0;
  for (; j + kWidth <= dv; j += kWidth) total = fused(load(dout + j), load(out + j), total);
  T sum = sum_of<T>(total);
  for (; j < dv; ++j) sum += dout[j] * out[j];
  const bool empty = lse == -kInfinity<T>;
  *share = empty ? T{0} : sum;
  *log2_sum = empty ? kInfinity<T> : lse * static_cast<T>(1.4426950408889634);
}

}  // namespace

#define KXFAST_DEFINE(T)                                                                  \
  void add_gradients(const Backward<T>& head, int64_t tile, bool selected) {              \
    gradients(head, tile, selected);                                                      \
  }                                                                                       \
  void row_share(const T* dout, const T* out, T lse, int64_t dv, T* share, T* log2_sum) { \
    share_of(dout, out, lse, dv, share, log2_sum);                                        \
  }
KXFAST_DEFINE(float)
KXFAST_DEFINE(double)
#undef KXFAST_DEFINE

}  // namespace kxfast::attention::KXFAST_ISA
