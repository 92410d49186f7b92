// A few queries of one key head against a run of its keys: what a step of decoding asks for.
//
// Nothing is packed: with few queries each key and value is used a few times only, so reading them once,
// where they lie, is the limit (of the memory, or of the caches they are in). For each tile of 64 keys, for
// each query: dot products along D, as many keys at a time as a vector has lanes, so that their sums across
// lanes are made together (one by one they took half of the time), weights 2^(s - m), then values, by chunks
// of four registers of columns that stay in registers over the tile. Sums of runs are combined by the caller,
// so that one sequence with few heads occupies all cores. Masked keys are not read: NaN behind a mask goes
// nowhere.
#include <utility>

#include "attention/simd/group.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

// Products of whole vectors, summed lane by lane.
template <class T>
inline typename Lanes<T>::Vector products(const T* a, const T* b, int64_t n) {
  constexpr int kWidth = Lanes<T>::kWidth;
  typename Lanes<T>::Vector first = {}, second = {};
  int64_t j = 0;
  for (; j + 2 * kWidth <= n; j += 2 * kWidth) {
    first = fused(load(a + j), load(b + j), first);
    second = fused(load(a + j + kWidth), load(b + j + kWidth), second);
  }
  for (; j + kWidth <= n; j += kWidth) first = fused(load(a + j), load(b + j), first);
  return first + second;
}

template <class T>
inline T dot(const T* a, const T* b, int64_t n) {
  T sum = sum_of<T>(products(a, b, n));
  for (int64_t j = n / Lanes<T>::kWidth * Lanes<T>::kWidth; j < n; ++j) sum += a[j] * b[j];
  return sum;
}

// Groups of SIZE lanes of two vectors: the second half of each is added to its first, all of them in one.
template <int SIZE, class V, int... LANE>
inline V folded(V a, V b, std::integer_sequence<int, LANE...>) {
  constexpr int kHalf = SIZE / 2, kWidth = sizeof...(LANE), kGroups = kWidth / SIZE;
  return __builtin_shufflevector(
             a, b, LANE / kHalf / kGroups * kWidth + LANE / kHalf % kGroups * SIZE + LANE % kHalf...) +
         __builtin_shufflevector(
             a, b, LANE / kHalf / kGroups * kWidth + LANE / kHalf % kGroups * SIZE + LANE % kHalf + kHalf...);
}

// Sums of products of `a` with COUNT rows of b, n a multiple of the lanes: lanes of one row are neighbours,
// and, where COUNT is the number of lanes, one each, the bits of `dot`.
template <int COUNT, class T>
inline typename Lanes<T>::Vector dots(const T* a, const T* b, int64_t stride, int64_t n) {
  constexpr int kWidth = Lanes<T>::kWidth;
  if constexpr (COUNT == 1)
    return products(a, b, n);
  else
    return folded<2 * kWidth / COUNT>(dots<COUNT / 2>(a, b, stride, n),
                                      dots<COUNT / 2>(a, b + COUNT / 2 * stride, stride, n),
                                      std::make_integer_sequence<int, kWidth>());
}

// Scores of the keys whose bits are set, in units of log2, and -inf for others up to `end`, a multiple of the
// lanes; returns the highest, or NaN.
template <class T>
inline T score_tile(const Decode<T>& x, int64_t r, int64_t tile, uint64_t bits, int64_t end, T* s) {
  const T scale = x.scale * static_cast<T>(1.4426950408889634);
  const DecodeRow<T>& row = x.row[r];
  constexpr int kWidth = Lanes<T>::kWidth;
  constexpr uint64_t kAll = (uint64_t{1} << kWidth) - 1;
  const T* keys = x.k + tile * kTile * x.k_row;
  const bool whole = x.d % kWidth == 0;
  for (int64_t first = 0; first < end; first += kWidth) {
    const uint64_t chosen = bits >> first & kAll;
    if (whole && chosen == kAll) {
      store(s + first, dots<kWidth>(row.q, keys + first * x.k_row, x.k_row, x.d));
      continue;
    }
    store(s + first, all(-kInfinity<T>));
    for (uint64_t left = chosen; left; left &= left - 1) {
      const int64_t j = first + __builtin_ctzll(left);
      s[j] = dot(row.q, keys + j * x.k_row, x.d);
    }
  }
  if (row.bias.data)
    for (uint64_t left = bits; left; left &= left - 1) {
      const int64_t j = __builtin_ctzll(left);
      s[j] += row.bias.data[(tile * kTile + j) * row.bias.key];
    }
  typename Lanes<T>::Vector highest = all(-kInfinity<T>), strange = {};
  for (int64_t j = 0; j < end; j += kWidth) {
    const auto score = load(s + j) * scale;
    store(s + j, score);
    highest = larger(score, highest);
    strange = score == score ? strange : score;
  }
  const T wrong = sum_of<T>(strange);
  return wrong == wrong ? largest_of<T>(highest) : wrong;
}

