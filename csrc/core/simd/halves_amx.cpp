// Products of floats from products of bfloat16 in tiles, with the rounding of floats or less exact. Compiled
// for AMX and, with emulated tiles, for any machine (core/amx.hpp).
//
// A float is the sum of three numbers of bfloat16, exactly: the upper half of its bits, the rest rounded, and
// what is left, each 2^-8 of the one before or less. Of the nine products of parts six matter to a float,
// three leave out 2^-15 of a product at most, and one 2^-6. A tile of sums is 16 x 16; two tiles of rows and
// two of columns make four of them, over all of the depth, so that sums are written once. The order of the
// products is the one in which only one side changes from each to the next: 14 tiles are loaded for 24
// products of six, at most 37 bytes a cycle, which the L2 cache gives. Sums go through 4 KB of the L1 cache
// to the result, some rows after each block of depth of the sums that follow; their places are asked for
// while they are computed, 7 % for linear layers of 2048 rows whose results are no longer in a cache.
//
// Columns are strips of 16, a tile for each block of 32 along the depth and each part, one after another, as
// those of rows would be with their words transposed. Rows are such strips too, or wherever 16 of them are
// equally far apart: pixels of an image. With a stride of one no other place is needed for the taps.
#include "core/halves.hpp"
#include "core/simd/transpose.hpp"

#define KXFAST_INLINE inline __attribute__((always_inline))

namespace kxfast::matrix::KXFAST_ISA {
namespace {

constexpr int64_t kPair = 2 * kStrip, kBytes = 2 * kHalfDepth;
constexpr Shapes kShapes = whole_tiles();

// The upper half of each word is a part.
struct Parts {
  uint32_t high, middle, low;
};
KXFAST_INLINE Parts parts_of(float from) {
  constexpr uint32_t kUpper = 0xFFFF0000, kHalf = 0x8000;
  Parts made;
  std::memcpy(&made.high, &from, 4);
  made.high &= kUpper;
  float part, rest;
  std::memcpy(&part, &made.high, 4);
  rest = from - part;
  std::memcpy(&made.middle, &rest, 4);
  made.middle = (made.middle + kHalf) & kUpper;
  std::memcpy(&part, &made.middle, 4);
  rest -= part;
  std::memcpy(&made.low, &rest, 4);
  return made;
}

// 32 floats to their parts.
KXFAST_INLINE void split(const float* from, uint16_t* to, int64_t next) {
  for (int64_t k = 0; k < kHalfDepth; ++k) {
    const Parts made = parts_of(from[k]);
    to[k] = static_cast<uint16_t>(made.high >> 16);
    to[next + k] = static_cast<uint16_t>(made.middle >> 16);
    to[2 * next + k] = static_cast<uint16_t>(made.low >> 16);
  }
}

// Two times 16 floats to their parts, side by side.
KXFAST_INLINE void split_pairs(const float* first, const float* second, uint32_t* to) {
  constexpr int64_t kNext = kTileHalves / 2;
  for (int64_t i = 0; i < kStrip; ++i) {
    const Parts a = parts_of(first[i]), b = parts_of(second[i]);
    to[i] = a.high >> 16 | b.high;
    to[kNext + i] = a.middle >> 16 | b.middle;
    to[2 * kNext + i] = a.low >> 16 | (b.low & 0xFFFF0000);
  }
}

KXFAST_INLINE void transpose_parts(uint16_t* tile) {
  for (int64_t part = 0; part < kParts; ++part, tile += kTileHalves) {
    float words[kTileHalves / 2];
    std::memcpy(words, tile, sizeof words);
    transpose_tile(words, reinterpret_cast<float*>(tile));
  }
}

// Parts of rows and columns, from the most to the least.
enum Part { kHigh, kMiddle, kLow };

// Four tiles of sums, or two where only one strip of rows or columns is there.
struct Square {
  Tiles& tiles;
  const uint16_t *a, *b;  // of this block of depth
  int64_t row, a_strip, part,
      b_strip;      // of rows and columns: bytes to the next row, numbers to the next others
  bool high, wide;  // two strips of rows, of columns

