// Kernels of the stem attention, one set per instruction set, and the calls that share them out to threads.
#pragma once

#include <cstdint>

#include "core/half.hpp"
#include "core/isa.hpp"

namespace kxfast::attention {

constexpr int64_t kTile = 64;        // keys of a tile: one word of mask bits
constexpr int64_t kGroup = 6;        // queries that pass through the registers together
constexpr int64_t kPartRows = 48;    // and of a part that passes from scores to values
constexpr int64_t kBlockRows = 192;  // queries of a block at most, forward
constexpr int64_t kAlign = 64;       // bytes to whose multiple rows of sums are padded: whole vectors

// Units of log2 in one of the natural logarithm.
template <class T>
constexpr T kLog2E = static_cast<T>(1.4426950408889634);

constexpr int64_t kCell = 32;  // queries, keys and channels that a product of tiles of bfloat16 takes

constexpr int64_t kPanelTiles = 2;  // of keys that such queries meet at a time, forward
constexpr int64_t kHalfScores = kCell * kPanelTiles * kTile;  // of bfloat16 forward, at a time
static_assert(kHalfScores >= kPartRows * kTile && kBlockRows % kCell == 0);

template <class T>
constexpr int64_t padded(int64_t columns) {
  constexpr int64_t kStep = kAlign / static_cast<int64_t>(sizeof(Wide<T>));
  return (columns + kStep - 1) / kStep * kStep;
}
constexpr int64_t groups_of(int64_t rows) {
  return (rows + kGroup - 1) / kGroup;
}

// Which keys the queries of one head may attend to: a word of bits for each tile of a query, or two intervals
// of keys for each query; neither: all.
struct Interval {
  int32_t start, stop;
};
struct HeadMask {
  const uint64_t* bits = nullptr;
  int64_t row = 0;  // words or pairs of intervals from one query to the next; 0: the same for all
  const Interval* intervals = nullptr;
  const Interval* groups = nullptr;  // of each group, the keys of any query, and an interval of each query
  int64_t group = 0;                 // from one group to the next
};

template <class T>
struct HeadBias {
  const T* data = nullptr;
  int64_t row = 0, key = 0;  // strides: key is 0 or 1
};

// What forward and backward know of a block of queries of one head. `keys` is packed by pack_tiles, and has
// the scale in it, in units of log2, but in bfloat16.
template <class T>
struct Queries {
  const T* q;
  int64_t q_row;  // elements from one query to the next
  int64_t rows, d, dv, k_len;
  const T* keys;
  HeadMask mask;
  HeadBias<Wide<T>> bias;
  Wide<T> scale;
};

// Rows that will be wanted soon, to be asked for while others are computed.
template <class T>
struct Upcoming {
  struct Rows {
    const T* data;
    int64_t rows, columns, stride;
  };
  Rows each[8];
  int count = 0;

  // `part` of `parts` of the rows of a head
  void add(const T* head, int64_t rows, int64_t columns, int64_t stride, int64_t part, int64_t parts) {
    const int64_t begin = part * rows / parts, end = (part + 1) * rows / parts;
    each[count++] = {head + begin * stride, end - begin, columns, stride};
  }
};

template <class T>
struct Forward : Queries<T> {
  const T* values;    // of bfloat16: made by pack_pairs
  int64_t value_row;  // elements from one value to the next: dv padded
  T* out;             // of the head, like q
  int64_t out_row;
  Wide<T>* lse;
  const int64_t* places;        // rows of out and lse, and of q but in bfloat16; or none: one after another
  Wide<T>* work;                // forward_work(rows, d, value_row) elements
  const Upcoming<T>* upcoming;  // where keys and values are in caches already; or none
};

// What all queries of one head add to the gradients of one tile of keys, and get from it.
template <class T>
struct Backward : Queries<T> {
  const T* values;    // packed as keys are
  const T *k, *dout;  // rows padded to d_row and dv_row; q has rows of d_row too; k of bfloat16 by pack_pairs
  int64_t d_row, dv_row;
  const T *q_pairs, *dout_pairs;  // q and dout once more, by pack_pairs or pack_columns: bfloat16 alone
  const Wide<T>*lse, *share;      // of each query, by row_share
  Wide<T>* dq;                    // added to, without the scale: (padded_rows(rows), d_row)
  Wide<T>*dk, *dv_sum;            // added to, dk without the scale: (kTileRows, d_row), (kTileRows, dv_row)
  Wide<T>* dbias;                 // (rows, k_len), or none
  Wide<T>* work;                  // backward_work(d_row, dv_row) elements
  const Upcoming<T>* upcoming;    // or none
};
constexpr int64_t kBlock = 8 * kGroup;                    // queries whose weights are kept
constexpr int64_t kTileRows = groups_of(kTile) * kGroup;  // keys of a tile, and what a last group adds
constexpr int64_t backward_work() {
  return 2 * (kBlock * kTile + kAlign);
}
// By tiles: cells of a block, scores and gradients of one cell, sums of a tile, rows of the last queries.
constexpr int64_t kCellBlock = 96;                      // queries whose cells are kept
constexpr int64_t kCellFloats = 3 * kCell * kCell / 2;  // of a cell
template <class T>
constexpr int64_t backward_work(int64_t d_row, int64_t dv_row) {
  if constexpr (sizeof(T) > 2) return backward_work();
  const int64_t cells = kCellBlock * kTile / (kCell * kCell) * kCellFloats + 2 * kCell * kCell;
  const int64_t tiles = cells + (d_row + dv_row) * (kTile + kCell / 2);
  return tiles > backward_work() ? tiles : backward_work();
}
// Rows of dq: whole groups, and whole cells.
template <class T>
constexpr int64_t padded_rows(int64_t rows) {
  rows = groups_of(rows) * kGroup;
  return sizeof(T) == 2 ? (rows + kCell - 1) / kCell * kCell : rows;
}

// A few queries of one key head and a run of its keys, from tile `first` to before `last`.
constexpr int64_t kFew = 8;
template <class T>
struct DecodeRow {
  const T* q;
  HeadMask mask;  // at the query
  HeadBias<T> bias;
};
template <class T>
struct Decode {
  DecodeRow<T> row[kFew];
  int64_t rows, d, dv, k_len, first, last, k_row, v_row;  // elements from one key, one value, to the next
  const T *k, *v;
  T scale;
  T* sums;  // of each row: dv sums of values, the highest score in units of log2, the sum of weights
};

// At most kTile rows of d elements, `stride` apart, or those at `places` of them; packed times `scale`, but
// in bfloat16.
template <class T>
struct Source {
  const T* data;
  const int64_t* places;
  int64_t rows, d, stride;
  Wide<T> scale;

