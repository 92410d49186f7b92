// What attention of bfloat16 does beside its products, in any instruction set: weights are made in floats and
// rounded, sums are floats.
#pragma once

#include <cstring>

#include "attention/simd/group.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

constexpr int kFloats = Lanes<float>::kWidth;
constexpr int64_t kVector = kAlign / 4;  // floats of a row's sums of weights, and of its maximum

// To the nearest, ties to even.
inline void store_rounded(Floats x, Bfloat16* to) {
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh((__m512)x));
#else
  for (int i = 0; i < kFloats; ++i) {
    const float value = x[i];
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const bool strange = (bits & 0x7fffffff) > 0x7f800000;
    to[i].bits =
        static_cast<uint16_t>(strange ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
#endif
}

#if defined(__AVX512BF16__)
inline __m512i side_by_side(__m512i both) {
  alignas(64) static const uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                  21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                  11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), both);
}
#endif
// The lanes of two rows side by side.
inline void store_pairs(Floats row, Floats next, Bfloat16* to) {
#if defined(__AVX512BF16__)
  _mm512_storeu_si512(to, side_by_side((__m512i)_mm512_cvtne2ps_pbh((__m512)next, (__m512)row)));
#else
  Bfloat16 rounded[2][kFloats];
  store_rounded(row, rounded[0]), store_rounded(next, rounded[1]);
  for (int i = 0; i < kFloats; ++i) to[2 * i] = rounded[0][i], to[2 * i + 1] = rounded[1][i];
#endif
}
// The lanes of both, one after another.
inline void store_in_row(Floats low, Floats high, Bfloat16* to) {
#if defined(__AVX512BF16__)
  _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
#else
  store_rounded(low, to), store_rounded(high, to + kFloats);
#endif
}
// Both side by side, and each.
inline void store_both_ways(Floats row, Floats next, Bfloat16* pairs, Bfloat16* row_to, Bfloat16* next_to) {
#if defined(__AVX512BF16__)
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)next, (__m512)row);
  _mm512_storeu_si512(pairs, side_by_side(both));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(row_to), _mm512_castsi512_si256(both));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(next_to), _mm512_extracti64x4_epi64(both, 1));
#else
  store_rounded(row, row_to), store_rounded(next, next_to);
  for (int i = 0; i < kFloats; ++i) pairs[2 * i] = row_to[i], pairs[2 * i + 1] = next_to[i];
#endif
}

inline void write_rounded(const float* from, int64_t count, float scale, Bfloat16* to) {
  int64_t j = 0;
  for (; j + kFloats <= count; j += kFloats) store_rounded(load(from + j) * scale, to + j);
  if (j == count) return;
  float last[kFloats] = {};
  Bfloat16 rounded[kFloats];
  for (int64_t i = 0; i < count - j; ++i) last[i] = from[j + i];
  store_rounded(load(last) * scale, rounded);
  for (int64_t i = 0; i < count - j; ++i) to[j + i] = rounded[i];
}

// 2^x, where 3e-6 is enough since it is rounded to bfloat16; 0 below -126.5, and NaN for NaN.
inline Floats exp2_roughly(Floats x) {
  const Floats magic = all(12582912.0f + 127.0f);
  x = larger(all(-127.0f), x);
  const Floats sum = x + magic, r = x - (sum - magic);
  Floats y = all(9.5701019677e-3f);
  y = fused(y, r, all(5.5917860762e-2f));
  y = fused(y, r, all(2.4024744830e-1f));
  y = fused(y, r, all(6.9312181468e-1f));
  y = fused(y, r, all(9.9999926144e-1f));
  return y * (Floats)((Lanes<float>::Integer)sum << 23);
}

// Of a query: sum(dout out), and what is subtracted from its scores.
inline void share_of(const Bfloat16* dout, const Bfloat16* out, float lse, int64_t dv, float* share,
                     float* log2_sum) {
  Floats total = {};
  for (int64_t j = 0; j < dv; j += kFloats) {
    const auto wide = [&](const Bfloat16* x) {
#if defined(__AVX512F__)
      const auto there = static_cast<__mmask16>(dv - j >= kFloats ? 0xFFFF : (1u << (dv - j)) - 1);
      return (Floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, x + j)), 16);
#else
      float lanes[kFloats] = {};
      for (int i = 0; i < kFloats && j + i < dv; ++i) {
        const uint32_t bits = uint32_t{x[j + i].bits} << 16;
        std::memcpy(lanes + i, &bits, sizeof bits);
      }
      return load(lanes);
#endif
    };
    total = fused(wide(dout), wide(out), total);
  }
  const bool empty = lse == -kInfinity<float>;
  *share = empty ? 0 : sum_of<float>(total);
  *log2_sum = empty ? kInfinity<float> : lse * 1.4426950408889634f;
}

