// Masked attention of a block of queries of one head: out = softmax((q k' + bias) scale) v, and lse.
//
// For each tile of 64 keys: for each group of 6 queries its scores (6 x 64) and weights 2^(s - m), then for
// each group weighted values added to its sums. The innermost loops are the two micro-kernels of tile.hpp,
// which are the limit: three quarters of the time of 512 keys of 64 numbers, at nine tenths of the rate of a
// loop of multiply-adds alone; weights are a tenth. Keys are packed, times the scale, so that a step of the
// sum over D reads 64 keys as vectors; queries and, mostly, values are read where they lie. First the keys of
// a tile stay in the first level cache while a part of 48 queries passes, then its values, while what comes
// next is fetched: the next tile, or the next head and rows of results, some rows at a time (7 % at 512).
// Rows of results while the last tile is added: 2 %. Tried and lost: weights made of scores that are still in
// registers (no gain), queries of a group side by side (4 % slower), two tiles at a time (2 % slower at 512),
// parts of 24 queries (1 %), a product unrolled by 2, 4 or 8 steps (no gain).
//
// A group skips a tile in which it may attend to nothing, takes only the vectors of keys between its first
// and last allowed one, and looks at mask bits only in tiles where they differ. m is raised, and sums
// rescaled, only when weights of a row in a tile sum up to more than 2^8 in some lane: nearly never after the
// first tile, so rows need no maximum, and the six rows of a group no branch each. Sums of weights stay
// spread over lanes until the end. A key whose value is NaN or infinite spoils the sums of queries that may
// not attend to it (0 NaN = NaN): a block whose sums are not finite is done again by the slow loop that
// leaves out weights of 0; what is finite keeps its bits.
#include "attention/simd/group.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

// What a block keeps: scores of a group, weights of a part, sums of values, and for each row a vector of sums
// of weights and one whose first lane is the maximum. Rows fill groups.
template <class T>
struct Work {
  int64_t rows;
  T *scores, *p, *values, *weights, *top, *end;

  explicit Work(const Forward<T>& x) : rows(groups_of(x.rows) * kGroup), scores(x.work) {
    constexpr int kWidth = Lanes<T>::kWidth;
    p = scores + kGroup * kTile, values = p + kPartRows * kTile, weights = values + rows * x.value_row;
    top = weights + rows * kWidth, end = top + rows * kWidth;
  }
};

// Sums of one group.
template <class T>
struct Sums {
  T *values, *weights, *top;
};

template <class T>
inline T exp2_of(T x) {
  return exp2(all(x))[0];
}

inline float log2_of(float x) {
  return __builtin_log2f(x);
}
inline double log2_of(double x) {
  return __builtin_log2(x);
}

// m becomes the highest score of a row; what was summed is rescaled.
template <class T>
[[gnu::noinline]] void raise(const T* s, int from, int to, const Sums<T>& row, int64_t columns) {
  constexpr int kWidth = Lanes<T>::kWidth;
  auto highest = all(*row.top);
  for (int c = from; c < to; ++c) highest = larger(load(s + c * kWidth), highest);
  const T now = largest_of<T>(highest), factor = *row.top == -kInfinity<T> ? T{0} : exp2_of(*row.top - now);
  *row.top = now;
  store(row.weights, load(row.weights) * factor);
  for (int64_t j = 0; j < columns; j += kWidth) store(row.values + j, load(row.values + j) * factor);
}

// Weights of COUNT vectors of a row of scores, and their sum.
template <int COUNT, class T>
inline typename Lanes<T>::Vector weigh_row(const T* s, typename Lanes<T>::Vector m, T* p) {
  constexpr int kWidth = Lanes<T>::kWidth;
  typename Lanes<T>::Vector total = {};
#pragma GCC unroll 4
  for (int c = 0; c < COUNT; ++c) {
    const auto weight = exp2(load(s + c * kWidth) - m);
    store(p + c * kWidth, weight);
    total += weight;
  }
  return total;
}
template <class T>
inline typename Lanes<T>::Vector weigh_row(const T* s, int from, int to, typename Lanes<T>::Vector m, T* p) {
  constexpr int kWidth = Lanes<T>::kWidth;
  typename Lanes<T>::Vector total = {};
  for (int c = from; c < to; ++c) total += weigh_row<1>(s + c * kWidth, m, p + c * kWidth);
  return total;
}

