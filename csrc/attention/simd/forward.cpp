// Masked attention of a block of queries of one head: out = softmax((q k' + bias) scale) v, and lse.
//
// For each tile of 64 keys, for each group of 6 queries: scores of the group (6 x 64, kept in the first level
// cache), weights 2^(s - m), weighted values added to the group's sums. The innermost loops are the two
// micro-kernels of tile.hpp, which are the limit; keys are packed so that a step of the sum over D reads 64
// keys as vectors, values are read where they lie. Keys and values of a tile stay in the first level cache
// while all groups of the block pass.
//
// A group skips a tile in which it may attend to nothing, takes only the vectors of keys between its first
// and last allowed one, and looks at mask bits only in tiles where they differ. m is raised, and sums
// rescaled, only when a score exceeds it by 2^8: nearly never after the first tile, so rows need no maximum
// across lanes. Sums of weights stay spread over lanes until the end. A key whose value is NaN or infinite
// spoils the sums of queries that may not attend to it (0 NaN = NaN): a block whose sums are not finite is
// done again by the slow loop that leaves out weights of 0; what is finite keeps its bits.
#include "attention/simd/group.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

template <class T>
struct Sums {
  T *values, *weights,
      *top;  // of a group: 6 rows each; a vector, and a vector of which the first lane counts
};

template <class T>
inline T exp2_of(T x) {
  return exp2(all(x))[0];
}

template <class T>
void raise(T* top, T* weights, T* values, int64_t columns, typename Lanes<T>::Vector highest) {
  constexpr int kWidth = Lanes<T>::kWidth;
  const T now = largest_of<T>(highest), factor = *top == -kInfinity<T> ? T{0} : exp2_of(*top - now);
  *top = now;
  store(weights, load(weights) * factor);
  for (int64_t j = 0; j < columns; j += kWidth) store(values + j, load(values + j) * factor);
}

// Scores become weights; sums of weights grow.
template <class T>
inline void weigh(T* s, int from, int to, const Sums<T>& sums, int64_t columns) {
  using V = typename Lanes<T>::Vector;
  constexpr int kWidth = Lanes<T>::kWidth;
  for (int64_t i = 0; i < kGroup; ++i, s += kTile) {
    V highest = all(-kInfinity<T>);
    for (int c = from; c < to; ++c) highest = larger(highest, load(s + c * kWidth));
    T *top = sums.top + i * kWidth, *weights = sums.weights + i * kWidth;
    if (exceeds(highest, all(*top + 8))) raise(top, weights, sums.values + i * columns, columns, highest);
    const V m = all(*top == -kInfinity<T> ? T{0} : *top);
    V total = load(weights);
    for (int c = from; c < to; ++c) {
      const V p = exp2(load(s + c * kWidth) - m);
      store(s + c * kWidth, p);
      total += p;
    }
    store(weights, total);
  }
}

template <class T>
void run(const Forward<T>& x, bool selected) {
  constexpr int kWidth = Lanes<T>::kWidth;
  const int64_t padded_rows = groups_of(x.rows) * kGroup;
  T *s = x.work, *values = s + kGroup * kTile, *weights = values + padded_rows * x.value_row,
    *top = weights + padded_rows * kWidth;
  for (T* each = values; each < top; ++each) *each = 0;
  for (int64_t i = 0; i < padded_rows * kWidth; ++i) top[i] = -kInfinity<T>;
  const Tiles tiles = tiles_of(x.mask, x.rows, x.k_len);
  for (int64_t tile = tiles.first; tile < tiles.last; ++tile)
    for (int64_t row = 0; row < x.rows; row += kGroup) {
      const GroupBits bits = group_bits(x.mask, row, x.rows, tile, x.k_len);
      if (!bits.any) continue;
      const int begin = __builtin_ctzll(bits.any), end = 64 - __builtin_clzll(bits.any);
      const int from = begin / kWidth, to = (end + kWidth - 1) / kWidth;
      const T* q[kGroup];
      row_pointers(x.q, x.q_row, row, x.rows, q);
      scores(q, x.keys + tile * kTile * x.d, x.d, from, to, s);
      finish_scores(x, bits, row, tile, from, to, s);
      const Sums<T> sums{values + row * x.value_row, weights + row * kWidth, top + row * kWidth};
      weigh(s, from, to, sums, x.value_row);
      const T* v = x.values + tile * kTile * x.value_row;
      if (selected)
        add_selected<kGroup, kTile, 1>(s + begin, v + begin * x.value_row, x.value_row, end - begin,
                                       sums.values, x.value_row, x.value_row, s + begin);
      else
        add_rows<kGroup, kTile, 1>(s + begin, v + begin * x.value_row, x.value_row, end - begin, sums.values,
                                   x.value_row, x.value_row);
    }
}

// Writes the results; false if one is not finite.
template <class T>
bool finish(const Forward<T>& x) {
  constexpr int kWidth = Lanes<T>::kWidth;
  const int64_t padded_rows = groups_of(x.rows) * kGroup;
  const T *values = x.work + kGroup * kTile, *weights = values + padded_rows * x.value_row,
          *top = weights + padded_rows * kWidth;
  typename Lanes<T>::Vector strange = {};
  for (int64_t i = 0; i < x.rows; ++i) {
    const T total = sum_of<T>(load(weights + i * kWidth)), factor = total == 0 ? T{0} : 1 / total;
    const T* from = values + i * x.value_row;
    const int64_t place = x.places ? x.places[i] : i;
    T* to = x.out + place * x.dv;
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
    const T log2_total = static_cast<T>(__builtin_log2(static_cast<double>(total)));
    x.lse[place] =
        total == 0 ? -kInfinity<T> : (top[i * kWidth] + log2_total) * static_cast<T>(0.6931471805599453);
  }
  return sum_of<T>(strange) == 0;
}

template <class T>
void attend_block(const Forward<T>& x) {
  run(x, false);
  if (finish(x)) return;
  run(x, true);
  finish(x);
}

}  // namespace

void attend(const Forward<float>& block) {
  attend_block(block);
}
void attend(const Forward<double>& block) {
  attend_block(block);
}

}  // namespace kxfast::attention::KXFAST_ISA
