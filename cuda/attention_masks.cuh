// Which pairs count: intervals of keys for each query, bits with classes of tiles, a user's function; each is
// there or not, and a pair must pass all that are.
//
// Most masks are at most two intervals of keys a query. For each tile of queries the host tells four ranges:
// what any row's first or second interval reaches, and what is in every row's. With them a tile of keys is
// empty, full or in between by comparisons alone; the same four ranges, read tile by tile of queries, serve
// the gradients of keys. Bits and functions have a class for each tile instead: 0 empty, 1 in between, 2
// full. Only tiles in between look at pairs: a lane's pairs become the bits of a word, in the order of Sums.
#pragma once

#include "attention_functions.cuh"
#include "attention_products.cuh"

namespace kx::attention {

struct Interval {
  int a, b, c, d;  // a <= key < b or c <= key < d
};

// As the host hands it over; steps are from one batch row, head, query or tile of queries to the next, 0
// where all share one.
struct Pairs {
  const Interval* intervals;
  const int* ranges;  // 8 a tile of queries: any of the first, any of the second, all of the first and second
  i64 interval_batch, interval_row, range_batch, range_tile;
  const u32* bits;
  const u8* classes;
  i64 bit_batch, bit_head, bit_row, class_batch, class_head, class_tile;
  const i64* captured;
  const i64* places;
  i64 place_batch;
};

// The masks of one head.
class HeadPairs {
 public:
  __device__ HeadPairs(const Pairs& all, i64 batch, i64 head, i64 q_len, i64 k_len)
      : intervals_(all.intervals + (all.intervals ? batch * all.interval_batch : 0)),
        interval_row_(all.interval_row),
        ranges_(all.ranges + (all.ranges ? batch * all.range_batch : 0)),
        range_tile_(all.range_tile),
        bits_(all.bits + (all.bits ? batch * all.bit_batch + head * all.bit_head : 0)),
        bit_row_(all.bit_row),
        classes_(all.classes + (all.classes ? batch * all.class_batch + head * all.class_head : 0)),
        class_tile_(all.class_tile),
        captured_(all.captured),
        batch_(batch),
        head_(head),
        q_len_(q_len),
        k_len_(k_len) {}

  // What a tile of queries lets through: 0 nothing, 1 something, 2 all pairs, of kKeys keys from `first` on.
  template <int kKeys>
  __device__ __forceinline__ int kind(i64 q_tile, i64 k_tile) const {
    const int from = static_cast<int>(k_tile) * kKeys;
    const int to = from + kKeys < k_len_ ? from + kKeys : static_cast<int>(k_len_);
    int found = from + kKeys <= k_len_ ? 2 : 1;
    if (ranges_) {
      const int* const r = ranges_ + q_tile * range_tile_;
      if (!((from < r[1] && r[0] < to) || (from < r[3] && r[2] < to))) return 0;
      if (!((r[4] <= from && to <= r[5]) || (r[6] <= from && to <= r[7]))) found = 1;
    }
    if (classes_) {
      const int of_bits = classes_[q_tile * class_tile_ + k_tile];
      found = of_bits < found ? of_bits : found;
    }
    return found;
  }

  // Whether query i may attend to key j; both may lie beyond the last.
  __device__ __forceinline__ bool may(i64 i, i64 j) const {
    if (i >= q_len_ || j >= k_len_) return false;
    if (intervals_) {
      const Interval own = intervals_[i * interval_row_];
      if (!((own.a <= j && j < own.b) || (own.c <= j && j < own.d))) return false;
    }
    if (bits_ && !(bits_[i * bit_row_ + j / 32] >> (j % 32) & 1)) return false;
    return function(i, j);
  }

