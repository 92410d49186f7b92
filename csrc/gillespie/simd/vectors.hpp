// Vectors of 8, 4 or 2 doubles and of words, the few operations that GCC's vector extensions do not write
// well (intrinsics; for 2 lanes loops over them), and the draws of core/random.hpp in lanes. Everything is in
// an unnamed namespace: each instruction set has its own copy.
#pragma once

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include <cstdint>

#include "core/log.hpp"

#define KXFAST_INLINE inline __attribute__((always_inline))

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 8;
#elif defined(__AVX2__)
constexpr int kLanes = 4;
#else
constexpr int kLanes = 2;
#endif

typedef double Reals __attribute__((vector_size(8 * kLanes), may_alias));
typedef uint64_t Words __attribute__((vector_size(8 * kLanes), may_alias));

KXFAST_INLINE Reals as_reals(Words w) {
  return reinterpret_cast<Reals>(w);
}
KXFAST_INLINE Words as_words(Reals r) {
  return reinterpret_cast<Words>(r);
}
KXFAST_INLINE Reals all(double value) {
  return value - Reals{};
}

// The whole numbers n <= 2^53 as doubles: two halves over powers of two that align them.
KXFAST_INLINE Reals to_reals(Words n) {
#if defined(__AVX512DQ__)
  return reinterpret_cast<Reals>(_mm512_maskz_cvtepu64_pd(0xFF, reinterpret_cast<__m512i>(n)));
#else
  const Words high = n >> 32 | 0x4530000000000000, low = (n & 0xFFFFFFFF) | 0x4330000000000000;
  return (as_reals(high) - (0x1p84 + 0x1p52)) + as_reals(low);
#endif
}

KXFAST_INLINE Reals root(Reals x) {
#if defined(__AVX512F__)
  return reinterpret_cast<Reals>(_mm512_maskz_sqrt_pd(0xFF, reinterpret_cast<__m512d>(x)));
#elif defined(__AVX2__)
  return reinterpret_cast<Reals>(_mm256_sqrt_pd(reinterpret_cast<__m256d>(x)));
#else
  Reals found{};
  for (int l = 0; l < kLanes; ++l) found[l] = __builtin_sqrt(x[l]);
  return found;
#endif
}
KXFAST_INLINE Reals smaller(Reals a, Reals b) {
  return a < b ? a : b;
}
constexpr uint64_t kSign = uint64_t{1} << 63;

// count + 1 in the lanes where sum <= target.
KXFAST_INLINE Words count_up(Words count, Reals sum, Reals target) {
#if defined(__AVX512F__)
  const auto n = reinterpret_cast<__m512i>(count);
  const __mmask8 yes =
      _mm512_cmp_pd_mask(reinterpret_cast<__m512d>(sum), reinterpret_cast<__m512d>(target), _CMP_LE_OQ);
  return reinterpret_cast<Words>(_mm512_mask_add_epi64(n, yes, n, _mm512_set1_epi64(1)));
#else
  return count - reinterpret_cast<Words>(sum <= target);
#endif
}

// A bit for each lane where not (a <= b), as for a NaN.
KXFAST_INLINE unsigned not_at_most(Reals a, Reals b) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask(reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b), _CMP_NLE_UQ);
#elif defined(__AVX2__)
  const __m256d no = _mm256_cmp_pd(reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b), _CMP_NLE_UQ);
  return static_cast<unsigned>(_mm256_movemask_pd(no));
#else
  unsigned bits = 0;
  for (int l = 0; l < kLanes; ++l) bits |= static_cast<unsigned>(!(a[l] <= b[l])) << l;
  return bits;
#endif
}

// 1 << by, 0 where by is not in 0 .. 63.
KXFAST_INLINE Words bit(Words by) {
#if defined(__AVX512F__)
  return reinterpret_cast<Words>(
      _mm512_maskz_sllv_epi64(0xFF, _mm512_set1_epi64(1), reinterpret_cast<__m512i>(by)));
#elif defined(__AVX2__)
  return reinterpret_cast<Words>(_mm256_sllv_epi64(_mm256_set1_epi64x(1), reinterpret_cast<__m256i>(by)));
#else
  Words one{};
  for (int l = 0; l < kLanes; ++l) one[l] = by[l] < 64 ? uint64_t{1} << by[l] : 0;
  return one;
#endif
}

// table[index] in each lane; the table has 8 * kEights places.
template <int kEights>
KXFAST_INLINE Reals look_up(const double* table, Words index) {
#if defined(__AVX512F__)
  const auto i = reinterpret_cast<__m512i>(index);
  if (kEights == 1)
    return reinterpret_cast<Reals>(_mm512_maskz_permutexvar_pd(0xFF, i, _mm512_load_pd(table)));
  const __m512d low = _mm512_permutex2var_pd(_mm512_load_pd(table), i, _mm512_load_pd(table + 8));
  if (kEights == 2) return reinterpret_cast<Reals>(low);
  const __mmask8 above = _mm512_cmpgt_epu64_mask(i, _mm512_set1_epi64(15));
  return reinterpret_cast<Reals>(_mm512_mask_permutexvar_pd(low, above, i, _mm512_load_pd(table + 16)));
#elif defined(__AVX2__)
  return reinterpret_cast<Reals>(_mm256_i64gather_pd(table, reinterpret_cast<__m256i>(index), 8));
#else
  Reals found{};
  for (int l = 0; l < kLanes; ++l) found[l] = table[index[l]];
  return found;
#endif
}

// Stream of core/random.hpp in every lane.
struct LaneStream {
  Words s0, s1, s2, s3;

  KXFAST_INLINE Words bits() {
    const Words sum = s0 + s3, result = (sum << 23 | sum >> 41) + s0, shifted = s1 << 17;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = s3 << 45 | s3 >> 19;
    return result;
  }
};

KXFAST_INLINE Reals unit(Words bits) {
  return to_reals(bits >> 11) * 0x1p-53;
}
KXFAST_INLINE Reals unit_open(Words bits) {
  return to_reals((bits >> 11) + 1) * 0x1p-53;
}

// log_of_unit of core/log.hpp, step by step.
KXFAST_INLINE Reals log_of_unit(Reals x) {
  using namespace log_table;
  const Words bits = as_words(x), scaled = bits + (kOne - kLowestZ);
  const Reals k = as_reals(scaled >> 52 | 0x4330000000000000) - kToDouble;
  const Reals z = as_reals(bits - (scaled & kExponent) + kOne), shifted = z + kToSixteenths;
  const Words place = as_words(shifted) & 15;
  const Reals r = (z - (shifted - kToSixteenths)) * look_up<2>(kInverse, place);
  return (k * kLog2High + look_up<2>(log_table::kLog, place)) + (r + (k * kLog2Low + beyond_first_order(r)));
}

}  // namespace
}  // namespace kxfast::gillespie::KXFAST_ISA
