// Columns of sixteen rows, four at a time, whatever four bytes are: floats, or pairs of bfloat16.
#pragma once

#include "attention/simd/tile.hpp"

#if defined(__AVX512F__)
namespace kxfast::attention::KXFAST_ISA {
namespace {

// The four registers hold rows 4 i, 4 i + 1 ... in their quarters, so that a transpose within quarters puts
// the rows of a column side by side. `next` is the distance, in units, of one column's place in `out` from
// that of the one before; `made` makes of four columns what is stored.
template <class T, class Made>
inline void transpose_sixteen(const T* const* row, int64_t k, float* out, int64_t next, Made&& made) {
  const auto four = [&](int i) { return _mm_loadu_ps(reinterpret_cast<const float*>(row[i] + k)); };
  __m512 x[4];
  for (int i = 0; i < 4; ++i) {
    x[i] = _mm512_castps128_ps512(four(i));
    x[i] = _mm512_insertf32x4(x[i], four(i + 4), 1);
    x[i] = _mm512_insertf32x4(x[i], four(i + 8), 2);
    x[i] = _mm512_insertf32x4(x[i], four(i + 12), 3);
  }
  const __m512 a = _mm512_unpacklo_ps(x[0], x[1]), b = _mm512_unpackhi_ps(x[0], x[1]);
  const __m512 c = _mm512_unpacklo_ps(x[2], x[3]), d = _mm512_unpackhi_ps(x[2], x[3]);
  _mm512_storeu_ps(out, made(_mm512_shuffle_ps(a, c, 0x44)));
  _mm512_storeu_ps(out + next, made(_mm512_shuffle_ps(a, c, 0xEE)));
  _mm512_storeu_ps(out + 2 * next, made(_mm512_shuffle_ps(b, d, 0x44)));
  _mm512_storeu_ps(out + 3 * next, made(_mm512_shuffle_ps(b, d, 0xEE)));
}
template <class T>
inline void transpose_sixteen(const T* const* row, int64_t k, float* out, int64_t next) {
  transpose_sixteen(row, k, out, next, [](__m512 x) { return x; });
}

}  // namespace
}  // namespace kxfast::attention::KXFAST_ISA
#endif
