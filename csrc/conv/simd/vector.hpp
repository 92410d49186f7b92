// One register of floats or doubles of the instruction set being compiled: the only place of this stem with
// intrinsics. Everything has internal linkage: each object file has its own copy.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/half.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define KXFAST_INLINE inline __attribute__((always_inline))

namespace kxfast::conv::KXFAST_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64, kVectors = 2;  // 6 rows x 4 registers of sums, of 32 registers
#elif defined(__AVX2__)
constexpr int kBytes = 32, kVectors = 1;  // 6 rows x 2, of 16
#else
constexpr int kBytes = 16, kVectors = 1;
#endif

template <class T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(kBytes)));
  typedef T Unaligned __attribute__((vector_size(kBytes), aligned(sizeof(T)), may_alias));
  static constexpr int kWidth = kBytes / static_cast<int>(sizeof(T));
};
template <>
struct Lanes<int32_t> {
  typedef int32_t Vector __attribute__((vector_size(kBytes)));
};
template <>
struct Lanes<int64_t> {
  typedef int64_t Vector __attribute__((vector_size(kBytes)));
};
template <>
struct Lanes<Bfloat16> {};  // is loaded to floats
template <class T>
using Vector = typename Lanes<T>::Vector;

template <class T>
KXFAST_INLINE Vector<T> load(const T* from) {
  return *reinterpret_cast<const typename Lanes<T>::Unaligned*>(from);
}
template <class T>
KXFAST_INLINE void store(T* to, Vector<T> v) {
  *reinterpret_cast<typename Lanes<T>::Unaligned*>(to) = v;
}
template <class T>
KXFAST_INLINE Vector<T> all(T value) {
  return value - Vector<T>{};
}

// a b + c, in one rounding where the set has it.
#if defined(__AVX512F__)
KXFAST_INLINE Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) {
  return _mm512_fmadd_ps(a, b, c);
}
KXFAST_INLINE Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
#elif defined(__AVX2__)
KXFAST_INLINE Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) {
  return _mm256_fmadd_ps(a, b, c);
}
KXFAST_INLINE Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
#else
template <class V>
KXFAST_INLINE V fma(V a, V b, V c) {
  return a * b + c;
}
#endif

// 1 / v to an ulp or so for v in [1, 2]: an estimate of 14 bits and one Newton step beat the division.
#if defined(__AVX512F__)
KXFAST_INLINE Vector<float> reciprocal(Vector<float> v) {
  const Vector<float> estimate = _mm512_maskz_rcp14_ps(0xFFFF, v);
  return fma(estimate, _mm512_fnmadd_ps(v, estimate, all(1.0f)), estimate);
}
KXFAST_INLINE Vector<double> reciprocal(Vector<double> v) {
  return 1.0 / v;
}
#else
template <class V>
KXFAST_INLINE V reciprocal(V v) {
  return 1 / v;
}
#endif

