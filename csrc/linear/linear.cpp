// Linear layers and their gradients: products a b' of floats, in three parts each, in tiles of bfloat16
// (core/halves.hpp).
//
// The matrix with fewer rows is packed first, by all threads; then a task is a block of rows of the other
// one, which it packs for itself, so that they are in its core's second level cache while all of the first
// passes, mostly from the third. Matrices are packed from rows or from columns, for the three products of a
// layer need both of x, of its weights and of the gradient. Deep products, gradients of weights, go by
// blocks of depth, so that rows in parts fit that cache: sums of a block begin at 0 and are added to the
// result. For layers of 2048 rows, 256 to 2048 wide, two cores of a Xeon make 560 to 640 Gflop/s forward, 500
// to 600 for gradients of x and 300 to 560 for those of weights, MKL 310 to 400 for all; the kernel does 940
// with everything in the second level cache, packing is a tenth to a fifth of the time.
//
// Tried and lost: tasks of rows of a alone, for gradients of weights with fewer rows than columns (a third
// slower); blocks of depth of 256 and 1024 (2 to 10 % slower); rows asked for ahead while columns are packed
// (no gain).
#include "linear/linear.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/halves.hpp"
#include "core/threads.hpp"
#include "core/workspace.hpp"

namespace kxfast::linear {
namespace {

using matrix::kHalfDepth;
using matrix::kStrip;

constexpr int64_t kTile = matrix::kParts * matrix::kTileHalves;  // of all parts
constexpr int64_t kDeep = 512, kLeast = 64, kMost = 256;         // depth of a block, rows of a task
constexpr int64_t kPacked = 128;                                 // shared rows packed by a task
constexpr int64_t kPair = 2 * kStrip;                            // rows that the kernel takes at a time

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// `count` rows from `row` on, of a block of depth that begins at `first`, as strips. Of matrices that stand
// as columns all strips of a few rows in memory are made, one after another, before the next ones: else
// each line of the cache would be on another page than the one before.
void pack(const matrix::HalfKernels& kernels, const Matrix& x, int64_t row, int64_t count, int64_t first,
          int64_t depth, bool turned, uint16_t* to) {
  const int64_t strip = ceil_div(depth, kHalfDepth) * kTile, step = x.along == 1 ? depth : kHalfDepth;
  const auto kernel = x.along == 1 ? kernels.to_halves : kernels.column_halves;
  for (int64_t k = 0; k < depth; k += step)
    for (int64_t r = 0; r < count; r += kStrip)
      kernel(x.data + (row + r) * x.down + (first + k) * x.along, std::min(kStrip, count - r),
             std::min(step, depth - k), x.along == 1 ? x.down : x.along, turned,
             to + r / kStrip * strip + k / kHalfDepth * kTile);
}

}  // namespace

void multiply(const Matrix& a, const Matrix& b, const float* bias, float* out) {
  const matrix::HalfKernels& kernels = matrix::half_kernels();
  const bool by_rows = a.rows >= b.rows;
  const Matrix &own = by_rows ? a : b, &shared = by_rows ? b : a;
  const int64_t depth = a.depth, tiles = ceil_div(depth, kHalfDepth), strips = ceil_div(shared.rows, kStrip);
  const int64_t blocks = ceil_div(depth, kDeep), each = ceil_div(tiles, blocks);  // tiles of a block
  const auto begin = [&](int64_t block) { return std::min(block * each * kHalfDepth, depth); };
  const auto deep = [&](int64_t block) { return begin(block + 1) - begin(block); };
  Buffer<uint16_t> packed(static_cast<size_t>(tiles * strips * kTile));
  const auto place = [&](int64_t block, int64_t row) {
    return packed.data() + (block * each * strips + row / kStrip * ceil_div(deep(block), kHalfDepth)) * kTile;
  };
  const int64_t groups = ceil_div(shared.rows, kPacked);
  const auto pack_shared = [&](int64_t index) {
    const int64_t block = index / groups, first = index % groups * kPacked;
    pack(kernels, shared, first, std::min(kPacked, shared.rows - first), begin(block), deep(block), by_rows,
         place(block, first));
  };
  parallel_for(blocks * groups, pack_shared);
  // How high a task is changes no sum.
  const int64_t height = std::clamp(ceil_div(own.rows, 2 * num_threads() * kLeast) * kLeast, kLeast, kMost);
  std::vector<int64_t> places(static_cast<size_t>(each)), numbers(static_cast<size_t>(kMost));
  for (int64_t k = 0; k < each; ++k) places[static_cast<size_t>(k)] = k * kTile;
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  const auto task = [&](int64_t index) {
    const int64_t first = index * height, count = std::min(height, own.rows - first);
    Buffer<uint16_t> mine(static_cast<size_t>(ceil_div(count, kStrip) * each * kTile));
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t here = ceil_div(deep(block), kHalfDepth);
      pack(kernels, own, first, count, begin(block), deep(block), !by_rows, mine.data());
      const auto product = [&](const uint16_t* rows, const uint16_t* columns, int64_t row, int64_t column,
                               int64_t high, int64_t wide) {
        kernels.multiply_halves({rows, columns, kHalfDepth, here * kTile, matrix::kTileHalves, places.data(),
                                 here, high, wide, bias && !block ? bias + column : nullptr, numbers.data(),
                                 out + row * b.rows + column, b.rows, block > 0},
                                6);
      };
      if (by_rows)
        product(mine.data(), place(block, 0), first, 0, count, b.rows);
      else
        for (int64_t row = 0; row < a.rows; row += kPair)
          product(place(block, row), mine.data(), row, first, std::min(kPair, a.rows - row), count);
    }
  };
  each_task(ceil_div(own.rows, height), task);
}

}  // namespace kxfast::linear