// Of a block forward, as in forward.cpp, but for queries, which are read where they lie. Sums of values have
// rows for whole parts.
struct Work {
  float *scores, *values, *weights, *top, *end;
  Bfloat16 *rounded, *last;  // weights of a part; queries of a last cell

  explicit Work(const Forward<Bfloat16>& x) : scores(x.work) {
    const int64_t rows = groups_of(x.rows) * kGroup;
    values = scores + kHalfScores * 3 / 2 + kCell / 2 * x.q_row;
    rounded = reinterpret_cast<Bfloat16*>(scores + kHalfScores), last = rounded + kHalfScores;
    weights = values + (x.rows + kPartRows) * x.value_row;
    top = weights + rows * kVector, end = top + rows * kVector;
  }
};

inline void begin(const Work& w) {
  for (float* each = w.values; each < w.top; ++each) *each = 0;
  for (float* each = w.top; each < w.end; ++each) *each = -kInfinity<float>;
}

inline void raise(float* top, float* weights, float* values, int64_t columns, float now) {
  const float factor = *top == -kInfinity<float> ? 0 : exp2(all(*top - now))[0];
  *top = now;
  store(weights, load(weights) * factor);
  for (int64_t j = 0; j < columns; j += kFloats) store(values + j, load(values + j) * factor);
}

// Scores of a group become weights in bfloat16; sums of weights grow.
inline void weigh(const Forward<Bfloat16>& x, const Work& w, const GroupBits& bits, int64_t row, int64_t tile,
                  float* s, Bfloat16* p) {
  const int from = __builtin_ctzll(bits.any) / kFloats, to = (63 - __builtin_clzll(bits.any)) / kFloats + 1;
  float scale = log2_scale(x);
  if (x.bias.data || scale <= 0 || bits.every != ~uint64_t{0}) {
    finish_scores<false>(x, bits, row, tile, from, to, s);
    scale = 1;
  }
  for (int64_t i = 0; i < kGroup; ++i, s += kTile, p += kTile) {
    Floats highest = all(-kInfinity<float>);
    for (int c = from; c < to; ++c) highest = larger(highest, load(s + c * kFloats));
    highest = highest * scale;
    float *top = w.top + (row + i) * kVector, *weights = w.weights + (row + i) * kVector;
    if (exceeds(highest, all(*top + 8)))
      raise(top, weights, w.values + (row + i) * x.value_row, x.value_row, largest_of<float>(highest));
    const Floats m = all(*top == -kInfinity<float> ? 0 : -*top);
    Floats total = load(weights);
    for (int c = from; c < to; ++c) {
      const Floats each = exp2_roughly(fused(load(s + c * kFloats), all(scale), m));
      store_rounded(each, p + c * kFloats);
      total += each;
    }
    store(weights, total);
  }
}

// Writes the results; false if one is not finite.
inline bool finish(const Forward<Bfloat16>& x, const Work& w) {
  Floats strange = {};
  for (int64_t i = 0; i < x.rows; ++i) {
    const float total = sum_of<float>(load(w.weights + i * kVector)), factor = total == 0 ? 0 : 1 / total;
    const float* from = w.values + i * x.value_row;
    const int64_t place = x.places ? x.places[i] : i;
    write_rounded(from, x.dv, factor, x.out + place * x.out_row);
    for (int64_t j = 0; j < x.value_row; j += kFloats) strange += load(from + j) * factor * 0;
    const float log2_total = __builtin_log2f(total);
    x.lse[place] = total == 0 ? -kInfinity<float> : (w.top[i * kVector] + log2_total) * 0.6931471805599453f;
  }
  return sum_of<float>(strange) == 0;
}

}  // namespace
}  // namespace kxfast::attention::KXFAST_ISA
