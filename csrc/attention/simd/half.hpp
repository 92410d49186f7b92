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

// Of a block forward, as in forward.cpp, but for queries, which are read where they lie. Sums of values have
// rows for whole parts.
struct Work {
  int64_t rows;
  float *scores, *values, *weights, *top, *end;
  Bfloat16* rounded;  // weights of a part, (kPartRows, kTile)

  explicit Work(const Forward<Bfloat16>& x) : rows(groups_of(x.rows) * kGroup), scores(x.work) {
    rounded = reinterpret_cast<Bfloat16*>(scores + kPartRows * kTile);
    values = scores + kPartRows * kTile * 3 / 2;
    weights = values + (x.rows + kPartRows) / kPartRows * kPartRows * x.value_row;
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
