// Products of floats by products of bfloat16 in tiles, with the rounding of floats or less exact
// (simd/halves_amx.cpp).
//
// A float is the sum of three parts. Strips of 16 rows are tiles of 16 x 32 numbers, of each block of depth
// the three parts one after another; those of columns have their words transposed.
#pragma once

#include <cstdint>

#include "core/isa.hpp"

namespace kxfast::matrix {

constexpr int64_t kStrip = 16, kParts = 3, kHalfDepth = 32, kTileHalves = kStrip * kHalfDepth;

struct HalfBlock {
  const uint16_t *rows, *columns;
  int64_t row, strip, part;     // of rows: numbers to the next row, strip, part
  const int64_t* places;        // where rows begin, for each block of depth
  int64_t depth, count, width;  // blocks, rows, columns
  const float* bias;            // or null
  const int64_t* number;        // of the row of the result, -1: nowhere
  float* out;
  int64_t stride;
  bool add = false;  // to the result, instead of the bias
};

// to_halves: a strip of up to 16 rows of `cols` floats; column_halves: the same of rows that stand as
// columns, number k of all of them at from + k stride. spread_halves: floats, a multiple of 32, with parts
// `part` apart. multiply_halves: out = rows columns' + bias; `products`: 6 for the rounding of floats, 3 for
// 2^-15, 1 for 2^-6.
struct HalfKernels {
  void (*to_halves)(const float* from, int64_t rows, int64_t cols, int64_t stride, bool turned, uint16_t* to);
  void (*column_halves)(const float* from, int64_t rows, int64_t cols, int64_t stride, bool turned,
                        uint16_t* to);
  void (*spread_halves)(const float* from, int64_t count, uint16_t* to, int64_t part);
  void (*multiply_halves)(const HalfBlock& block, int products);
};

namespace emulated {
extern const HalfKernels kHalfKernels;
}
#ifdef KXFAST_X86
namespace amx {
extern const HalfKernels kHalfKernels;
}
#endif

// Where there are tiles, or tests emulate them.
inline const HalfKernels& half_kernels() {
#ifdef KXFAST_X86
  if (half_products() == HalfProducts::tiles) return amx::kHalfKernels;
#endif
  return emulated::kHalfKernels;
}

}  // namespace kxfast::matrix
