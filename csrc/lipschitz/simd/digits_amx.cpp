// A matrix as digits of 8 bits, and sums of products of these: Gram matrices from integers, without roundings
// but for those of a few sums in double at the end. Compiled for AMX and, with emulated tiles, for any
// machine (core/amx.hpp).
//
// Digits: with 0x80 added to each of its bytes a number of 32 bits carries as it has to, and taken off again
// without carries they are the digits, with signs: two operations whatever their number.
//
// Products: a block of 32 x 32 sums is four tiles; two tiles of rows and two of columns are loaded for four
// products, at 2.4 of the 3.6 Tmac/s that one core does without loads where they come from the L2 cache, at
// 0.4 from the L3 cache. A tile of columns is one of rows with its words transposed. Both are written when
// digits are made; the next columns and the places of results are asked for meanwhile. All in all it is 1.4
// Tmac/s for 1024 x 4096: what comes from the L3 cache, and 200 ns until a block's sums can be stored, take
// the rest. Lost: transposing columns for each panel of rows (13 us beside 14 us of products); pieces of 256
// along, whose operands stay in the L1 cache, for all rows: sums are then written and read again, 72 ns, as
// long as 16 products; depths of 1024 and panels of other heights.
#include "conv/simd/vector.hpp"
#include "core/simd/transpose.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

constexpr int64_t kPair = 2 * kStrip;
constexpr matrix::Shapes kShapes = matrix::whole_tiles();

// The digits of 16 x 64 numbers, to a tile of each plane; the words of a tile transposed where TURNED.
template <bool TURNED, class T>
KXFAST_INLINE void whole_tile(const T* a, int64_t stride, double by, int64_t digits, int8_t* to,
                              int64_t plane) {
  constexpr uint32_t kBorrow = 0x80808080;
  constexpr int kRows = TURNED ? 4 : 1, kCols = TURNED ? kStrip : kAlong;  // to a row of a tile
  for (int64_t row = 0; row < kStrip; ++row) {
    uint32_t words[kRows][kCols];
    for (int r = 0; r < kRows; ++r) {
      const T* from = a + (row * kRows + r) * stride;
      for (int k = 0; k < kCols; ++k) {
        const auto number = static_cast<int32_t>(__builtin_rint(static_cast<double>(from[k]) * by));
        words[r][k] = (static_cast<uint32_t>(number) + kBorrow) ^ kBorrow;
      }
    }
    for (int64_t p = 0; p < digits; ++p) {
      const int shift = static_cast<int>(8 * (digits - 1 - p));
      int8_t* bytes = to + p * plane + row * kAlong;
      if constexpr (TURNED) {
        uint32_t* four = reinterpret_cast<uint32_t*>(bytes);
        for (int k = 0; k < kCols; ++k)
          four[k] = (words[0][k] >> shift & 255) | (words[1][k] >> shift & 255) << 8 |
                    (words[2][k] >> shift & 255) << 16 | (words[3][k] >> shift & 255) << 24;
      } else {
        for (int k = 0; k < kCols; ++k) bytes[k] = static_cast<int8_t>(words[0][k] >> shift);
      }
    }
  }
}

KXFAST_INLINE int32_t squares_of(const int8_t* digits) {
  int32_t sum = 0;
  for (int64_t i = 0; i < kTileBytes; ++i) sum += int32_t{digits[i]} * int32_t{digits[i]};
  return sum;
}

template <class T>
void digits_of(const T* a, int64_t rows, int64_t cols, int64_t down, int64_t along, double by,
               const DigitPlanes& to, int64_t* squares) {
  const bool turned = along != 1;  // neighbours are of different rows
  int8_t *whole = turned ? to.columns : to.rows, *other = turned ? to.rows : to.columns;
  for (int64_t k = 0; k < cols; k += kAlong, whole += kTileBytes, other += kTileBytes) {
    const int64_t here = cols - k < kAlong ? cols - k : kAlong;
    const T* from = a + k * along;
    int64_t stride = turned ? along : down;
    T copy[kTileBytes];  // with zeros around what is there
    if (rows < kStrip || here < kAlong) {
      for (T& each : copy) each = 0;
      const int64_t high = turned ? here : rows, wide = turned ? rows : here,
                    width = turned ? kStrip : kAlong;
      for (int64_t i = 0; i < high; ++i)
        for (int64_t j = 0; j < wide; ++j) copy[i * width + j] = from[i * stride + j];
      from = copy, stride = width;
    }
    if (turned)
      whole_tile<true>(from, stride, by, to.digits, whole, to.plane);
    else
      whole_tile<false>(from, stride, by, to.digits, whole, to.plane);
    for (int64_t p = 0; p < to.digits; ++p) {
      squares[p] += squares_of(whole + p * to.plane);
      matrix::KXFAST_ISA::transpose_tile(reinterpret_cast<const float*>(whole + p * to.plane),
                                         reinterpret_cast<float*>(other + p * to.plane));
    }
  }
}

