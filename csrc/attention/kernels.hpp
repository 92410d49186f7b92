// Kernels of the stem attention, one set per instruction set, and the calls that share them out to threads.
#pragma once

#include <cstdint>

#include "core/isa.hpp"

namespace kxfast::attention {

constexpr int64_t kTile = 64;   // keys of a tile: one word of mask bits
constexpr int64_t kGroup = 6;   // queries that pass through the registers together
constexpr int64_t kAlign = 64;  // bytes to whose multiple rows are padded where kernels read whole vectors

// Which keys the queries of one head may attend to: a word of bits for each tile of a query, or two half-open
// intervals of keys (from, to, from, to) for each query, or neither: all.
struct HeadMask {
  const uint64_t* bits = nullptr;
  const int32_t* intervals = nullptr;
  int64_t row = 0;  // words or numbers from one query to the next; 0: the same for all
};

template <class T>
struct HeadBias {
  const T* data = nullptr;
  int64_t row = 0, key = 0;  // strides: key is 0 or 1
};

// What forward and backward know of a block of queries of one head. Row i of the block is row order[i] of q
// where there is an order. `keys` is packed by pack_tiles.
template <class T>
struct Queries {
  const T* q;
  const int32_t* order;
  int64_t rows, d, dv, k_len;
  const T* keys;
  HeadMask mask;
  HeadBias<T> bias;
  T scale;
};

template <class T>
struct Forward : Queries<T> {
  const T* values;
  int64_t value_row;  // elements from one value to the next: dv padded
  T *out, *lse;       // of the head, like q
  T* work;            // forward_work(rows, value_row) elements
};

#define KXFAST_DECLARE(set)                                                                     \
  namespace set {                                                                               \
  void pack_tiles(const float* x, const int32_t* order, int64_t rows, int64_t d, float* out);   \
  void pack_tiles(const double* x, const int32_t* order, int64_t rows, int64_t d, double* out); \
  void attend(const Forward<float>& block);                                                     \
  void attend(const Forward<double>& block);                                                    \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE

template <class T>
constexpr int64_t padded(int64_t columns) {
  constexpr int64_t kStep = kAlign / static_cast<int64_t>(sizeof(T));
  return (columns + kStep - 1) / kStep * kStep;
}
constexpr int64_t groups_of(int64_t rows) {
  return (rows + kGroup - 1) / kGroup;
}
// Sums of values, sums of weights (a vector each), maxima, and one group's scores.
template <class T>
constexpr int64_t forward_work(int64_t rows, int64_t value_row) {
  return groups_of(rows) * kGroup * (value_row + 2 * kAlign / static_cast<int64_t>(sizeof(T))) +
         kGroup * kTile;
}

}  // namespace kxfast::attention