// sums += weights of the keys whose bits are set, times their values
template <class T, int VECTORS>
inline void add_values(const T* p, const T* v, int64_t stride, uint64_t bits, T* sums) {
  constexpr int kWidth = Lanes<T>::kWidth;
  typename Lanes<T>::Vector sum[VECTORS];
  for (int c = 0; c < VECTORS; ++c) sum[c] = load(sums + c * kWidth);
  for (uint64_t left = bits; left; left &= left - 1) {
    const int64_t j = __builtin_ctzll(left);
    const auto weight = all(p[j]);
    for (int c = 0; c < VECTORS; ++c) sum[c] = fused(weight, load(v + j * stride + c * kWidth), sum[c]);
  }
  for (int c = 0; c < VECTORS; ++c) store(sums + c * kWidth, sum[c]);
}

template <class T>
inline void add_tile(const T* p, const T* v, int64_t stride, int64_t dv, uint64_t bits, T* sums) {
  constexpr int kWidth = Lanes<T>::kWidth;
  int64_t at = 0;
  for (; at + 4 * kWidth <= dv; at += 4 * kWidth) add_values<T, 4>(p, v + at, stride, bits, sums + at);
  for (; at + kWidth <= dv; at += kWidth) add_values<T, 1>(p, v + at, stride, bits, sums + at);
  for (; at < dv; ++at)
    for (uint64_t left = bits; left; left &= left - 1)
      sums[at] += p[__builtin_ctzll(left)] * v[__builtin_ctzll(left) * stride + at];
}

template <class T>
void run(const Decode<T>& x) {
  constexpr int kWidth = Lanes<T>::kWidth;
  alignas(64) T s[kTile];
  for (int64_t i = 0; i < x.rows * (x.dv + 2); ++i) x.sums[i] = 0;
  for (int64_t r = 0; r < x.rows; ++r) x.sums[r * (x.dv + 2) + x.dv] = -kInfinity<T>;
  for (int64_t tile = x.first; tile < x.last; ++tile)
    for (int64_t r = 0; r < x.rows; ++r) {
      const uint64_t bits = allowed(x.row[r].mask, 0, tile, x.k_len);
      if (!bits) continue;
      T *sums = x.sums + r * (x.dv + 2), *top = sums + x.dv, *total = top + 1;
      const int64_t end = (64 - __builtin_clzll(bits) + kWidth - 1) / kWidth * kWidth;
      const T highest = score_tile(x, r, tile, bits, end, s);
      if (highest == -kInfinity<T>) continue;  // a bias forbids all
      if (highest != highest) *total = highest;
      if (highest > *top) {
        const T factor = *top == -kInfinity<T> ? T{0} : exp2(all(*top - highest))[0];
        for (int64_t j = 0; j < x.dv; ++j) sums[j] *= factor;
        *total *= factor;
        *top = highest;
      }
      typename Lanes<T>::Vector sum = {};
      for (int64_t j = 0; j < end; j += kWidth) {
        const auto p = exp2(load(s + j) - all(*top));
        store(s + j, p);
        sum += p;
      }
      *total += sum_of<T>(sum);
      add_tile(s, x.v + tile * kTile * x.v_row, x.v_row, x.dv, bits, sums);
    }
}

}  // namespace

void decode(const Decode<float>& run_of_keys) {
  run(run_of_keys);
}
void decode(const Decode<double>& run_of_keys) {
  run(run_of_keys);
}

}  // namespace kxfast::attention::KXFAST_ISA
