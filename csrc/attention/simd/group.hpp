// A group of queries against a tile of keys: which pairs are allowed, and their scores.
#pragma once

#include "attention/simd/tile.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

// The keys of a tile that a query may attend to, as bits.
inline uint64_t below(int64_t n) {
  return n <= 0 ? 0 : n >= kTile ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
}
inline uint64_t inside(Interval keys, int64_t begin) {
  return below(keys.stop - begin) & ~below(keys.start - begin);
}
inline uint64_t allowed(const HeadMask& mask, int64_t row, int64_t tile, int64_t k_len) {
  if (mask.intervals) {
    const Interval* pair = mask.intervals + row * mask.row;
    return inside(pair[0], tile * kTile) | inside(pair[1], tile * kTile);
  }
  return mask.bits ? mask.bits[row * mask.row + tile] : below(k_len - tile * kTile);
}

// The queries of a group against a tile: a row beyond the last one repeats it, and is not written.
struct GroupBits {
  uint64_t row[kGroup], any, every;
};
inline GroupBits group_bits(const HeadMask& mask, int64_t row, int64_t rows, int64_t tile, int64_t k_len) {
  GroupBits bits;
  if (mask.groups) {
    const Interval *each = mask.groups + row / kGroup * mask.group, *every = each + 1;
    const int64_t begin = tile * kTile, end = begin + kTile;
    bits.any = bits.every = 0;
    if (each->stop <= begin || each->start >= end) return bits;
    if (every->start <= begin && end <= every->stop) {
      bits.any = bits.every = ~uint64_t{0};
      return bits;  // the words of rows are not looked at
    }
  }
  if (!mask.bits && !mask.intervals) {
    bits.any = bits.every = below(k_len - tile * kTile);
    for (uint64_t& each : bits.row) each = bits.any;
    return bits;
  }
  bits.any = 0, bits.every = ~uint64_t{0};
  for (int64_t i = 0; i < kGroup; ++i) {
    bits.row[i] = allowed(mask, row + i < rows ? row + i : rows - 1, tile, k_len);
    bits.any |= bits.row[i], bits.every &= bits.row[i];
  }
  return bits;
}

// A block of queries, from `first` on, against a tile: its groups, those from `begin` to `end` that attend to
// something, and the keys that any of them attends to.
struct BlockBits {
  GroupBits group[kBlock / kGroup];
  int64_t begin, end;
  uint64_t any;
};
template <class T>
inline BlockBits block_bits(const Queries<T>& x, int64_t first, int64_t tile) {
  const int64_t last = first + kBlock < x.rows ? first + kBlock : x.rows;
  BlockBits block;
  block.begin = last, block.end = first, block.any = 0;
  for (int64_t row = first; row < last; row += kGroup) {
    const GroupBits& bits = block.group[(row - first) / kGroup] =
        group_bits(x.mask, row, x.rows, tile, x.k_len);
    if (!bits.any) continue;
    if (row < block.begin) block.begin = row;
    block.end = row + kGroup < last ? row + kGroup : last;
    block.any |= bits.any;
  }
  return block;
}

// The run of tiles that hold every key that any of the rows may attend to.
struct Tiles {
  int64_t first, last;
};
inline Tiles tiles_of(const HeadMask& mask, int64_t rows, int64_t k_len) {
  if (!mask.groups) return {0, (k_len + kTile - 1) / kTile};
  int64_t start = k_len, stop = 0;
  for (int64_t g = 0; g < groups_of(rows); ++g) {
    const Interval any = mask.groups[g * mask.group];
    if (any.start < start) start = any.start;
    if (any.stop > stop) stop = any.stop;
  }
  return {start / kTile, (stop + kTile - 1) / kTile};
}

// What makes a product of a query and a key a score in units of log2.
template <class T>
inline Wide<T> log2_scale(const Queries<T>& x) {
  return x.scale * kLog2E<Wide<T>>;
}

// s = (s + bias) scale log2(e), and -inf where the bits forbid; SCALED: s is scaled already, as q was.
template <bool SCALED, class Q, class T = Wide<Q>>
inline void finish_scores(const Queries<Q>& x, const GroupBits& bits, int64_t row, int64_t tile, int from,
                          int to, T* s) {
  constexpr int kWidth = Lanes<T>::kWidth;
  if (SCALED && !x.bias.data && bits.every == ~uint64_t{0}) return;
  const T scale = log2_scale(x);
  for (int64_t i = 0; i < kGroup; ++i, s += kTile) {
    if (x.bias.data) {
      const T* bias = x.bias.data + (row + i < x.rows ? row + i : x.rows - 1) * x.bias.row;
      const int64_t begin = tile * kTile, end = to * kWidth;
      for (int64_t k = from * kWidth; k < end && begin + k < x.k_len; ++k)
        s[k] += bias[(begin + k) * x.bias.key] * (SCALED ? scale : T{1});
    }
    for (int c = from; c < to; ++c) {
      auto v = load(s + c * kWidth);
      if constexpr (!SCALED) v = v * scale;
      if (bits.every != ~uint64_t{0}) v = where(bits.row[i] >> (c * kWidth), v, -kInfinity<T>);
      store(s + c * kWidth, v);
    }
  }
}

template <class T>
inline void row_pointers(const T* x, int64_t x_row, int64_t row, int64_t rows, const T** pointers) {
  for (int64_t i = 0; i < kGroup; ++i) pointers[i] = x + (row + i < rows ? row + i : rows - 1) * x_row;
}

// Sends what is upcoming on its way to the second level cache, a share at each of some visits.
template <class T>
class Sender {
 public:
  Sender(const Upcoming<T>* upcoming, int64_t visits) {
    if (!upcoming) return;
    rest_ = *upcoming;
    for (int i = 0; i < rest_.count; ++i) each_[i] = (rest_.each[i].rows + visits - 1) / visits;
  }
  void visit() {
    constexpr int64_t kLine = 64 / sizeof(T);
    for (int i = 0; i < rest_.count; ++i) {
      auto& x = rest_.each[i];
      const int64_t rows = each_[i] < x.rows ? each_[i] : x.rows;
      for (int64_t r = 0; r < rows; ++r, x.data += x.stride)
        for (int64_t k = 0; k < x.columns; k += kLine) __builtin_prefetch(x.data + k, 0, 2);
      x.rows -= rows;
    }
  }

 private:
  Upcoming<T> rest_;
  int64_t each_[8];
};

}  // namespace
}  // namespace kxfast::attention::KXFAST_ISA
