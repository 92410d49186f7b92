// From rows to one: the largest, the sum or a weighted sum of rows that a mask leaves, the scores of
// attention pooling, and the product whose two halves of columns are added after a relu.
//
// Rows are read once, 4 registers of neighbouring channels at a time, and the sums of those stay in registers
// over all rows: the limit is memory. Rows that are hidden are not read, so that NaN in padding goes nowhere.
// The product is the tile of gated.cpp with another ending: both halves of a channel meet in it.
#include "conv/simd/tile.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

constexpr int kTogetherColumns = 4;

template <class T>
struct Largest {
  static KXFAST_INLINE Vector<T> start() { return all(-__builtin_inff() * T{1}); }
  static KXFAST_INLINE Vector<T> join(Vector<T> old, Vector<T> x, T) {
    return x > old || x != x ? x : old;  // NaN stays: nothing is larger
  }
};
template <class T>
struct Weighted {
  static KXFAST_INLINE Vector<T> start() { return Vector<T>{}; }
  static KXFAST_INLINE Vector<T> join(Vector<T> old, Vector<T> x, T weight) {
    return fma(all(weight), x, old);
  }
};
template <class T>
struct Sum : Weighted<T> {
  static KXFAST_INLINE Vector<T> join(Vector<T> old, Vector<T> x, T) { return old + x; }
};

template <template <class> class Way, class T>
void pool(const PoolBlock<T>& block) {
  constexpr int kLanes = Lanes<T>::kWidth;
  for (int64_t at = 0; at < block.width; at += kTogetherColumns * kLanes) {
    Vector<T> joined[kTogetherColumns];
    int64_t count[kTogetherColumns];
#pragma GCC unroll 4
    for (int j = 0; j < kTogetherColumns; ++j) {
      const int64_t left = block.width - at - j * kLanes;
      count[j] = left < kLanes ? (left > 0 ? left : 0) : kLanes;
      joined[j] = Way<T>::start();
    }
    for (int64_t t = 0; t < block.length; ++t) {
      if (block.mask && !block.mask[t]) continue;
      const T* row = block.x + t * block.stride + at;
      const T weight = block.weight ? block.weight[t] : T{1};
#pragma GCC unroll 4
      for (int j = 0; j < kTogetherColumns; ++j)
        if (count[j]) joined[j] = Way<T>::join(joined[j], load(row + j * kLanes, count[j]), weight);
    }
#pragma GCC unroll 4
    for (int j = 0; j < kTogetherColumns; ++j)
      if (count[j]) store(block.out + at + j * kLanes, joined[j], count[j]);
  }
}

template <class T>
void run(const PoolBlock<T>& block) {
  if (block.way == Pool::largest)
    pool<Largest>(block);
  else if (block.weight)
    pool<Weighted>(block);
  else
    pool<Sum>(block);
}

template <class T>
void score(const ScoreBlock<T>& block) {
  constexpr int kLanes = Lanes<T>::kWidth;
  for (int64_t row = 0; row < block.count; ++row) {
    Vector<T> sum{};
    for (int64_t at = 0; at < block.width; at += kLanes) {
      const int64_t left = block.width - at, count = left < kLanes ? left : kLanes;
      Vector<T> z = load(block.z + row * block.stride + at, count), opens, keeps;
      if (block.bias) z += load(block.bias + at, count);
      sigmoids<T>(block.swish ? z : z + z, opens, keeps);
      sum = fma(block.swish ? z * opens : opens - keeps, load(block.output + at, count), sum);
    }
    T lanes[kLanes], total = 0;
    store(lanes, sum);
    for (int i = 0; i < kLanes; ++i) total += lanes[i];
    block.scores[row] += total;
  }
}

template <class T, int VECTORS>
void pair_panel(const GatedBlock<T>& block) {
  constexpr int kLanes = Lanes<T>::kWidth;
  by_tiles(block.in.count, [&](int64_t row, auto rows) {
    constexpr int kRows = decltype(rows)::value;
    Tile<T, kRows, 2 * VECTORS> tile;
    tile.multiply(block.in, row, block.candidate, block.gate, block.step);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < VECTORS; ++j) {
        const int64_t at = j * kLanes, left = block.width - at;
        const int64_t count = left < kLanes ? (left > 0 ? left : 0) : kLanes;
        Vector<T> a = tile.sum[i][j], b = tile.sum[i][j + VECTORS];
        if (block.candidate_bias) {
          a += load(block.candidate_bias + at, count);
          b += load(block.gate_bias + at, count);
        }
        store(block.y + block.number[row + i] * block.channels + at, relu(a) + relu(b), count);
      }
  });
}

template <class T>
void run_pairs(const GatedBlock<T>& block) {
  if (block.width <= Lanes<T>::kWidth)
    pair_panel<T, 1>(block);
  else
    pair_panel<T, kVectors>(block);
}

}  // namespace

void pool_rows(const PoolBlock<float>& block) {
  run(block);
}
void pool_rows(const PoolBlock<double>& block) {
  run(block);
}
void score_rows(const ScoreBlock<float>& block) {
  score(block);
}
void score_rows(const ScoreBlock<double>& block) {
  score(block);
}
void relu_pair_sum(const GatedBlock<float>& block) {
  run_pairs(block);
}
void relu_pair_sum(const GatedBlock<double>& block) {
  run_pairs(block);
}

}  // namespace kxfast::conv::KXFAST_ISA
