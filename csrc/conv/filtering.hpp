// Convolutions of three taps in float by minimal filtering (Winograd's F(2, 3); Lavin and Gray, CVPR 2016).
//
// Positions t and t + step see four rows d0 .. d3, a step apart, for which a sum over taps multiplies six
// times. With the values d0 - d2, d1 + d2, d2 - d1, d1 - d3 of the rows at four points, and g0, (g0 + g1 +
// g2) / 2, (g0 - g1 + g2) / 2, g2 of the weight, four products m0 .. m3 do: the results are m0 + m1 + m2 and
// m1 - m2 - m3.
//
// The gain is a third of the multiply-adds, which are the limit: 1.28 times the speed at 128 channels, 1.38
// at 512. Of forward with backward at 128 channels, making the values of rows is 8 %, and of weights, for
// 2048 rows, 2 %; few rows make both in the cache of the thread that multiplies them (filtering_few.hpp).
// Nothing but halves and sums is multiplied, and sums are shorter, so that the error is less than that of the
// sum over taps; d0 meets only the first result, d3 only the second: what is far away, NaN too, goes nowhere.
// Pairs are counted from the start of a sequence, so that no result depends on how long its padding is. A
// block of pairs keeps the values of its rows in the L2 cache over all panels of weights. Doubles keep the
// sum over taps, which is what the others are judged by; so do layers with a norm, and gates that a backward
// computes again.
#pragma once

#include <atomic>
#include <vector>

#include "conv/common.hpp"

namespace kxfast::conv {

constexpr int64_t kPoints = 4, kMostPairs = 48, kAllPoints = kPoints * kMostPairs;

// Pairs of positions a step apart of which at least one counts.
class Pairs {
 public:
  Pairs(const bool* counted, int64_t batch, int64_t each, int64_t step)
      : length(each),
        apart(step),
        number_(static_cast<size_t>(2 * batch * each)),
        first_(static_cast<size_t>(batch * each)) {
    const auto counts = [&](int64_t t, int64_t row) { return t < each && (!counted || counted[row]); };
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t begin = 0; begin < each; begin += 2 * step)
        for (int64_t t = begin; t < std::min(begin + step, each); ++t) {
          const int64_t row = b * each + t;
          const bool one = counts(t, row), other = counts(t + step, row + step);
          if (!one && !other) continue;
          number_[static_cast<size_t>(2 * count)] = one ? row : -1;
          number_[static_cast<size_t>(2 * count + 1)] = other ? row + step : -1;
          first_[static_cast<size_t>(count++)] = {row, t};
        }
  }
  // Of both rows of pair i, -1 where a row does not count.
  const int64_t* number(int64_t i) const { return number_.data() + 2 * i; }
  // The four rows that pair i sees.
  void point(int64_t i, const Source<float>& source, const float** d) const {
    const auto [row, position] = first_[static_cast<size_t>(i)];
    for (int64_t j = 0; j < kPoints; ++j) {
      const int64_t shift = j * apart - source.left, here = row + shift;
      const bool inside = static_cast<uint64_t>(position + shift) < static_cast<uint64_t>(length);
      d[j] = inside && (!source.mask || source.mask[here]) ? source.at(here, length) : source.zero;
    }
  }

  const int64_t length, apart;
  int64_t count = 0;

 private:
  struct Place {
    int64_t row, position;
  };
  Buffer<int64_t> number_;
  Buffer<Place> first_;
};

// Whether filtering may pay.
inline bool filterable(const Layer<float>& layer) {
  constexpr int64_t kLeast = 32;
  return layer.taps == 3 && layer.in >= kLeast && layer.out >= kLeast && !layer.gamma;
}
// Whether it does, for the rows that count: if there are some, and most of them in pairs; sequences that are
// hardly longer than a step have few.
inline bool filtering_suits(const Layer<float>& layer, const bool* counted, int64_t batch, int64_t length) {
  constexpr int64_t kRows = 64;
  const int64_t step = layer.dilation, sequences = counted ? batch : std::min<int64_t>(1, batch);
  if (!filterable(layer) || sequences == 0) return false;
  const auto counts = [&](int64_t b, int64_t t) {
    return t < length && (!counted || counted[b * length + t]);
  };
  int64_t rows = 0, pairs = 0;
  for (int64_t b = 0; b < sequences; ++b)
    for (int64_t begin = 0; begin < length; begin += 2 * step)
      for (int64_t t = begin; t < std::min(begin + step, length); ++t) {
        const bool one = counts(b, t), other = counts(b, t + step);
        rows += one + other;
        pairs += one || other;
      }
  return rows * (batch / sequences) >= kRows && 3 * pairs <= 2 * rows;
}
// Whether rows are so few that tasks make the values of weights they need (filtering_few.hpp).
inline bool few_rows(int64_t rows) {
  return rows < 1024;
}

