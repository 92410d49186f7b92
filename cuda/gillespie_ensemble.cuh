// What both kernels of ensembles share: the problem, and sums over trajectories.
//
// Moments are sums of integers, which any order of atomics adds up to the same: counts in 64 bits, squares in
// four sums of 32 bits of them.
#pragma once

#include "common.cuh"

namespace kx::gillespie {

constexpr double kLargest = 0x1.fffffffffffffp+1023, kLargestCount = 0x1p52;

enum Status : i64 { kRunning, kBadPropensity, kNegativeCount, kTooLarge };
enum Control { kNext, kFinished, kFailed, kSamples, kEvents };  // places in `control`

struct Problem {
  i64 n, first, samples, slots;
  u64 seed;
  double start;
  const double *grid, *numbers, *initial;
  const i64* starts;  // (n, species), or null: `initial`
  u64* control;
};

// Sums over trajectories of each cell (sample, species); `cells` is 0 or the number of bins and two more.
struct Sums {
  u64 *count, *square, *histogram;
  i64 low, width, cells;
};

__device__ inline void add_count(const Sums& out, i64 cell, u64 count) {
  const u64 words[2] = {count * count, __umul64hi(count, count)};
  atomicAdd(out.count + cell, count);
  for (int i = 0; i < 4; ++i)
    if (const u64 word = words[i / 2] >> (i % 2 * 32) & 0xFFFFFFFFu)
      atomicAdd(out.square + cell * 4 + i, word);
  if (!out.cells) return;
  const i64 above = out.cells - 1, off = static_cast<i64>(count) - out.low;
  const i64 place = off < 0 ? 0 : off / out.width + 1;
  atomicAdd(out.histogram + cell * out.cells + (place < above ? place : above), u64{1});
}

}  // namespace kx::gillespie