  template <Part PART>
  KXFAST_INLINE void rows() {
    tiles.load<4>(a + PART * part, row);
    if (high) tiles.load<5>(a + a_strip + PART * part, row);
  }
  template <Part PART>
  KXFAST_INLINE void columns() {
    tiles.load<6>(b + PART * kTileHalves, kBytes);
    if (wide) tiles.load<7>(b + b_strip + PART * kTileHalves, kBytes);
  }
  KXFAST_INLINE void multiply() {
    tiles.multiply<0, 4, 6>();
    if (wide) tiles.multiply<1, 4, 7>();
    if (high) tiles.multiply<2, 5, 6>();
    if (high && wide) tiles.multiply<3, 5, 7>();
  }
  template <int PRODUCTS>
  KXFAST_INLINE void step() {
    if constexpr (PRODUCTS == 6) {
      rows<kLow>(), columns<kHigh>(), multiply();
      rows<kHigh>(), multiply();
      columns<kLow>(), multiply();
      columns<kMiddle>(), multiply();
      rows<kMiddle>(), multiply();
      columns<kHigh>(), multiply();
    } else if constexpr (PRODUCTS == 3) {
      rows<kMiddle>(), columns<kHigh>(), multiply();
      rows<kHigh>(), multiply();
      columns<kMiddle>(), multiply();
    } else {
      rows<kHigh>(), columns<kHigh>(), multiply();
    }
  }
};

// Sums of one square on their way to the result.
struct Done {
  alignas(64) float at[kPair][kPair];
  int64_t row, column, next, last;
};

KXFAST_INLINE void put_row(const float* __restrict sum, const float* __restrict bias, bool add, int64_t width,
                           float* __restrict to) {
  if (bias)
    for (int64_t j = 0; j < width; ++j) to[j] = sum[j] + bias[j];
  else if (add)
    for (int64_t j = 0; j < width; ++j) to[j] += sum[j];
  else
    for (int64_t j = 0; j < width; ++j) to[j] = sum[j];
}

KXFAST_INLINE void finish(const HalfBlock& block, Done& done, int64_t count) {
  const int64_t width = block.width - done.column;
  const float* bias = block.bias ? block.bias + done.column : nullptr;
  for (; count > 0 && done.next < done.last; --count, ++done.next) {
    const int64_t number = block.number[done.row + done.next];
    if (number < 0) continue;
    float* to = block.out + number * block.stride + done.column;
    put_row(done.at[done.next], bias, block.add, width < kPair ? width : kPair, to);
  }
}

// The places of rows of a square of sums, on their way to the cache while it is computed.
KXFAST_INLINE void fetch(const HalfBlock& block, int64_t row, int64_t column, int64_t count) {
  const int64_t end = row + count < block.count ? row + count : block.count;
  for (; row < end; ++row) {
    const float* to = block.out + block.number[row] * block.stride + column;
    __builtin_prefetch(to, 1), __builtin_prefetch(to + kPair / 2, 1);
  }
}

template <int PRODUCTS>
void run(const HalfBlock& block) {
  const int64_t strip = block.depth * kParts * kTileHalves, each = (kPair + block.depth - 1) / block.depth;
  Tiles tiles;
  tiles.configure(kShapes);
  Done both[2];
  both[1].next = both[1].last = 0;
  int turn = 0;
  for (int64_t column = 0; column < block.width; column += kPair)
    for (int64_t row = 0; row < block.count; row += kPair, turn ^= 1) {
      Done &here = both[turn], &before = both[turn ^ 1];
      const uint16_t* rows = block.rows + row / kStrip * block.strip;
      Square square{tiles,
                    rows,
                    block.columns + column / kStrip * strip,
                    2 * block.row,
                    block.strip,
                    block.part,
                    strip,
                    block.count - row > kStrip,
                    block.width - column > kStrip};
      tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
      for (int64_t k = 0; k < block.depth; ++k, square.b += kParts * kTileHalves) {
        square.a = rows + block.places[k];
        square.step<PRODUCTS>();
        finish(block, before, each);
        fetch(block, row + k * each, column, each);
      }
      finish(block, before, kPair);
      constexpr int64_t kApart = sizeof here.at[0];
      tiles.store<0>(here.at[0], kApart), tiles.store<1>(here.at[0] + kStrip, kApart);
      tiles.store<2>(here.at[kStrip], kApart), tiles.store<3>(here.at[kStrip] + kStrip, kApart);
      here.row = row, here.column = column, here.next = 0;
      here.last = block.count - row < kPair ? block.count - row : kPair;
    }
  tiles.release();
  finish(block, both[turn ^ 1], kPair);
}

// A block of 16 x 32 with zeros beside what is there, or where it is.
KXFAST_INLINE const float* whole(const float* from, int64_t high, int64_t wide, int64_t rows, int64_t cols,
                                 int64_t& stride, float* copy) {
  if (rows == high && cols == wide) return from;
  for (int64_t i = 0; i < high; ++i)
    for (int64_t j = 0; j < wide; ++j) copy[i * wide + j] = i < rows && j < cols ? from[i * stride + j] : 0;
  stride = wide;
  return copy;
}

void to_halves(const float* from, int64_t rows, int64_t cols, int64_t stride, bool turned, uint16_t* to) {
  for (int64_t k = 0; k < cols; k += kHalfDepth, to += kParts * kTileHalves) {
    float copy[kTileHalves];
    int64_t step = stride;
    const float* block =
        whole(from + k, kStrip, kHalfDepth, rows, cols - k < kHalfDepth ? cols - k : kHalfDepth, step, copy);
    for (int64_t i = 0; i < kStrip; ++i) split(block + i * step, to + i * kHalfDepth, kTileHalves);
    if (turned) transpose_parts(to);
  }
}

void column_halves(const float* from, int64_t rows, int64_t cols, int64_t stride, bool turned, uint16_t* to) {
  for (int64_t k = 0; k < cols; k += kHalfDepth, to += kParts * kTileHalves) {
    float copy[kTileHalves];
    int64_t step = stride;
    const float* block = whole(from + k * stride, kHalfDepth, kStrip,
                               cols - k < kHalfDepth ? cols - k : kHalfDepth, rows, step, copy);
    for (int64_t i = 0; i < kStrip; ++i)
      split_pairs(block + 2 * i * step, block + (2 * i + 1) * step,
                  reinterpret_cast<uint32_t*>(to) + i * kStrip);
    if (!turned) transpose_parts(to);
  }
}

void spread_halves(const float* from, int64_t count, uint16_t* to, int64_t part) {
  for (int64_t k = 0; k < count; k += kHalfDepth) split(from + k, to + k, part);
}

void multiply_halves(const HalfBlock& block, int products) {
  products == 6 ? run<6>(block) : products == 3 ? run<3>(block) : run<1>(block);
}

}  // namespace

const HalfKernels kHalfKernels{to_halves, column_halves, spread_halves, multiply_halves};

}  // namespace kxfast::matrix::KXFAST_ISA
