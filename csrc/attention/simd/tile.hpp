// What the attention kernels are made of: vectors of the instruction set in use, exp2, and two
// micro-kernels.
//
// Both micro-kernels keep a block of sums in registers, kGroup rows by up to kWide vectors (6 x 4 of 32
// vector registers with AVX-512, 6 x 2 of 16 otherwise), and take one step of the sum at a time: kWide loads,
// kGroup broadcasts, and a fused multiply-add for each pair, so arithmetic is the limit and loads are not.
// Fused operations are written out, since the compiler is told to contract nothing by itself.
#pragma once

#include "attention/kernels.hpp"

#ifdef KXFAST_X86
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 warns of its own undefined operands
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace kxfast::attention::KXFAST_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64, kWide = 4;
#elif defined(__AVX2__)
constexpr int kBytes = 32, kWide = 2;
#else
constexpr int kBytes = 16, kWide = 2;
#endif

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float Vector __attribute__((vector_size(kBytes), aligned(4), may_alias));
  typedef int32_t Integer __attribute__((vector_size(kBytes), aligned(4), may_alias));
  static constexpr int kWidth = kBytes / 4;
};
template <>
struct Lanes<double> {
  typedef double Vector __attribute__((vector_size(kBytes), aligned(8), may_alias));
  typedef int64_t Integer __attribute__((vector_size(kBytes), aligned(8), may_alias));
  static constexpr int kWidth = kBytes / 8;
};
using Floats = Lanes<float>::Vector;
using Doubles = Lanes<double>::Vector;

// fused(a, b, c) = a b + c; larger(a, b) and smaller(a, b) are b where either is not a number; exceeds: whether
// any lane does; within: whether every lane is at most that, and a number.
#if defined(__AVX512F__)
inline Floats fused(Floats a, Floats b, Floats c) {
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
inline Doubles fused(Doubles a, Doubles b, Doubles c) {
  return (Doubles)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
inline Floats larger(Floats a, Floats b) {
  return (Floats)_mm512_max_ps((__m512)a, (__m512)b);
}
inline Doubles larger(Doubles a, Doubles b) {
  return (Doubles)_mm512_max_pd((__m512d)a, (__m512d)b);
}
inline Floats smaller(Floats a, Floats b) {
  return (Floats)_mm512_min_ps((__m512)a, (__m512)b);
}
inline Doubles smaller(Doubles a, Doubles b) {
  return (Doubles)_mm512_min_pd((__m512d)a, (__m512d)b);
}
inline bool exceeds(Floats a, Floats b) {
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ) != 0;
}
inline bool exceeds(Doubles a, Doubles b) {
  return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_GT_OQ) != 0;
}
inline bool within(Floats a, Floats b) {
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_NLE_UQ) == 0;
}
inline bool within(Doubles a, Doubles b) {
  return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_NLE_UQ) == 0;
}
#elif defined(__AVX2__)
inline Floats fused(Floats a, Floats b, Floats c) {
  return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
inline Doubles fused(Doubles a, Doubles b, Doubles c) {
  return (Doubles)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
inline Floats larger(Floats a, Floats b) {
  return (Floats)_mm256_max_ps((__m256)a, (__m256)b);
}
inline Doubles larger(Doubles a, Doubles b) {
  return (Doubles)_mm256_max_pd((__m256d)a, (__m256d)b);
}
inline Floats smaller(Floats a, Floats b) {
  return (Floats)_mm256_min_ps((__m256)a, (__m256)b);
}
inline Doubles smaller(Doubles a, Doubles b) {
  return (Doubles)_mm256_min_pd((__m256d)a, (__m256d)b);
}
inline bool exceeds(Floats a, Floats b) {
  return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ)) != 0;
}
inline bool exceeds(Doubles a, Doubles b) {
  return _mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_GT_OQ)) != 0;
}
inline bool within(Floats a, Floats b) {
  return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_NLE_UQ)) == 0;
}
inline bool within(Doubles a, Doubles b) {
  return _mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_NLE_UQ)) == 0;
}
#else
template <class V>
inline V fused(V a, V b, V c) {
  return a * b + c;
}
template <class V>
inline V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
inline V smaller(V a, V b) {
  return a < b ? a : b;
}
template <class V>
inline bool exceeds(V a, V b) {
  bool any = false;
  for (unsigned k = 0; k < sizeof(V) / sizeof(a[0]); ++k) any |= a[k] > b[k];
  return any;
}
template <class V>
inline bool within(V a, V b) {
  bool every = true;
  for (unsigned k = 0; k < sizeof(V) / sizeof(a[0]); ++k) every &= a[k] <= b[k];
  return every;
}
#endif