// One row of a block's sums, added or, where FRESH, put; several loops, or weights in memory, took as long as
// all products.
static_assert(kGroups == 3);
template <bool FRESH>
KXFAST_INLINE void add_weighted(const int32_t* a, const int32_t* b, const int32_t* c, const double* weights,
                                double* __restrict to) {
  const double x = weights[0], y = weights[1], z = weights[2];
  for (int64_t j = 0; j < kPair; ++j) {
    const double sum =
        (x * static_cast<double>(a[j]) + y * static_cast<double>(b[j])) + z * static_cast<double>(c[j]);
    to[j] = FRESH ? sum : to[j] + sum;
  }
}

// Asks for the lines of memory that will be needed, a few at a time.
struct Ahead {
  const int8_t* at;
  int64_t left;  // bytes
  KXFAST_INLINE void fetch() {
    constexpr int64_t kLine = 64, kMost = 4 * kLine;
    for (int64_t i = 0; i < kMost && left > 0; i += kLine, at += kLine, left -= kLine)
      __builtin_prefetch(at, 0, 2);
  }
};

// Adds `count` tiles along of rows `a` times columns `b`, two strips of each, of one pair of digits.
KXFAST_INLINE void multiply(matrix::Tiles& tiles, const int8_t* a, const int8_t* b, int64_t strip,
                            int64_t count, Ahead& ahead) {
  for (int64_t k = 0; k < count; ++k, a += kTileBytes, b += kTileBytes) {
    tiles.load<4>(a, kAlong);
    tiles.load<6>(b, kAlong);
    tiles.load<7>(b + strip, kAlong);
    tiles.multiply_bytes<0, 4, 6>();
    tiles.multiply_bytes<1, 4, 7>();
    tiles.load<5>(a + strip, kAlong);
    tiles.multiply_bytes<2, 5, 6>();
    tiles.multiply_bytes<3, 5, 7>();
    ahead.fetch();
  }
}

}  // namespace

void to_digits(const float* a, int64_t rows, int64_t cols, int64_t down, int64_t along, double by,
               const DigitPlanes& to, int64_t* squares) {
  digits_of(a, rows, cols, down, along, by, to, squares);
}
void to_digits(const double* a, int64_t rows, int64_t cols, int64_t down, int64_t along, double by,
               const DigitPlanes& to, int64_t* squares) {
  digits_of(a, rows, cols, down, along, by, to, squares);
}

void add_digit_products(const DigitBlock& block, int64_t first, int64_t last, int64_t column) {
  alignas(64) int32_t sums[kGroups][kPair][kPair];
  constexpr int64_t kApart = sizeof sums[0][0];
  const int64_t strip = block.strip, pair = 2 * strip, plane = block.planes.plane;
  double weights[kGroups] = {};
  for (int g = 0; g < block.groups; ++g) weights[g] = block.pairs[g].weight;
  for (int g = block.groups; g < kGroups; ++g) std::memset(sums[g], 0, sizeof sums[g]);
  matrix::Tiles tiles;
  tiles.configure(kShapes);
  const int8_t* next = block.planes.columns + (column + 1) * pair;
  Ahead ahead{next, column + 1 < block.columns ? pair : 0};
  int64_t digit = 0;
  for (int64_t i = first; i < last; ++i) {
    double* to = block.g + i * kPair * block.stride + column * kPair;
    for (int64_t r = 0; r < kPair; ++r)
      for (int64_t j = 0; j < kPair; j += 8) __builtin_prefetch(to + r * block.stride + j, 1);
    for (int g = 0; g < block.groups; ++g) {
      const DigitPairs& pairs = block.pairs[g];
      tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
      for (int p = 0; p < pairs.count; ++p) {
        multiply(tiles, block.planes.rows + pairs.first[p] * plane + i * pair,
                 block.planes.columns + pairs.second[p] * plane + column * pair, strip, block.along, ahead);
        if (ahead.left <= 0 && column + 1 < block.columns && ++digit < block.planes.digits)
          ahead = {next + digit * plane, pair};
      }
      tiles.store<0>(sums[g][0], kApart), tiles.store<1>(sums[g][0] + kStrip, kApart);
      tiles.store<2>(sums[g][kStrip], kApart), tiles.store<3>(sums[g][kStrip] + kStrip, kApart);
    }
    for (int64_t r = 0; r < kPair; ++r)
      (block.fresh ? add_weighted<true> : add_weighted<false>)(sums[0][r], sums[1][r], sums[2][r], weights,
                                                               to + r * block.stride);
  }
  tiles.release();
}

}  // namespace kxfast::lipschitz::KXFAST_ISA
