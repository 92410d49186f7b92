// A row's sums become columns and values. A block of 64 sums is looked at only if its mark is set; eight
// marks are looked at together. Sixteen sums give a mask, by which columns and values are packed with
// AVX-512; other instruction sets walk the mask's bits. Sums and marks are in the L2 cache; for rare words,
// which mark a block for each of their columns, the test of a block is the limit.
#include "cooccurrence/sums.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace kxfast::cooccurrence::KXFAST_ISA {
namespace {

#if !defined(__AVX512F__)
// Bit i: whether sum i of eight is not 0.
unsigned used(const uint32_t* sums) {
#if defined(__AVX2__)
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums));
  const __m256i zero = _mm256_cmpeq_epi32(x, _mm256_setzero_si256());
  return ~static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(zero))) & 255u;
#else
  unsigned mask = 0;
  for (unsigned i = 0; i < 8; ++i) mask |= static_cast<unsigned>(sums[i] != 0) << i;
  return mask;
#endif
}
#endif

// Returns the number of cells; what lies behind them may be written over, up to 16 places.
int64_t take_block(uint32_t* sums, int64_t first, int32_t* columns, uint32_t* values) {
  int64_t cells = 0;
#if defined(__AVX512F__)
  const __m512i count = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (int64_t c = 0; c < kBlock; c += 16) {
    const __m512i x = _mm512_loadu_si512(sums + c);
    const __mmask16 mask = _mm512_test_epi32_mask(x, x);
    if (!mask) continue;
    const __m512i places = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first + c)), count);
    _mm512_storeu_si512(columns + cells, _mm512_maskz_compress_epi32(mask, places));
    _mm512_storeu_si512(values + cells, _mm512_maskz_compress_epi32(mask, x));
    _mm512_storeu_si512(sums + c, _mm512_setzero_si512());
    cells += __builtin_popcount(mask);
  }
#else
  for (int64_t c = 0; c < kBlock; c += 8)
    for (unsigned mask = used(sums + c); mask; mask &= mask - 1) {
      const int64_t place = c + __builtin_ctz(mask);
      columns[cells] = static_cast<int32_t>(first + place);
      values[cells++] = sums[place];
      sums[place] = 0;
    }
#endif
  return cells;
}

}  // namespace

int64_t take_sums(uint32_t* sums, uint8_t* marks, int64_t blocks, int32_t* columns, uint32_t* values) {
  int64_t cells = 0;
  for (int64_t b = 0; b < blocks; b += 8) {
    uint64_t eight;
    __builtin_memcpy(&eight, marks + b, 8);
    if (!eight) continue;
    __builtin_memset(marks + b, 0, 8);
    for (; eight; eight &= eight - 1) {  // a mark is 1
      const int64_t first = (b + __builtin_ctzll(eight) / 8) * kBlock;
      cells += take_block(sums + first, first, columns + cells, values + cells);
    }
  }
  return cells;
}

}  // namespace kxfast::cooccurrence::KXFAST_ISA
