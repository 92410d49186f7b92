// One call of attention as bindings hand it over, and what forward and backward share of it.
#pragma once

#include <cstdint>

#include "attention/kernels.hpp"
#include "core/threads.hpp"
#include "core/workspace.hpp"

namespace kxfast::attention {

struct Sizes {
  int64_t batch, heads, key_heads, q_len, k_len, d, dv;
};

// A mask or bias in four dimensions; size 1 stands for all.
template <class T>
struct Broadcast {
  const T* data = nullptr;
  int64_t size[4] = {1, 1, 1, 1};

  int64_t stride(int axis) const {
    int64_t product = 1;
    for (int i = axis + 1; i < 4; ++i) product *= size[i];
    return size[axis] == 1 ? 0 : product;
  }
  const T* head(int64_t b, int64_t h) const { return data + b * stride(0) + h * stride(1); }
};

// The mask of a call: words of bits, one row of words for each row of the pattern, or intervals of keys, in
// memory that grows with the rows alone.
class Pattern {
 public:
  Pattern(const Broadcast<bool>& mask, int64_t k_len);
  explicit Pattern(const Broadcast<Interval>& intervals);  // its last axis has two
  HeadMask of(int64_t b, int64_t h, int64_t row) const;    // row: a multiple of kGroup

 private:
  Broadcast<uint64_t> words_;
  Buffer<uint64_t> memory_;
  Broadcast<Interval> intervals_, groups_;
  Buffer<Interval> group_memory_;
};

// The order in which a batch row's queries and keys are taken: place of the r-th one; none: as they stand.
struct Order {
  const int64_t* places = nullptr;
  int64_t batch = 0;  // from one batch row to the next

  int64_t operator()(int64_t b, int64_t r) const { return places ? places[b * batch + r] : r; }
};

// Rows of heads in memory, each in one piece: elements from one batch row, head and row to the next.
template <class T>
struct Place {
  T* data;
  int64_t batch, head, row;

  T* operator()(int64_t b, int64_t h, int64_t r) const { return data + b * batch + h * head + r * row; }
};

template <class T>
struct Problem {
  Sizes size;
  Place<const T> q, k, v;
  const Pattern* mask;
  Broadcast<Wide<T>> bias;
  Wide<T> scale;
  Order order;
  int64_t first_batch = 0, first_head = 0;  // of the mask and bias

  int64_t tiles() const { return (size.k_len + kTile - 1) / kTile; }
  int64_t key_head(int64_t b, int64_t h) const {
    return b * size.key_heads + h / (size.heads / size.key_heads);
  }
  HeadBias<Wide<T>> bias_of(int64_t b, int64_t h, int64_t row) const {
    if (!bias.data) return {};
    return {bias.head(first_batch + b, first_head + h) + row * bias.stride(2), bias.stride(2),
            bias.stride(3)};
  }
  HeadMask mask_of(int64_t b, int64_t h, int64_t row) const {
    return mask->of(first_batch + b, first_head + h, row);
  }
  // Rows of queries that share a key head.
  int64_t shared_rows() const { return size.heads / size.key_heads * size.q_len; }
  // Of keys and values of a key head.
  int64_t key_bytes() const { return size.k_len * (size.d + size.dv) * static_cast<int64_t>(sizeof(T)); }
  // One key head and its queries.
  Problem alone(int64_t kv) const {
    const int64_t b = kv / size.key_heads, key = kv % size.key_heads, share = size.heads / size.key_heads;
    Problem part = *this;
    part.size.batch = part.size.key_heads = 1, part.size.heads = share;
    part.q.data = q(b, key * share, 0), part.k.data = k(b, key, 0), part.v.data = v(b, key, 0);
    part.first_batch += b, part.first_head += key * share;
    if (order.places) part.order.places += b * order.batch;
    return part;
  }
};

// Whether a task is best a key head with all its queries, which packs keys and values for itself: what is
// packed stays in the cache of the core that uses it (a tenth of the time of heads of 512 keys).
template <class T>
bool by_heads(const Problem<T>& x);
constexpr int64_t kCached = 1 << 20;  // bytes of keys and values that leave room for those of the next head

// Whether a copy of rows that begin at multiples of 64 bytes pays (products with vectors across two lines are
// 7 % slower): where many queries meet each key, and memory for it will be there again.
template <class T>
bool aligns(const Problem<T>& x);

// Arrays of rows (batch, heads, rows, columns) in some order.
template <class T>
struct Heads {
  Place<const T> place;
  int64_t batch, heads, rows, columns;
  Order order;

  int64_t count() const { return batch * heads * rows; }
  const T* row(int64_t head, int64_t r) const {
    return place(head / heads, head % heads, order(head / heads, r));
  }
  bool dense() const {
    return place.row == columns && (heads == 1 || place.head == rows * columns) &&
           (batch == 1 || place.batch == heads * rows * columns);
  }
};

// Of each key head, an interval with all keys that some query attends to.
template <class T>
Buffer<Interval> attended(const Problem<T>& x);

// Every head's rows as tiles packed by pack_tiles, (batch heads, tiles, packed_columns, 64); tiles without a
// key that is `needed` are left as they are.
template <class T>
Buffer<T> packed(const Heads<T>& x, const Interval* needed, Wide<T> scale);

// Rows one after another with zeros after each up to a multiple of 64 bytes of sums (for tiles of bfloat16,
// of 32 numbers): x itself where it is that, and, if they are to be `aligned`, begins at such a multiple.
template <class T>
class Rows {
 public:
  explicit Rows(const Heads<T>& x, bool aligned = false);
  const T* data() const { return data_; }
  int64_t width() const { return width_; }

 private:
  int64_t width_;
  Buffer<T> memory_;
  const T* data_;
};

// Every head's rows two by two, element beside element, (batch heads, pairs, width, 2), or, `columns`, 32 by
// 32 as columns, (batch heads, parts, width, 32); packed_rows(rows) of them.
Buffer<Bfloat16> paired(const Rows<Bfloat16>& x, int64_t heads, int64_t rows, bool columns = false);

// Both directions need half_products() for bfloat16, and then return false where what may not be attended to
// has spoiled a result: it is to be computed in floats. Otherwise they return true.
template <class T>
bool forward(const Problem<T>& problem, const Place<T>& out, Wide<T>* lse);
template <class T>
void forward_few(const Problem<T>& problem, const Place<T>& out,
                 T* lse);  // of at most kFew queries of each key head

// What the forward pass gave, and the gradient of it.
template <class T>
struct Result {
  Place<const T> dout, out;
  const Wide<T>* lse;
};
template <class T>
struct Gradients {
  Place<T> dq, dk, dv;
  Wide<T>* dbias;  // (B, H, Lq, Lk), zeros, or none
};
template <class T>
bool backward(const Problem<T>& problem, const Result<T>& given, const Gradients<T>& made);

}  // namespace kxfast::attention
