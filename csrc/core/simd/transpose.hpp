// A square of one register by one register, transposed by halves, quarters ..., and tiles made of them.
#pragma once

#include <cstdint>

#include "core/amx.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace kxfast::matrix::KXFAST_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kRegister = 64;
#elif defined(__AVX2__)
constexpr int kRegister = 32;
#else
constexpr int kRegister = 16;
#endif

template <class T>
struct Registers {
  static constexpr int kLanes = kRegister / static_cast<int>(sizeof(T));
  typedef T Vector __attribute__((vector_size(kRegister)));
  typedef T Unaligned __attribute__((vector_size(kRegister), aligned(sizeof(T)), may_alias));
};
template <class T>
struct Lane;
template <>
struct Lane<float> {
  typedef int32_t Vector __attribute__((vector_size(kRegister)));
};
template <>
struct Lane<double> {
  typedef int64_t Vector __attribute__((vector_size(kRegister)));
};

// Half a register from one place and half from another.
inline __attribute__((always_inline)) Registers<float>::Vector halves(const float* low, const float* high) {
#if defined(__AVX512F__)
  const __m512 first = _mm512_castps256_ps512(_mm256_loadu_ps(low));
  return _mm512_maskz_insertf32x8(0xFFFF, first, _mm256_loadu_ps(high), 1);
#elif defined(__AVX2__)
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
#else
  return Registers<float>::Vector{low[0], low[1], high[0], high[1]};
#endif
}

// Of a square's rows, or of some whose first steps are done.
template <class T, int HALF, int ROWS = Registers<T>::kLanes>
inline __attribute__((always_inline)) void exchange(typename Registers<T>::Vector* row) {
  constexpr int kLanes = Registers<T>::kLanes;
  typename Lane<T>::Vector low, high;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i & HALF ? kLanes + i - HALF : i;
    high[i] = i & HALF ? kLanes + i : i + HALF;
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
    if (i & HALF) continue;
    const typename Registers<T>::Vector a = row[i], b = row[i + HALF];
    row[i] = __builtin_shuffle(a, b, low);
    row[i + HALF] = __builtin_shuffle(a, b, high);
  }
  if constexpr (HALF > 1) exchange<T, HALF / 2, ROWS>(row);
}

template <class T>
inline __attribute__((always_inline)) void transpose_square(const T* from, int64_t from_stride, T* to,
                                                            int64_t to_stride) {
  using Unaligned = typename Registers<T>::Unaligned;
  constexpr int kLanes = Registers<T>::kLanes;
  typename Registers<T>::Vector row[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) row[i] = *reinterpret_cast<const Unaligned*>(from + i * from_stride);
  exchange<T, kLanes / 2>(row);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) *reinterpret_cast<Unaligned*>(to + i * to_stride) = row[i];
}

// The 16 x 16 words of a tile.
inline __attribute__((always_inline)) void transpose_tile(const float* from, float* to) {
  constexpr int kLanes = Registers<float>::kLanes;
  for (int i = 0; i < kRows; i += kLanes)
    for (int j = 0; j < kRows; j += kLanes)
      transpose_square(from + i * kRows + j, kRows, to + j * kRows + i, kRows);
}

}  // namespace
}  // namespace kxfast::matrix::KXFAST_ISA