  const T* row(int64_t r) const { return data + (places ? places[r] : r) * stride; }
};

#define KXFAST_DECLARE_TYPE(T)                                                           \
  void attend(const Forward<T>& block);                                                  \
  void decode(const Decode<T>& run);                                                     \
  void row_share(const T* dout, const T* out, T lse, int64_t dv, T* share, T* log2_sum); \
  void add_gradients(const Backward<T>& head, int64_t tile, bool selected);
#define KXFAST_DECLARE(set)                                                         \
  namespace set {                                                                   \
  KXFAST_DECLARE_TYPE(float)                                                        \
  KXFAST_DECLARE_TYPE(double)                                                       \
  void pack_tiles(const Source<float>& x, float* out);                              \
  void pack_tiles(const Source<double>& x, double* out);                            \
  void pack_tiles(const Source<Bfloat16>& x, Bfloat16* out);                        \
  void pack_pairs(const Bfloat16* x, int64_t rows, int64_t width, Bfloat16* out);   \
  void pack_columns(const Bfloat16* x, int64_t rows, int64_t width, Bfloat16* out); \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE
#undef KXFAST_DECLARE_TYPE

// The same of bfloat16 multiplied as it is, where half_products() is not none. They have no loop that leaves
// out what is not allowed: where it may have spoiled a result, which is then not finite, floats are used.
#define KXFAST_DECLARE(set)                                                                      \
  namespace set {                                                                                \
  bool attend(const Forward<Bfloat16>& block); /* whether the results are finite */              \
  void row_share(const Bfloat16* dout, const Bfloat16* out, float lse, int64_t dv, float* share, \
                 float* log2_sum);                                                               \
  void add_gradients(const Backward<Bfloat16>& head, int64_t tile);                              \
  void write_scaled(const float* from, int64_t count, float scale, Bfloat16* to);                \
  }
KXFAST_DECLARE(emulated)
#ifdef KXFAST_X86
KXFAST_DECLARE(amx)
KXFAST_DECLARE(avx512_bf16)
#endif
#undef KXFAST_DECLARE

// Rows of a packed tile: of bfloat16, with zeros, as many as products of tiles take.
template <class T>
constexpr int64_t packed_columns(int64_t d) {
  return sizeof(T) == 2 ? (d + kCell - 1) / kCell * kCell : d;
}
// Rows of a head that pack_pairs and pack_columns fill, with zeros where there are fewer.
constexpr int64_t packed_rows(int64_t rows) {
  return (rows + kTile - 1) / kTile * kTile;
}

// Scores of a group, weights of a part, sums of values, sums of weights and maxima (a vector each).
template <class T>
constexpr int64_t forward_work(int64_t rows, int64_t d, int64_t value_row) {
  constexpr int64_t kVector = kAlign / static_cast<int64_t>(sizeof(Wide<T>));
  if constexpr (sizeof(T) > 2)
    return groups_of(rows) * kGroup * (value_row + 2 * kVector) + (kGroup + kPartRows) * kTile;
  // Scores and weights in bfloat16, a last cell's queries, and sums of values for all rows of a last part.
  return groups_of(rows) * kGroup * 2 * kVector + kHalfScores * 3 / 2 + kCell / 2 * packed_columns<T>(d) +
         (rows + kPartRows) * value_row;
}

}  // namespace kxfast::attention
