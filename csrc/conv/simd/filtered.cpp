// Products of minimal filtering (conv/filtering.hpp): the values of pairs of positions at four points, each
// with the weight's values at that point, on the register tile of gated.cpp; what the first three tiles hold
// waits in the L1 cache (4.5 KB), and with the last one in registers two rows are finished from four tiles.
// With AVX2 a forward pass that keeps nothing takes eight tiles through one point before it goes on to the
// next, and is 3 to 5 % faster: weights of all points would fill the L1 cache. Lost: the same where more is
// written (1 to 2 % slower), gradients of the input (2 %), four tiles of AVX-512 (up to 6 %).
#include "conv/simd/gated.hpp"
#include "conv/simd/linear.hpp"
#include "core/simd/transpose.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

// end(i, sums of the first position of pair i, those of the second) for the registers of a tile; before the
// products at each point, begin(point).
template <int ROWS, int VECTORS, class T, class Begin, class End>
KXFAST_INLINE void both(const Products<T>& in, int64_t row, const T* low, const T* high, int64_t step,
                        const int (&order)[4], Begin&& begin, End&& end) {
  const int64_t point = in.channels * step;
  Tile<T, ROWS, VECTORS> tile, kept[3];
#pragma GCC unroll 1
  for (int n = 0; n < 4; ++n) {
    const Products<T> one{in.rows + n * in.stride, in.stride, in.count, 1, in.channels};
    begin(n);
    tile.multiply(one, row, low + order[n] * point, high + order[n] * point, step);
    if (n == 3) break;
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) kept[n].sum[i][j] = tile.sum[i][j];
  }
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; ++j) {
      const Vector<T> plus = kept[1].sum[i][j] + kept[2].sum[i][j];
      kept[2].sum[i][j] = kept[1].sum[i][j] - kept[2].sum[i][j] - tile.sum[i][j];
      kept[0].sum[i][j] += plus;
    }
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i) end(i, kept[0].sum[i], kept[2].sum[i]);
}

// The same for all pairs, with some tiles one after another at each point, so that its weights stay in the L1
// cache; begin(point, first pair, number of pairs).
template <int VECTORS, class T, class Begin, class End>
KXFAST_INLINE void in_turn(const Products<T>& in, const T* low, const T* high, int64_t step,
                           const int (&order)[4], Begin&& begin, End&& end) {
  constexpr int kMost = 48;
  const int64_t point = in.channels * step;
  Vector<T> sums[4][kMost][VECTORS];
  for (int64_t first = 0; first < in.count; first += kMost) {
    const int64_t count = in.count - first < kMost ? in.count - first : kMost;
#pragma GCC unroll 1
    for (int n = 0; n < 4; ++n) {
      const Products<T> one{in.rows + n * in.stride + first, in.stride, count, 1, in.channels};
      begin(n, first, count);
      by_tiles(count, [&](int64_t row, auto rows) {
        constexpr int kRows = decltype(rows)::value;
        Tile<T, kRows, VECTORS> tile;
        tile.multiply(one, row, low + order[n] * point, high + order[n] * point, step);
#pragma GCC unroll 6
        for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
          for (int j = 0; j < VECTORS; ++j) sums[n][row + i][j] = tile.sum[i][j];
      });
    }
    for (int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) {
        const Vector<T> plus = sums[1][i][j] + sums[2][i][j];
        sums[2][i][j] = sums[1][i][j] - sums[2][i][j] - sums[3][i][j];
        sums[0][i][j] += plus;
      }
      end(first + i, sums[0][i], sums[2][i]);
    }
  }
}

// A quarter of the rows that some pairs will write, on their way while one of their points is multiplied:
// else stores wait for all of them at once, as more requests than the processor keeps would.
template <class T, class Count>
KXFAST_INLINE void fetch(T* out, const int64_t* number, Count pairs, int64_t stride, int64_t width,
                         int quarter) {
  if (!out) return;
  for (int64_t i = quarter; i < 2 * pairs; i += 4)
    if (number[i] >= 0)
      for (int64_t at = 0; at < width; at += 64 / static_cast<int64_t>(sizeof(T)))
        __builtin_prefetch(out + number[i] * stride + at, 1);
}