// What kTogether channels are multiplied as.
template <class T>
struct Operand {
  using Type = Vector<T>;
  static KXFAST_INLINE Type load(const T* from) { return KXFAST_ISA::load(from); }
  static KXFAST_INLINE Type all(const T* from) { return KXFAST_ISA::all(*from); }
};
#if defined(__AVX512BF16__)
template <>
struct Operand<Bfloat16> {
  using Type = __m512bh;
  static KXFAST_INLINE Type load(const Bfloat16* from) {
    return reinterpret_cast<Type>(_mm512_loadu_si512(from));
  }
  static KXFAST_INLINE Type all(const Bfloat16* from) {
    int32_t pair;
    std::memcpy(&pair, from, 4);
    return reinterpret_cast<Type>(_mm512_set1_epi32(pair));
  }
};
KXFAST_INLINE Vector<float> fma(__m512bh a, __m512bh b, Vector<float> c) {
  return _mm512_dpbf16_ps(c, a, b);
}
KXFAST_INLINE Vector<float> load(const Bfloat16* from, int64_t count) {
  const __m256i half = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), from);
  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xFFFF, _mm512_maskz_cvtepu16_epi32(0xFFFF, half), 16));
}
KXFAST_INLINE void store(Bfloat16* to, Vector<float> v, int64_t count) {
  const __m256i half = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v));
  _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1), half);
}
// 16 numbers of two rows side by side.
KXFAST_INLINE void store_pairs(__m256i a, __m256i b, Bfloat16* to) {
  const __m512i wide = _mm512_maskz_cvtepu16_epi32(0xFFFF, a);
  const __m512i shifted = _mm512_maskz_slli_epi32(0xFFFF, _mm512_maskz_cvtepu16_epi32(0xFFFF, b), 16);
  _mm512_storeu_si512(to, _mm512_or_si512(wide, shifted));
}
KXFAST_INLINE void interleave_16(const Bfloat16* a, const Bfloat16* b, Bfloat16* to) {
  store_pairs(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a)),
              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)), to);
}
// A register of numbers of two rows, and both side by side.
KXFAST_INLINE void store_rows(Bfloat16* first, Bfloat16* second, Bfloat16* pairs, Vector<float> a,
                              Vector<float> b) {
  const __m256i low = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a));
  const __m256i high = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(first), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(second), high);
  store_pairs(low, high, pairs);
}
#else
// A product in two steps, of the numbers that stand first in their pairs and of those that stand second.
template <>
struct Operand<Bfloat16> {
  typedef uint32_t Pairs __attribute__((vector_size(kBytes)));
  typedef uint32_t Unaligned __attribute__((vector_size(kBytes), aligned(2), may_alias));
  struct Type {
    Vector<float> first, second;
  };
  static KXFAST_INLINE Type open(Pairs pairs) {
    return {reinterpret_cast<Vector<float> >(pairs << 16),
            reinterpret_cast<Vector<float> >(pairs & 0xFFFF0000u)};
  }
  static KXFAST_INLINE Type load(const Bfloat16* from) {
    return open(*reinterpret_cast<const Unaligned*>(from));
  }
  static KXFAST_INLINE Type all(const Bfloat16* from) {
    return open((from[0].bits | uint32_t{from[1].bits} << 16) - Pairs{});
  }
};
KXFAST_INLINE Vector<float> fma(const Operand<Bfloat16>::Type& a, const Operand<Bfloat16>::Type& b,
                                Vector<float> c) {
  return c + (a.first * b.first + a.second * b.second);
}
KXFAST_INLINE Vector<float> load(const Bfloat16* from, int64_t count) {
  float lanes[Lanes<float>::kWidth] = {};
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = uint32_t{from[i].bits} << 16;
    std::memcpy(lanes + i, &bits, 4);
  }
  return load(lanes);
}
KXFAST_INLINE void store(Bfloat16* to, Vector<float> v, int64_t count) {  // to nearest, ties to even
  float lanes[Lanes<float>::kWidth];
  store(lanes, v);
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, lanes + i, 4);
    bits += lanes[i] == lanes[i] ? 0x7FFF + (bits >> 16 & 1) : 0;
    to[i].bits = static_cast<uint16_t>(bits >> 16 | (lanes[i] == lanes[i] ? 0 : 0x40));
  }
}
KXFAST_INLINE void interleave_16(const Bfloat16* a, const Bfloat16* b, Bfloat16* to) {
  for (int i = 0; i < 16; ++i) to[2 * i] = a[i], to[2 * i + 1] = b[i];
}
KXFAST_INLINE void store_rows(Bfloat16* first, Bfloat16* second, Bfloat16* pairs, Vector<float> a,
                              Vector<float> b) {
  constexpr int kLanes = Lanes<float>::kWidth;
  store(first, a, kLanes);
  store(second, b, kLanes);
  for (int i = 0; i < kLanes; ++i) pairs[2 * i] = first[i], pairs[2 * i + 1] = second[i];
}
#endif