// A row whose weights may be too large, or whose m is -inf.
template <class T>
[[gnu::noinline]] void weigh_again(const T* s, int from, int to, T* p, const Sums<T>& sums, int64_t columns,
                                   typename Lanes<T>::Vector* total) {
  raise(s, from, to, sums, columns);
  *total = weigh_row(s, from, to, all(*sums.top == -kInfinity<T> ? T{0} : *sums.top), p);
}

// Scores of a group become weights; sums of weights grow.
template <class T>
inline void weigh(const T* s, int from, int to, T* p, const Sums<T>& sums, int64_t columns) {
  constexpr int kWidth = Lanes<T>::kWidth, kAll = static_cast<int>(kTile) / kWidth;
  typename Lanes<T>::Vector total[kGroup];
  const auto most = all(T{256});
  const auto row = [&](int64_t i) {
    return Sums<T>{sums.values + i * columns, sums.weights + i * kWidth, sums.top + i * kWidth};
  };
  for (int i = 0; i < kGroup; ++i)
    if (sums.top[i * kWidth] == -kInfinity<T>) raise(s + i * kTile, from, to, row(i), columns);
  unsigned strange = 0;
  for (int i = 0; i < kGroup; ++i) {
    const auto m = all(sums.top[i * kWidth]);
    total[i] = from == 0 && to == kAll ? weigh_row<kAll>(s + i * kTile, m, p + i * kTile)
                                       : weigh_row(s + i * kTile, from, to, m, p + i * kTile);
    strange |= static_cast<unsigned>(!within(total[i], most)) << i;
  }
  for (; strange; strange &= strange - 1) {
    const int64_t i = __builtin_ctz(strange);
    weigh_again(s + i * kTile, from, to, p + i * kTile, row(i), columns, total + i);
  }
  for (int64_t i = 0; i < kGroup; ++i)
    store(sums.weights + i * kWidth, load(sums.weights + i * kWidth) + total[i]);
}

template <class T>
inline void fetch_row(const T* row, int64_t columns) {
  for (int64_t k = 0; k < columns; k += static_cast<int64_t>(64 / sizeof(T))) __builtin_prefetch(row + k);
}

template <class T>
void begin(const Work<T>& w) {
  for (T* each = w.values; each < w.top; ++each) *each = 0;
  for (T* each = w.top; each < w.end; ++each) *each = -kInfinity<T>;
}

// A query; beyond the last, that one.
template <class T>
inline const T* question(const Forward<T>& x, int64_t row) {
  if (row >= x.rows) row = x.rows - 1;
  return x.q + (x.places ? x.places[row] : row) * x.q_row;
}

// Of a tile that comes next, the share of one group of the rows on its way to the second level cache.
template <class T>
inline void fetch(const T* tile, int64_t count, int64_t row, int64_t rows) {
  constexpr int64_t kLine = 64 / sizeof(T);
  const int64_t each = (count * kGroup / rows + kLine) / kLine * kLine, begin = row / kGroup * each;
  for (int64_t i = begin; i < begin + each && i < count; i += kLine) __builtin_prefetch(tile + i, 0, 2);
}

// One group's weights of a tile, in p; returns the keys that some query of it may attend to.
struct Keys {
  int first, last;
};
template <class T>
inline Keys weigh_group(const Forward<T>& x, const Work<T>& w, int64_t row, int64_t tile, int64_t first_tile,
                        T* p) {
  constexpr int kWidth = Lanes<T>::kWidth;
  const GroupBits bits = group_bits(x.mask, row, x.rows, tile, x.k_len);
  if (!bits.any) return {0, 0};
  const Keys keys{__builtin_ctzll(bits.any), 64 - __builtin_clzll(bits.any)};
  const int from = keys.first / kWidth, to = (keys.last + kWidth - 1) / kWidth;
  const T* q[kGroup];
  for (int64_t i = 0; i < kGroup; ++i) q[i] = question(x, row + i);
  if (tile == first_tile)
    for (int64_t i = 0; i < kGroup; ++i) fetch_row(question(x, row + kGroup + i), x.d);
  scores(q, x.keys + tile * kTile * x.d, x.d, from, to, w.scores);
  finish_scores<true>(x, bits, row, tile, from, to, w.scores);
  weigh(w.scores, from, to, p, {w.values + row * x.value_row, w.weights + row * kWidth, w.top + row * kWidth},
        x.value_row);
  return keys;
}

