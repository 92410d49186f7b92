// Rows as a tile of 64, transposed, times a scale: out[k][row], of bfloat16, as they are, in pairs
// out[k / 2][row][2]; zeros where rows end. Four by four elements at a time, as four vectors of 16 or 32
// bytes that are interleaved twice, about one cycle for each element; floats with AVX-512 sixteen rows at a
// time, a third of that.
#include "attention/simd/transpose.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

template <class T>
inline void transpose_four(const T* const* row, int64_t k, T scale, T* out) {
  typedef T Four __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
  Four x[4];
  for (int i = 0; i < 4; ++i) x[i] = *reinterpret_cast<const Four*>(row[i] + k);
  const Four a = __builtin_shufflevector(x[0], x[1], 0, 4, 1, 5),
             b = __builtin_shufflevector(x[0], x[1], 2, 6, 3, 7);
  const Four c = __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5),
             d = __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7);
  const Four y[4] = {__builtin_shufflevector(a, c, 0, 1, 4, 5), __builtin_shufflevector(a, c, 2, 3, 6, 7),
                     __builtin_shufflevector(b, d, 0, 1, 4, 5), __builtin_shufflevector(b, d, 2, 3, 6, 7)};
  for (int i = 0; i < 4; ++i) *reinterpret_cast<Four*>(out + (k + i) * kTile) = y[i] * scale;
}

// Packs columns of sixteen rows, as many as come in fours, where there is a way to; returns how many.
template <class T>
inline int64_t pack_sixteen(const T* const*, int64_t, T, T*) {
  return 0;
}
#if defined(__AVX512F__)
inline int64_t pack_sixteen(const float* const* row, int64_t d, float scale, float* out) {
  int64_t k = 0;
  const auto scaled = [scale](__m512 x) { return _mm512_mul_ps(x, _mm512_set1_ps(scale)); };
  for (; k + 4 <= d; k += 4) transpose_sixteen(row, k, out + k * kTile, kTile, scaled);
  return k;
}
#endif

template <class T>
void pack(const Source<T>& x, T* out) {
  for (int64_t j = 0; j < kTile; j += 16) {
    const T* row[16];
    for (int64_t i = 0; i < 16; ++i) row[i] = x.row(j + i < x.rows ? j + i : 0);
    int64_t k = j + 16 <= x.rows ? pack_sixteen(row, x.d, x.scale, out + j) : 0;
    if (j + 16 <= x.rows)
      for (; k + 4 <= x.d; k += 4)
        for (int64_t i = 0; i < 16; i += 4) transpose_four(row + i, k, x.scale, out + j + i);
    for (; k < x.d; ++k)
      for (int64_t i = 0; i < 16; ++i) out[k * kTile + j + i] = j + i < x.rows ? row[i][k] * x.scale : T{0};
  }
}

#if defined(__AVX512F__)
// Eight columns of 32 rows: pairs of columns are transposed, and their numbers sorted.
inline void columns_of_pairs(const Bfloat16* x, int64_t width, Bfloat16* out) {
  alignas(64) float pairs[4][2][16];
  for (int64_t half = 0; half < 2; ++half) {
    const Bfloat16* row[16];
    for (int64_t i = 0; i < 16; ++i) row[i] = x + (16 * half + i) * width;
    transpose_sixteen(row, 0, pairs[0][half], 2 * 16);
  }
  alignas(64) uint16_t even[32], odd[32];
  for (uint16_t i = 0; i < 32; ++i) even[i] = 2 * i, odd[i] = 2 * i + 1;
  for (int64_t k = 0; k < 4; ++k, out += 2 * kCell) {
    const __m512i low = _mm512_load_si512(pairs[k][0]), high = _mm512_load_si512(pairs[k][1]);
    _mm512_storeu_si512(out, _mm512_permutex2var_epi16(low, _mm512_load_si512(even), high));
    _mm512_storeu_si512(out + kCell, _mm512_permutex2var_epi16(low, _mm512_load_si512(odd), high));
  }
}
#endif

// Pairs of channels in place of single ones.
void pack_halves(const Source<Bfloat16>& x, Bfloat16* out) {
  for (int64_t j = 0; j < kTile; j += 16, out += 2 * 16) {
    const Bfloat16* row[16];
    for (int64_t i = 0; i < 16; ++i) row[i] = x.row(j + i < x.rows ? j + i : 0);
    int64_t k = 0;
#if defined(__AVX512F__)
    if (j + 16 <= x.rows)
      for (; k + 8 <= x.d; k += 8)
        transpose_sixteen(row, k, reinterpret_cast<float*>(out + k * kTile), kTile);
#endif
    for (; k < x.d; k += 2)
      for (int64_t i = 0; i < 16; ++i) {
        Bfloat16* to = out + k * kTile + 2 * i;
        to[0] = j + i < x.rows ? row[i][k] : Bfloat16{};
        to[1] = j + i < x.rows && k + 1 < x.d ? row[i][k + 1] : Bfloat16{};
      }
    for (; k < packed_columns<Bfloat16>(x.d); k += 2)
      for (int64_t i = 0; i < 2 * 16; ++i) out[k * kTile + i] = {};
  }
}

}  // namespace

void pack_tiles(const Source<Bfloat16>& x, Bfloat16* out) {
  pack_halves(x, out);
}

// Rows (rows, width) two by two: out[pair][column][2], zeros up to packed_rows(rows).
void pack_pairs(const Bfloat16* x, int64_t rows, int64_t width, Bfloat16* out) {
  const int64_t all = packed_rows(rows);
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2, x += 2 * width, out += 2 * width)
    for (int64_t j = 0; j < width; ++j) out[2 * j] = x[j], out[2 * j + 1] = x[width + j];
  for (; r < all; r += 2, out += 2 * width)
    for (int64_t j = 0; j < width; ++j) {
      out[2 * j] = r < rows ? x[j] : Bfloat16{};
      out[2 * j + 1] = {};
    }
}

// Rows (rows, width) 32 by 32 as columns: out[part][column][32], zeros up to packed_rows(rows); a width of
// tiles.
void pack_columns(const Bfloat16* x, int64_t rows, int64_t width, Bfloat16* out) {
  for (int64_t r = 0, all = packed_rows(rows); r < all; r += kCell, out += kCell * width) {
    int64_t j = 0;
#if defined(__AVX512F__)
    if (r + kCell <= rows)
      for (; j < width; j += 8) columns_of_pairs(x + r * width + j, width, out + j * kCell);
#endif
    for (; j < width; ++j)
      for (int64_t i = 0; i < kCell; ++i)
        out[j * kCell + i] = r + i < rows ? x[(r + i) * width + j] : Bfloat16{};
  }
}

void pack_tiles(const Source<float>& x, float* out) {
  pack(x, out);
}
void pack_tiles(const Source<double>& x, double* out) {
  pack(x, out);
}

}  // namespace kxfast::attention::KXFAST_ISA
