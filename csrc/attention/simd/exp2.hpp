// 2^x of vectors: a whole number is split off x by adding and subtracting a number so large that sums are
// rounded to whole ones, and what is left goes through a polynomial. Floats with AVX-512 are scaled by an
// instruction that knows all exponents; otherwise the whole number becomes an exponent by a shift.
//
// Degree 5 would make weights of scores in a seventh less time, but is off by 2.6 units in the last place; a
// table of 32 numbers with degree 2 in a fifth less, off by 4.2 of them.
#pragma once

#include "attention/simd/vectors.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

// 2^x to 2 units in the last place; exactly 0 from -127 down, infinite or beyond 2^126 from 128 on, and NaN
// for NaN. The sum with 1.5 2^23 rounds x to whole numbers.
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

}  // namespace
}  // namespace kxfast::attention::KXFAST_ISA