constexpr int kForward[4] = {0, 1, 2, 3}, kBack[4] = {3, 1, 2, 0};

template <class T, int VECTORS>
void gated_panel(const GatedBlock<T>& block) {
  constexpr int kLanes = Lanes<T>::kWidth;
  const auto end = [&](int64_t i, const Vector<T>* first, const Vector<T>* second) {
    for (int h = 0; h < 2; ++h) {
      const int64_t at_row = 2 * i + h;
      if (block.number[at_row] < 0) continue;
      const Vector<T>* sums = h ? second : first;
#pragma GCC unroll 2
      for (int j = 0; j < VECTORS; ++j) {
        const int64_t at = j * kLanes, left = block.width - at;
        const int64_t count = left < kLanes ? left : kLanes;
        Forward::finish(block, open(block, sums[j], sums[j + VECTORS], at_row, at, count), at_row, at, count,
                        0);
      }
    }
  };
  const auto begin = [&](int n, int64_t first, auto count) {
    const int64_t* number = block.number + 2 * first;
    fetch(block.y, number, count, block.channels, block.width, n);
    fetch(block.kept, number, count, 2 * block.channels, block.width, n);
    if (block.kept) fetch(block.kept + block.channels, number, count, 2 * block.channels, block.width, n);
  };
  if constexpr (kBytes <= 32)
    if (!block.kept)
      return in_turn<2 * VECTORS>(block.in, block.candidate, block.gate, block.step, kForward, begin, end);
  by_tiles(block.in.count, [&](int64_t row, auto rows) {
    both<decltype(rows)::value, 2 * VECTORS>(
        block.in, row, block.candidate, block.gate, block.step, kForward, [&](int n) { begin(n, row, rows); },
        [&](int i, const Vector<T>* first, const Vector<T>* second) { end(row + i, first, second); });
  });
}

template <class T, int VECTORS>
void linear_filtered_panel(const LinearBlock<T>& block) {
  constexpr int kLanes = Lanes<T>::kWidth, kHalf = (VECTORS + 1) / 2;
  by_tiles(block.in.count, [&](int64_t row, auto rows) {
    constexpr int kRows = decltype(rows)::value;
    const auto end = [&](int i, const Vector<T>* first, const Vector<T>* second) {
      for (int h = 0; h < 2; ++h) {
        const int64_t at_row = 2 * (row + i) + h;
        if (block.number[at_row] < 0) continue;
        const Vector<T>* sums = h ? second : first;
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; ++j) {
          const int64_t at = j * kLanes, left = block.width - at;
          finish(block, sums[j], at_row, at, left < kLanes ? (left > 0 ? left : 0) : kLanes);
        }
      }
    };
    const auto begin = [&](int n) {
      fetch(block.out, block.number + 2 * row, rows, block.out_stride, block.width, n);
    };
    both<kRows, VECTORS>(block.in, row, block.weight, block.weight + kHalf * kLanes, VECTORS * kLanes, kBack,
                         begin, end);
  });
}

template <class T>
void points(const T* const* d, int64_t count, T* const* to) {
  constexpr int kLanes = Lanes<T>::kWidth;
  for (int64_t at = 0; at < count; at += kLanes) {
    const int64_t here = count - at < kLanes ? count - at : kLanes;
    const Vector<T> a = load(d[0] + at, here), b = load(d[1] + at, here), c = load(d[2] + at, here);
    store(to[0] + at, a - c, here);
    store(to[1] + at, b + c, here);
    store(to[2] + at, c - b, here);
    store(to[3] + at, b - load(d[3] + at, here), here);
  }
}

}  // namespace

