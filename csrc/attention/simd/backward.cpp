// Gradients of attention between one tile of 64 keys and all queries of one head.
//
// With p = 2^(s - lse) made again from the scores and ds = p (dout v' - sum(dout out)): dq += ds k, dk +=
// ds' q, dv += p' dout. Five products, all by the two micro-kernels of tile.hpp, which are the limit.
// Walking queries inside keys needs these five; a pass for dq and one for dk and dv would need seven. Blocks
// are 48 queries deep since a micro-kernel that reads and writes 6 x 64 sums for every group alone would do
// little else; p and ds of a block are 12 KB each. Each product passes over the block by itself, so that the
// 40 KB it reads and writes stay in the first level cache (2 % at 512 keys of 64 numbers, 4 % at 128, over
// all but the last two group by group). Meanwhile what the next head reads and the rows of results of this
// one are fetched, some rows at a time (4 % at 512, 3 of them by results, which lose 1 % at 128). Of 64 keys
// the last 4 are a group of their own. Tried and lost: blocks of 30 queries (1 % slower), of 72 and 96 (no
// gain).
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

// The groups of a block that attend to something of a tile: each one's bits, first row and weights, and the
// vectors of keys it attends to.
template <class T, class Body>
inline void each_group(const BlockBits& block, int64_t first, const Weights<T>& w, const Body& body) {
  constexpr int kWidth = Lanes<T>::kWidth;
  for (int64_t row = block.begin; row < block.end; row += kGroup) {
    const GroupBits& bits = block.group[(row - first) / kGroup];
    if (!bits.any) continue;
    const int64_t at = (row - first) * kTile;
    const int from = __builtin_ctzll(bits.any) / kWidth, to = (63 - __builtin_clzll(bits.any)) / kWidth + 1;
    body(bits, row, Weights<T>{w.p + at, w.ds + at}, from, to);
  }
}

template <class T>
void zero(T* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = 0;
}

// What a block's `weights`, p or ds, times its `rows` add to the sums of the keys of a tile, dv or dk; `p` as
// `weights` lie.
template <class T>
void add_keys(const T* weights, const T* rows, int64_t width, int64_t depth, uint64_t any, T* sums,
              const T* p, bool selected) {
  const int64_t keys = 64 - __builtin_clzll(any);
  int64_t j = __builtin_ctzll(any) / kGroup * kGroup;
  for (; j < keys && j + kGroup <= kTile; j += kGroup)
    add<kGroup, 1, kTile>(weights + j, rows, width, depth, sums + j * width, width, p + j, selected);
  if (j < keys)
    add<kTile % kGroup, 1, kTile>(weights + j, rows, width, depth, sums + j * width, width, p + j, selected);
}

// One block: p, ds and what they add to dq, dk and dv.
template <class T>
void block(const Backward<T>& x, int64_t first, int64_t tile, bool selected, Sender<T>& sender) {
  const Weights<T> w{x.work, x.work + backward_work() / 2};
  const BlockBits bits_of = block_bits(x, first, tile);
  const int64_t begin = bits_of.begin, depth = bits_of.end - begin, at = (begin - first) * kTile;
  if (!bits_of.any) return;
  for (int64_t row = begin; row < bits_of.end; row += kGroup)
    if (bits_of.group[(row - first) / kGroup].any != ~uint64_t{0})
      zero(w.p + (row - first) * kTile, kGroup * kTile), zero(w.ds + (row - first) * kTile, kGroup * kTile);
  using Bits = const GroupBits&;
  using Of = const Weights<T>&;
  const T* row_of[kGroup];
  each_group(bits_of, first, w, [&](Bits bits, int64_t row, Of mine, int from, int to) {
    sender.visit();
    row_pointers(x.q, x.q_row, row, x.rows, row_of);
    scores(row_of, x.keys + tile * kTile * x.d, x.d, from, to, mine.p);
    finish_scores<true>(x, bits, row, tile, from, to, mine.p);
  });
  each_group(bits_of, first, w, [&](Bits, int64_t row, Of mine, int from, int to) {
    row_pointers(x.dout, x.dv_row, row, x.rows, row_of);
    scores(row_of, x.values + tile * kTile * x.dv, x.dv, from, to, mine.ds);
    weigh(x, row, from, to, mine);
  });
  each_group(bits_of, first, w, [&](Bits bits, int64_t row, Of mine, int, int) {
    const int from = __builtin_ctzll(bits.any), to = 64 - __builtin_clzll(bits.any);
    add<kGroup, kTile, 1>(mine.ds + from, x.k + (tile * kTile + from) * x.d_row, x.d_row, to - from,
                          x.dq + row * x.d_row, x.d_row, mine.p + from, selected);
    if (x.dbias) write_dbias(x, row, tile, from, to, mine.ds);
  });
  const T *p = w.p + at, *ds = w.ds + at;
  add_keys(ds, x.q + begin * x.q_row, x.d_row, depth, bits_of.any, x.dk, p, selected);
  add_keys(p, x.dout + begin * x.dv_row, x.dv_row, depth, bits_of.any, x.dv_sum, p, selected);
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
