// Vectors of the instruction set in use. Fused operations are written out, since the compiler is told to
// contract nothing by itself.
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

// fused(a, b, c) = a b + c; larger(a, b) and smaller(a, b) are b where either is not a number; exceeds:
// whether any lane does; within: whether every lane is at most that, and a number.
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

// Of all lanes, which are halved again and again; the largest is any where one is not a number.
template <class T>
inline T sum_of(typename Lanes<T>::Vector v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return _mm512_reduce_add_ps((__m512)v);
  else
    return _mm512_reduce_add_pd((__m512d)v);
#else
  T lanes[Lanes<T>::kWidth];
  store(lanes, v);
  for (int half = Lanes<T>::kWidth / 2; half; half /= 2)
    for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  return lanes[0];
#endif
}
template <class T>
inline T largest_of(typename Lanes<T>::Vector v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return _mm512_reduce_max_ps((__m512)v);
  else
    return _mm512_reduce_max_pd((__m512d)v);
#else
  T top = v[0];
  for (int k = 1; k < Lanes<T>::kWidth; ++k) top = v[k] > top ? v[k] : top;
  return top;
#endif
}

}  // namespace
}  // namespace kxfast::attention::KXFAST_ISA