void filtered_forward(const GatedBlock<float>& block) {
  if (block.width <= Lanes<float>::kWidth)
    gated_panel<float, 1>(block);
  else
    gated_panel<float, kVectors>(block);
}
void filtered_linear(const LinearBlock<float>& block) {
  if (block.width <= kVectors * Lanes<float>::kWidth)
    linear_filtered_panel<float, kVectors>(block);
  else
    linear_filtered_panel<float, 2 * kVectors>(block);
}
void mix_rows(const float* a, const float* b, float sign, const float* c, const float* d, int64_t count,
              float* const* to) {
  constexpr int kLanes = Lanes<float>::kWidth;
  for (int64_t at = 0; at < count; at += kLanes) {
    const int64_t here = count - at < kLanes ? count - at : kLanes;
    store(to[0] + at, fma(load(b + at, here), all(sign), load(a + at, here)), here);
    store(to[1] + at, load(c + at, here) - load(d + at, here), here);
  }
}
void filter_rows(const float* const* d, int64_t count, float* const* to) {
  points(d, count, to);
}
void filter_weight(const FilterBlock& block) {
  constexpr int64_t kLanes = Lanes<float>::kWidth;
  const auto some = [](int64_t left) { return left < kLanes ? (left > 0 ? left : 0) : kLanes; };
  for (int64_t i = 0; i < block.rows; ++i) {
    const float *a = block.weight + i * block.row, *b = a + block.tap, *c = b + block.tap;
    float* to = block.to + i * block.to_row;
    for (int64_t at = 0; at < block.padded; at += kLanes) {
      const int64_t count = some(block.width - at), stored = some(block.padded - at);
      const Vector<float> first = load(a + at, count), last = load(c + at, count), sum = first + last;
      const Vector<float> middle = load(b + at, count);
      store(to + at, first, stored);
      store(to + block.to_point + at, (sum + middle) * 0.5f, stored);
      store(to + 2 * block.to_point + at, (sum - middle) * 0.5f, stored);
      store(to + 3 * block.to_point + at, last, stored);
    }
  }
}
// A square is read by halves of its columns: the first step of turning it costs loads in place of exchanges.
void filter_turned(const FilterBlock& block) {
  constexpr int kLanes = Lanes<float>::kWidth, kHalf = kLanes / 2;
  const int64_t tap = block.tap, row = block.row;
  for (int half = 0; half < 2; ++half) {
    const float* from = block.weight + half * kHalf;
    const auto both = [&](const float* w) { return matrix::KXFAST_ISA::halves(w, w + kHalf * row); };
    const auto put = [&](int point, Vector<float>* turned) {
      matrix::KXFAST_ISA::exchange<float, kHalf / 2, kHalf>(turned);
      float* to = block.to + point * block.to_point + half * kHalf * block.to_row;
#pragma GCC unroll 8
      for (int i = 0; i < kHalf; ++i) store(to + i * block.to_row, turned[i]);
    };
    Vector<float> first[kHalf], last[kHalf], plus[kHalf], minus[kHalf];
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      const float* w = from + i * row;
      first[i] = both(w), last[i] = both(w + 2 * tap);
      const Vector<float> sum = first[i] + last[i], middle = both(w + tap);
      plus[i] = (sum + middle) * 0.5f, minus[i] = (sum - middle) * 0.5f;
    }
    put(0, first), put(1, plus), put(2, minus), put(3, last);
  }
}
// Candidates and gates in turn: a run of rows of one of them looks to the processor like the beginning of
// more columns, which it fetches from the threads that write them (two threads: twice the time of this).
void weight_taps(const TapsBlock& block) {
  constexpr int64_t kLanes = Lanes<float>::kWidth;
  for (int64_t i = 0; i < block.rows; ++i)
    for (int h = 0; h < 2; ++h)
      for (int64_t at = 0; at < block.width; at += kLanes) {
        const int64_t count = block.width - at < kLanes ? block.width - at : kLanes;
        const int64_t place = i * block.row + h * block.half + at;
        const auto sums = [&](int n) { return load(block.from[n] + place, count); };
        const Vector<float> plus = sums(1), minus = sums(2), half = (plus + minus) * 0.5f;
        float* to = block.to[h] + i * block.to_row + at;
        store(to, sums(0) + half, count);
        store(to + block.to_tap, (plus - minus) * 0.5f, count);
        store(to + 2 * block.to_tap, half - sums(3), count);
      }
}

}  // namespace kxfast::conv::KXFAST_ISA