// The first `count` elements, at most a register of them; the others are 0 and stay untouched in memory.
#if defined(__AVX512F__)
KXFAST_INLINE Vector<float> load(const float* from, int64_t count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
}
KXFAST_INLINE Vector<double> load(const double* from, int64_t count) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), from);
}
KXFAST_INLINE void store(float* to, Vector<float> v, int64_t count) {
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), v);
}
KXFAST_INLINE void store(double* to, Vector<double> v, int64_t count) {
  _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << count) - 1), v);
}
#else
template <class T>
KXFAST_INLINE Vector<T> load(const T* from, int64_t count) {
  if (count == Lanes<T>::kWidth) return load(from);
  T lanes[Lanes<T>::kWidth] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = from[i];
  return load(lanes);
}
template <class T>
KXFAST_INLINE void store(T* to, Vector<T> v, int64_t count) {
  if (count == Lanes<T>::kWidth) return store(to, v);
  T lanes[Lanes<T>::kWidth];
  store(lanes, v);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
}
#endif

// Zero in place of what is negative; NaN stays.
template <class V>
KXFAST_INLINE V relu(V v) {
  return v < 0 ? V{} : v;
}

template <class T>
struct Exp;
template <>
struct Exp<float> {
  using Int = int32_t;
  static constexpr float kLowest = -87.0f, kLog2e = 1.44269504f, kHigh = 0.693359375f, kLow = -2.12194440e-4f;
  static constexpr float kRound = 0x1.8p23f + 127;  // its last bits are an exponent with its bias
  static constexpr int kShift = 23;
};
template <>
struct Exp<double> {
  using Int = int64_t;
  static constexpr double kLowest = -708.0, kLog2e = 1.4426950408889634, kHigh = 6.93147180369123816490e-01,
                          kLow = 1.90821492927058770002e-10, kRound = 0x1.8p52 + 1023;
  static constexpr int kShift = 52;
};

KXFAST_INLINE Vector<float> exp_polynomial(Vector<float> r) {  // Cephes expf, |r| <= ln(2)/2
  Vector<float> p = fma(all(1.9875691500e-4f), r, all(1.3981999507e-3f));
  p = fma(p, r, all(8.3334519073e-3f));
  p = fma(p, r, all(4.1665795894e-2f));
  p = fma(p, r, all(1.6666665459e-1f));
  p = fma(p, r, all(5.0000001201e-1f));
  return fma(p * r, r, r) + 1.0f;
}
KXFAST_INLINE Vector<double> exp_polynomial(Vector<double> r) {  // Taylor to r^13: 4e-18 at ln(2)/2
  Vector<double> p = all(1.0 / 6227020800.0);
  constexpr double kInverse[] = {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                                 1.0 / 40320,     1.0 / 5040,     1.0 / 720,     1.0 / 120,
                                 1.0 / 24,        1.0 / 6,        1.0 / 2};
  for (const double each : kInverse) p = fma(p, r, all(each));
  return fma(p * r, r, r) + 1.0;
}

// e^z for z <= 0 to 2 ulp; e^kLowest, which is nearly 0, for all that is below. NaN stays NaN.
template <class T>
KXFAST_INLINE Vector<T> exp_negative(Vector<T> z) {
  using E = Exp<T>;
  z = all(E::kLowest) > z ? all(E::kLowest) : z;
  const Vector<T> shifted = fma(z, all(E::kLog2e), all(E::kRound));
  const Vector<T> n = shifted - E::kRound;
  const Vector<T> r = fma(n, all(-E::kLow), fma(n, all(-E::kHigh), z));
  using Int = Vector<typename E::Int>;
  return exp_polynomial(r) * Vector<T>(Int(shifted) << E::kShift);
}

// How far a gate opens, s(g), and what it leaves, s(-g), without overflow and without cancellation.
template <class T>
KXFAST_INLINE void sigmoids(Vector<T> g, Vector<T>& opens, Vector<T>& keeps) {
  using Int = Vector<typename Exp<T>::Int>;
  const Vector<T> e = exp_negative<T>(Vector<T>(Int(g) | Int(all(T{-0.0}))));
  const Vector<T> large = reciprocal(T{1} + e), small = e * large;
  opens = g > T{0} ? large : small;
  keeps = g > T{0} ? small : large;
}

}  // namespace
}  // namespace kxfast::conv::KXFAST_ISA