  // A lane's pairs of a band of queries, from its row `first` on, with kN keys from `key` on.
  template <int kN>
  __device__ __forceinline__ u32 of_queries(i64 first, i64 key) const {
    const int lane = lane_id();
    u32 word = 0;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const i64 row = first + lane / 4 + 8 * i;
      if (row >= q_len_) continue;
      const int low = static_cast<int>(key) + lane % 4 * 2, end = static_cast<int>(k_len_);
      const Interval own = intervals_ ? intervals_[row * interval_row_] : Interval{0, end, 0, 0};
      const u32* const bits = bits_ + (bits_ ? row * bit_row_ : 0);
      u32 part = kAllLanes;
#pragma unroll
      for (int n = 0; n < kN / 8; ++n) {
        const i64 start = key + n * 8;
        if (bits_ && (n == 0 || start % 32 == 0) && start < k_len_) part = bits[start / 32];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int at = low + n * 8 + j;
          bool good = (own.a <= at && at < own.b) || (own.c <= at && at < own.d);
          good = good && (part >> (at % 32) & 1) && function(row, at);
          word |= static_cast<u32>(good) << (4 * n + 2 * i + j);
        }
      }
    }
    return word;
  }

  // The same with keys as rows and queries as columns.
  template <int kN>
  __device__ __forceinline__ u32 of_keys(i64 first, i64 query) const {
    const int lane = lane_id();
    u32 word = 0;
#pragma unroll 1
    for (int at = 0; at < kN / 2; ++at) {
      const i64 i = query + at / 4 * 8 + lane % 4 * 2 + at % 2, j = first + lane / 4 + at / 2 % 2 * 8;
      word |= static_cast<u32>(may(i, j)) << at;
    }
    return word;
  }

 private:
  // KX_ALLOWED is a user's function of b, h, i, j, translated; `captured` holds its arrays.
  __device__ __forceinline__ bool function(i64 i, i64 j) const {
#ifdef KX_ALLOWED
    const i64 b = batch_, h = head_;
    const i64* const captured = captured_;
    return KX_ALLOWED;
#else
    return true;
#endif
  }

  const Interval* intervals_;
  i64 interval_row_;
  const int* ranges_;
  i64 range_tile_;
  const u32* bits_;
  i64 bit_row_;
  const u8* classes_;
  i64 class_tile_;
  const i64* captured_;
  i64 batch_, head_, q_len_, k_len_;
};

// The first tile from `from` to `end` that passes a test, or `end`: the lanes of a warp, which must all ask,
// look at 32 tiles at once, so that a window far into a long row is found in a few steps.
template <class Test>
__device__ __forceinline__ int first_tile(int from, int end, Test test) {
  for (; from < end; from += 32) {
    const int at = from + lane_id();
    const u32 word = __ballot_sync(kAllLanes, static_cast<int>(at < end && test(at)));
    if (word) return from + __ffs(static_cast<int>(word)) - 1;
  }
  return end;
}

// A word of Sums of kN columns all of whose pairs count.
template <int kN>
constexpr u32 kAllPairs = kN == 64 ? kAllLanes : (1u << kN / 2) - 1;

// What is added to scores; steps are 0 where all share one.
template <class T>
struct Bias {
  const T* data;
  i64 batch, head, row, column;
};

// Adds a head's bias to a lane's scores of a band; -inf takes a pair out of the word.
template <class T, int kN, bool kOfKeys>
__device__ __forceinline__ void add_bias(SumOf<T> (&s)[kN / 8][4], u32& word, const T* bias, i64 row,
                                         i64 column, i64 first, i64 other) {
  const int lane = lane_id();
#pragma unroll
  for (int n = 0; n < kN / 8; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (!(word >> (4 * n + e) & 1)) continue;
      const i64 down = first + lane / 4 + e / 2 * 8, across = other + n * 8 + lane % 4 * 2 + e % 2;
      const SumOf<T> x = widen(bias[kOfKeys ? across * row + down * column : down * row + across * column]);
      s[n][e] += x;
      if (x == minus_infinity<T>()) word &= ~(1u << (4 * n + e));
    }
}

}  // namespace kx::attention
