// Kernels of the stem conv, one set per instruction set. Rows are positions of sequences; a block is some
// rows by one panel of columns, as wide as a register tile.
#pragma once

#include <cstdint>

#include "core/half.hpp"
#include "core/isa.hpp"

namespace kxfast::conv {

enum class Skip : int { gated, none, add };

// A panel of gated columns holds `vectors` registers of candidates and as many of gates, or one of each where
// no more than `lanes` channels are left.
struct Tiling {
  int64_t lanes, vectors;
  int64_t channels() const { return lanes * vectors; }
};

// The products of a block: row i of tap a is the `channels` values at rows[a * stride + i].
template <class T>
struct Products {
  const T* const* rows;
  int64_t stride, count, taps, channels;
};

// How many channels in stand together in weights, so that their products are made in one instruction.
template <class T>
constexpr int64_t kTogether = sizeof(Wide<T>) / sizeof(T);

// What becomes of candidates and gates; pointers stand at the panel's first channel.
template <class T>
struct GatedBlock {
  Products<T> in;
  const T *candidate, *gate;  // weights: `step` elements from kTogether channels in to the next
  int64_t step;
  int64_t panel;  // from one panel to the next: kernels of tiles take several of 16 channels at once,
                  // those of what was kept all (in channels)
  const Wide<T>*candidate_bias, *gate_bias;  // or null
  int64_t width;                             // channels of the panel
  int64_t channels;                          // of all panels: the stride of scale, y and dy
  Skip skip;
  Wide<T> sign;             // -1: the gate keeps the input
  const Wide<T>* scale;     // of gate logits, by row number; or null
  const int64_t* number;    // of each row
  const T* const* skipped;  // by row of the block; offset by skipped_offset
  int64_t skipped_offset;
  T* y;
  Wide<T>* kept;         // candidates and, `channels` further, open shares, by row number; or null
  const Wide<T>* parts;  // the same, read
  const T* dy;
  T* dz;
  Wide<T>* dskip;  // or null
  int64_t dz_stride, dskip_stride;
  T* pairs;  // of Bfloat16: two neighbouring rows of dz side by side, by row of the block
  int64_t pairs_stride;
};

// out = products with a panel of `width` columns, plus bias, plus what is there if `add`.
template <class T>
struct LinearBlock {
  Products<T> in;
  const T* weight;
  const T* bias;  // or null
  int64_t width;
  const int64_t* number;
  Wide<T>* out;
  int64_t out_stride;
  bool add;
  T* rounded = nullptr;  // takes the sum in place of out
  bool relu = false;
};

// sum (height, width) = or, unless `fresh`, += over rows t of x[t][x_first ...] outer z[t][z_first ...].
template <class T>
struct OuterBlock {
  const T *const *x, *const *z;
  int64_t x_first, z_first, count, height, width;
  T* sum;
  bool fresh;
};

// The same with pairs of rows, side by side in x and z, `x_stride` and `z_stride` elements apart.
template <>
struct OuterBlock<Bfloat16> {
  const Bfloat16 *x, *z;
  int64_t x_stride, z_stride, count, height, width;
  float* sum;
};

// sum (32, 32) = sum over blocks of 32 rows of x, two tiles of 16 channels by 32 rows, and z, 16 pairs of
// rows `z_stride` elements apart.
struct OuterTiles {
  const Bfloat16 *x, *z;
  int64_t z_stride, count;
  float* sum;
};

enum class Pool : int { largest, mean };

// out = the largest row, or the sum, or the sum times the weights; rows where the mask is false are not read.
template <class T>
struct PoolBlock {
  Pool way;
  const T* x;
  const bool* mask;  // or null
  const T* weight;   // or null
  int64_t length, stride, width;
  T* out;
};

// scores += act(z + bias) output, by rows.
template <class T>
struct ScoreBlock {
  const T *z, *bias, *output;  // bias may be null
  int64_t stride, count, width;
  bool swish;  // or tanh
  T* scores;
};

// What three taps are at the points of conv/filtering.hpp, of some rows of a weight: `width` columns of each
// and zeros up to `padded`; or of a square, to be transposed.
struct FilterBlock {
  const float* weight;
  int64_t tap, row, rows, width, padded;  // elements from tap to tap, from row to row
  float* to;
  int64_t to_point, to_row;
};

// Gradients of three taps from those at the points: of `width` columns of candidates and as many of gates,
// `half` elements after them.
struct TapsBlock {
  const float* from[4];
  int64_t half, row, rows, width;  // elements from row to row
  float* to[2];
  int64_t to_tap, to_row;
};

#define KXFAST_DECLARE_TYPE(T)                                                                      \
  Tiling tiling(T);                                                                                 \
  void gated_forward(const GatedBlock<T>& block);                                                   \
  void gated_backward(const GatedBlock<T>& block); /* to dz and dskip */                            \
  void gated_parts(const GatedBlock<T>& block);    /* candidates and open shares to dz */           \
  void kept_backward(const GatedBlock<T>& block);  /* both from what a forward pass has kept */     \
  void kept_parts(const GatedBlock<T>& block);                                                      \
  void linear(const LinearBlock<T>& block);                                                         \
  void transpose(const T* from, int64_t from_stride, T* to, int64_t to_stride); /* lanes x lanes */ \
  void outer(const OuterBlock<T>& block);                                                           \
  void relu_pair_sum(const GatedBlock<T>& block); /* to y */                                        \
  void pool_rows(const PoolBlock<T>& block);                                                        \
  void score_rows(const ScoreBlock<T>& block);
#define KXFAST_DECLARE(set)                                                                                  \
  namespace set {                                                                                            \
  KXFAST_DECLARE_TYPE(float)                                                                                 \
  KXFAST_DECLARE_TYPE(double)                                                                                \
  /* conv/filtering.hpp: rows are the values of pairs at points, `number` those of both rows of each pair */ \
  void filtered_forward(const GatedBlock<float>& block);                                                     \
  void filtered_linear(const LinearBlock<float>& block);                                                     \
  void mix_rows(const float* a, const float* b, float sign, const float* c, const float* d, int64_t count,   \
                float* const* to);                                                                           \
  void filter_rows(const float* const* d, int64_t count, float* const* to);                                  \
  void filter_weight(const FilterBlock& block);                                                              \
  void filter_turned(const FilterBlock& block);                                                              \
  void weight_taps(const TapsBlock& block);                                                                  \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#define KXFAST_DECLARE_HALF(set)                                                      \
  namespace set {                                                                     \
  void gated_forward(const GatedBlock<Bfloat16>& block);                              \
  void kept_backward(const GatedBlock<Bfloat16>& block);                              \
  void linear(const LinearBlock<Bfloat16>& block);                                    \
  /* to: a[0] b[0] a[1] b[1] ... */                                                   \
  void interleave(const Bfloat16* a, const Bfloat16* b, int64_t count, Bfloat16* to); \
  }
#define KXFAST_DECLARE_TILES(set)                                                   \
  namespace set {                                                                   \
  /* 32 rows by at most 16 channels to a tile of 16 channels by 32 rows */          \
  void transpose_rows(const Bfloat16* const* rows, int64_t channels, Bfloat16* to); \
  void outer_tiles(const OuterTiles& block);                                        \
  }
KXFAST_DECLARE_HALF(emulated)
KXFAST_DECLARE_TILES(emulated)
#ifdef KXFAST_X86
KXFAST_DECLARE_HALF(avx512_bf16)
namespace avx512_bf16 {
void outer(const OuterBlock<Bfloat16>& block);
}
KXFAST_DECLARE_HALF(amx)
KXFAST_DECLARE_TILES(amx)
#endif
#undef KXFAST_DECLARE_TILES
#undef KXFAST_DECLARE_HALF
#undef KXFAST_DECLARE
#undef KXFAST_DECLARE_TYPE

}  // namespace kxfast::conv