using FilterRows = void (*)(const float* const*, int64_t, float* const*);
using MixRows = void (*)(const float*, const float*, float, const float*, const float*, int64_t,
                         float* const*);
inline FilterRows filter_kernel() {
  return KXFAST_PICK(FilterRows, filter_rows);
}

// Floats from row to row where rows are an odd number of cache lines apart.
inline int64_t odd_lines(int64_t columns) {
  return ((columns * 4 + 63) / 64 | 1) * 16;
}

// As many places for tasks' memory as there are threads; a task takes one that is free, the one its thread
// had last if it can, as that one's memory is in its cache.
class Places {
 public:
  explicit Places(int threads) : taken_(static_cast<size_t>(threads)) {}

  struct Taken {
    Taken(size_t i, std::atomic<bool>& mark) : number(i), taken(mark) {}
    Taken(const Taken&) = delete;
    ~Taken() { taken.store(false, std::memory_order_release); }
    const size_t number;
    std::atomic<bool>& taken;
  };
  Taken take() {
    static thread_local size_t last = 0;
    size_t i = last % taken_.size();
    while (taken_[i].exchange(true, std::memory_order_acquire)) i = (i + 1) % taken_.size();
    last = i;
    return {i, taken_[i]};
  }

 private:
  std::vector<std::atomic<bool>> taken_;
};

// body(values at the points, first pair) for blocks of pairs.
template <class Body>
void over_pairs(const Pairs& pairs, const Source<float>& source, int64_t channels, Body&& body) {
  constexpr int64_t kTile = 6;
  const int64_t stride = odd_lines(channels);
  const int threads = num_threads();
  // As many blocks for each thread, and as many tiles for each block, give or take one.
  const int64_t most = (channels > 256 ? kMostPairs / 2 : kMostPairs) / kTile;
  const int64_t tiles = (pairs.count + kTile - 1) / kTile;
  const int64_t wanted = std::max(4 * int64_t{threads}, (tiles + most - 1) / most);
  const int64_t even = (wanted + threads - 1) / threads * threads;
  const int64_t blocks = std::min(even, (tiles + 1) / 2);
  const int64_t size = (tiles + blocks - 1) / std::max<int64_t>(1, blocks) * kTile;
  const FilterRows filter = filter_kernel();
  Buffer<float> values(static_cast<size_t>(threads * kPoints * size * stride));
  Places places(threads);
  const auto task = [&](int64_t i) {
    const Places::Taken place = places.take();
    const int64_t begin = i * tiles / blocks * kTile;
    const int64_t count = std::min((i + 1) * tiles / blocks * kTile, pairs.count) - begin;
    float* mine = values.data() + static_cast<int64_t>(place.number) * kPoints * size * stride;
    const float* rows[kAllPoints];
    for (int64_t n = 0; n < count; ++n) {
      const float* d[kPoints];
      float* to[kPoints];
      pairs.point(begin + n, source, d);
      for (int64_t j = 0; j < kPoints; ++j) rows[j * size + n] = to[j] = mine + (j * size + n) * stride;
      filter(d, channels, to);
    }
    body(Products<float>{rows, size, count, kPoints, channels}, begin);
  };
  parallel_for(blocks, task);
}

// Zeroes rows that do not count.
inline void clear(const bool* counted, int64_t rows, int64_t width, float* out) {
  constexpr int64_t kRows = 256;
  const auto task = [&](int64_t i) {
    for (int64_t row = i * kRows; row < std::min(rows, (i + 1) * kRows); ++row)
      if (!counted[row]) std::fill(out + row * width, out + (row + 1) * width, 0.0f);
  };
  parallel_for((rows + kRows - 1) / kRows, task);
}

// Where the skipped values of both rows of each pair are.
inline Buffer<const float*> skipped_pairs(const Pairs& pairs, const Source<float>& source) {
  Buffer<const float*> table(static_cast<size_t>(2 * pairs.count));
  for (int64_t i = 0; i < 2 * pairs.count; ++i) {
    const int64_t row = pairs.number(0)[i];
    const bool seen = row >= 0 && (!source.mask || source.mask[row]);
    table[static_cast<size_t>(i)] = seen ? source.at(row, pairs.length) : source.zero;
  }
  return table;
}

}  // namespace kxfast::conv