template <class T>
inline typename Lanes<T>::Vector load(const T* x) {
  return *reinterpret_cast<const typename Lanes<T>::Vector*>(x);
}
template <class T, class V>
inline void store(T* x, V v) {
  *reinterpret_cast<typename Lanes<T>::Vector*>(x) = v;
}
template <class T>
inline typename Lanes<T>::Vector all(T x) {
  return x - typename Lanes<T>::Vector{};
}

template <class T>
constexpr T kInfinity = static_cast<T>(__builtin_inf());

// v where the bits, one for each lane, are set, else `other`
template <class T>
inline typename Lanes<T>::Vector where(uint64_t bits, typename Lanes<T>::Vector v, T other) {
  using L = Lanes<T>;
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Floats)_mm512_mask_mov_ps((__m512)all(other), static_cast<__mmask16>(bits), (__m512)v);
#endif
  typename L::Integer lane;
  for (int k = 0; k < L::kWidth; ++k) lane[k] = 1 << k;
  const typename L::Integer set = lane & static_cast<decltype(lane[0] + 0)>(bits & ((1u << L::kWidth) - 1));
  return set != 0 ? v : all<T>(other);
}

// 2^x to 2 units in the last place; exactly 0 from -127 down, infinite or beyond 2^126 from 128 on, and NaN for
// NaN. The sum with 1.5 2^23 rounds x to whole numbers.
inline Floats exp2(Floats x) {
#if defined(__AVX512F__)
  constexpr float kBias = 0;
#else
  constexpr float kBias = 127;
  x = larger(all(-127.0f), smaller(all(127.49f), x));
#endif
  const Floats magic = all(12582912.0f + kBias), sum = x + magic, whole = sum - magic, r = x - whole;
  Floats y = all(1.535336188319500e-4f);
  y = fused(y, r, all(1.339887440266574e-3f));
  y = fused(y, r, all(9.618437357674640e-3f));
  y = fused(y, r, all(5.550332471162809e-2f));
  y = fused(y, r, all(2.402264791363012e-1f));
  y = fused(y, r, all(6.931472028550421e-1f));
  y = fused(y, r, all(1.0f));
#if defined(__AVX512F__)
  const __mmask16 normal = _mm512_cmp_ps_mask((__m512)x, (__m512)all(-126.0f), _CMP_NLT_UQ);
  return (Floats)_mm512_maskz_scalef_ps(normal, (__m512)y, (__m512)whole);
#else
  return y * (Floats)((Lanes<float>::Integer)sum << 23);  // the last bits of the sum are an exponent
#endif
}
inline Doubles exp2(Doubles x) {
  const Doubles magic = all(6755399441055744.0 + 1023.0);
  x = larger(all(-1023.0), smaller(all(1023.49), x));
  const Doubles sum = x + magic, r = (x - (sum - magic)) * 0.6931471805599453;
  Doubles y = all(1.0 / 479001600);
  for (double n : {12.0, 132.0, 1320.0, 11880.0, 95040.0, 665280.0, 3991680.0, 19958400.0, 79833600.0,
                   239500800.0, 479001600.0, 479001600.0})
    y = fused(y, r, all(n / 479001600));
  return y * (Doubles)((Lanes<double>::Integer)sum << 52);
}

template <class T>
inline T sum_of(typename Lanes<T>::Vector v) {
  T lanes[Lanes<T>::kWidth];
  store(lanes, v);
  for (int half = Lanes<T>::kWidth / 2; half; half /= 2)
    for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  return lanes[0];
}
template <class T>
inline T largest_of(typename Lanes<T>::Vector v) {
  T top = v[0];
  for (int k = 1; k < Lanes<T>::kWidth; ++k) top = v[k] > top ? v[k] : top;
  return top;
}