template <class T>
void run(const Forward<T>& x, const Work<T>& w, bool selected) {
  begin(w);
  const Tiles tiles = tiles_of(x.mask, x.rows, x.k_len);
  Sender<T> sender(x.upcoming, groups_of(x.rows) * (tiles.last > tiles.first ? tiles.last - tiles.first : 1));
  for (int64_t tile = tiles.first; tile < tiles.last; ++tile) {
    const int64_t next = tile + 1 < tiles.last ? (tile + 1) * kTile : tile * kTile;
    const int64_t next_rows = next + kTile <= x.k_len ? kTile : x.k_len - next;
    for (int64_t part = 0; part < x.rows; part += kPartRows) {
      const int64_t end = part + kPartRows < x.rows ? part + kPartRows : x.rows;
      Keys keys[kPartRows / kGroup];
      for (int64_t row = part; row < end; row += kGroup) {
        if (x.upcoming)
          sender.visit();
        else
          fetch(x.keys + next * x.d, kTile * x.d, row, x.rows);
        keys[(row - part) / kGroup] = weigh_group(x, w, row, tile, tiles.first, w.p + (row - part) * kTile);
      }
      for (int64_t row = part; row < end; row += kGroup) {
        if (!x.upcoming) fetch(x.values + next * x.value_row, next_rows * x.value_row, row, x.rows);
        const auto [first, last] = keys[(row - part) / kGroup];
        const T *p = w.p + (row - part) * kTile + first, *v = x.values + (tile * kTile + first) * x.value_row;
        T* sums = w.values + row * x.value_row;
        if (!x.upcoming && tile + 1 == tiles.last)  // results are next
          for (int64_t i = row; i < row + kGroup && i < end; ++i)
            fetch_row(x.out + (x.places ? x.places[i] : i) * x.out_row, x.dv);
        if (selected)
          add_selected<kGroup, kTile, 1>(p, v, x.value_row, last - first, sums, x.value_row, x.value_row, p);
        else
          add_rows<kGroup, kTile, 1>(p, v, x.value_row, last - first, sums, x.value_row, x.value_row);
      }
    }
  }
}

// Writes the results; false if one is not finite.
template <class T>
bool finish(const Forward<T>& x, const Work<T>& w) {
  constexpr int kWidth = Lanes<T>::kWidth;
  typename Lanes<T>::Vector strange = {};
  for (int64_t i = 0; i < x.rows; ++i) {
    const T total = sum_of<T>(load(w.weights + i * kWidth)), factor = total == 0 ? T{0} : 1 / total;
    const T* from = w.values + i * x.value_row;
    const int64_t place = x.places ? x.places[i] : i;
    T* to = x.out + place * x.out_row;
    int64_t j = 0;
    for (; j + kWidth <= x.dv; j += kWidth) {
      const auto value = load(from + j) * factor;
      store(to + j, value);
      strange += value * 0;
    }
    for (; j < x.dv; ++j) {
      to[j] = from[j] * factor;
      strange[0] += to[j] * 0;
    }
    const T log2_total = log2_of(total);
    x.lse[place] =
        total == 0 ? -kInfinity<T> : (w.top[i * kWidth] + log2_total) * static_cast<T>(0.6931471805599453);
  }
  return sum_of<T>(strange) == 0;
}

template <class T>
void attend_block(const Forward<T>& x) {
  const Work<T> work(x);
  run(x, work, false);
  if (finish(x, work)) return;
  run(x, work, true);
  finish(x, work);
}

}  // namespace

void attend(const Forward<float>& block) {
  attend_block(block);
}
void attend(const Forward<double>& block) {
  attend_block(block);
}

}  // namespace kxfast::attention::KXFAST_ISA