// s[i][0 ...] = sum over k of row[i][k] panel[k][0 ...], for NV vectors; s and panel have rows of a tile.
template <int NV, class T>
inline void scores_of(const T* const* row, const T* panel, int64_t d, T* s) {
  using V = typename Lanes<T>::Vector;
  constexpr int kWidth = Lanes<T>::kWidth;
  V c[kGroup][NV] = {};
  for (int64_t k = 0; k < d; ++k, panel += kTile) {
    V b[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) b[j] = load(panel + j * kWidth);
#pragma GCC unroll 6
    for (int i = 0; i < kGroup; ++i) {
      const V a = all(row[i][k]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) c[i][j] = fused(a, b[j], c[i][j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kGroup; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) store(s + i * kTile + j * kWidth, c[i][j]);
}

// The vectors from `from` to `to` of a group's rows of a tile.
template <class T>
inline void scores(const T* const* row, const T* panel, int64_t d, int from, int to, T* s) {
  constexpr int kWidth = Lanes<T>::kWidth;
  for (; from + kWide <= to; from += kWide)
    scores_of<kWide>(row, panel + from * kWidth, d, s + from * kWidth);
  panel += from * kWidth, s += from * kWidth;
  if (to - from == 1) scores_of<1>(row, panel, d, s);
  if constexpr (kWide > 2) {
    if (to - from == 2) scores_of<2>(row, panel, d, s);
    if (to - from == 3) scores_of<3>(row, panel, d, s);
  }
}

// c[i][0 ...] += sum over k of a[i kRow + k kStep] b[k][0 ...], for MR rows and NV vectors. Sums begin at 0,
// not at c: rounding errors grow with the longest chain, and over many tiles that would be the tiles' chains
// end to end.
template <int MR, int NV, int kRow, int kStep, class T>
inline void add_block(const T* a, const T* b, int64_t b_row, int64_t depth, T* c, int64_t c_row) {
  using V = typename Lanes<T>::Vector;
  constexpr int kWidth = Lanes<T>::kWidth;
  V sum[MR][NV] = {};
  for (int64_t k = 0; k < depth; ++k, a += kStep, b += b_row) {
    V v[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) v[j] = load(b + j * kWidth);
#pragma GCC unroll 6
    for (int i = 0; i < MR; ++i) {
      const V x = all(a[i * kRow]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = fused(x, v[j], sum[i][j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      T* to = c + i * c_row + j * kWidth;
      store(to, load(to) + sum[i][j]);
    }
}

template <int MR, int kRow, int kStep, class T>
inline void add_rows(const T* a, const T* b, int64_t b_row, int64_t depth, T* c, int64_t c_row,
                     int64_t columns) {
  constexpr int kWidth = Lanes<T>::kWidth;
  int64_t j = 0;
  for (; j + kWide * kWidth <= columns; j += kWide * kWidth)
    add_block<MR, kWide, kRow, kStep>(a, b + j, b_row, depth, c + j, c_row);
  for (; j < columns; j += kWidth) add_block<MR, 1, kRow, kStep>(a, b + j, b_row, depth, c + j, c_row);
}

// The same sums, bit for bit, without the terms whose weight, laid out as a is, is 0: 0 NaN would be NaN.
template <int MR, int kRow, int kStep, class T>
void add_selected(const T* a, const T* b, int64_t b_row, int64_t depth, T* c, int64_t c_row, int64_t columns,
                  const T* weight) {
  for (int i = 0; i < MR; ++i)
    for (int64_t j = 0; j < columns; j += Lanes<T>::kWidth) {
      typename Lanes<T>::Vector sum = {};
      for (int64_t k = 0; k < depth; ++k) {
        const int64_t at = i * kRow + k * kStep;
        if (weight[at] != 0) sum = fused(all(a[at]), load(b + k * b_row + j), sum);
      }
      T* to = c + i * c_row + j;
      store(to, load(to) + sum);
    }
}

}  // namespace
}  // namespace kxfast::attention::KXFAST_ISA
