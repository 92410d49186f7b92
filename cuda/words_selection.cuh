// Keys of a text's places, and which of many items have a property: their places in order, or their ranks.
//
// A key has one or more 64-bit words, the first characters in the last array, as a sort of several keys wants
// them; nothing of a character is in two words, and the lowest bit of the first array may say something else.
// Ranks come from ballots: a warp owns a tile of 1024 items, one block adds the tiles up, and each warp then
// finds its ranks without a barrier. Reading the items twice is what it costs. Not tried: ranks in one pass,
// each tile looking back at those before it, and one pass for the runs of all n.
#pragma once

#include "common.cuh"

namespace kx::words {

constexpr u32 kTile = 1024, kScan = 1024;

__device__ __forceinline__ i64 place_of_thread() {
  return static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// How characters lie in keys: `each` characters of `bits` in a word, above `flag` bits.
struct Packing {
  i64 size;
  int bits, each, flag, order;

  __device__ __forceinline__ int words() const { return (order + each - 1) / each; }
  __device__ __forceinline__ int shift(int j) const { return flag + bits * (each - 1 - j % each); }
  __device__ __forceinline__ u32 character(const u64* keys, i64 at, int j) const {
    const u64 word = keys[(words() - 1 - j / each) * size + at];
    return static_cast<u32>(word >> shift(j)) & ((1u << bits) - 1);
  }
};

// What can be selected: the first keys of the runs of one n; n-grams among those; keys with both neighbours.
struct Runs {
  static constexpr bool kRanks = false;
  const u8* depth;
  int n;
  __device__ bool has(i64 i) const { return depth[i] < n; }
};
struct Frequent {
  static constexpr bool kRanks = false;
  const u64* keys;
  Packing packing;
  const int* begins;
  int n;
  i64 least;
  __device__ bool has(i64 r) const {  // without its last character it is the end of a text's run
    return begins[r + 1] - begins[r] >= least && packing.character(keys, begins[r], n - 1);
  }
};
struct Flagged {
  static constexpr bool kRanks = true;
  const u64* keys;
  __device__ bool has(i64 i) const { return keys[i] & 1; }
};

// How many of a tile's items are selected.
template <class Which>
__device__ inline void tally(const Which& which, i64 items, u32* tallies) {
  const i64 tile = place_of_thread() / kWarp, first = tile * kTile + threadIdx.x % kWarp;
  if (tile * kTile >= items) return;
  u32 count = 0;
  for (u32 k = 0; k < kTile; k += kWarp)
    count += __popc(__ballot_sync(kAllLanes, first + k < items && which.has(first + k)));
  if (threadIdx.x % kWarp == 0) tallies[tile] = count;
}

// Tallies to the sums of those before them, and the sum of all behind them; one block.
__device__ inline void add_up(u32* tallies, i64 tiles) {
  Shared shared;
  u32* const of_warp = shared.take<u32>(kScan / kWarp);
  const u32 lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  u32 before = 0;
  for (i64 first = 0; first < tiles; first += kScan) {
    const i64 i = first + threadIdx.x;
    const u32 own = i < tiles ? tallies[i] : 0;
    u32 sum = own;
    for (u32 by = 1; by < kWarp; by *= 2) {
      const u32 other = __shfl_up_sync(kAllLanes, sum, by);
      if (lane >= by) sum += other;
    }
    if (lane == kWarp - 1) of_warp[warp] = sum;
    __syncthreads();
    u32 warps = 0, all = 0;
    for (u32 w = 0; w < kScan / kWarp; ++w) {
      if (w == warp) warps = all;
      all += of_warp[w];
    }
    if (i < tiles) tallies[i] = before + warps + sum - own;
    before += all;
    __syncthreads();
  }
  if (threadIdx.x == 0) tallies[tiles] = before;
}

// Where the selected items are, and behind that the number of items; if ranks are asked for, how many are
// selected before each item, and behind that how many in all.
template <class Which>
__device__ inline void select(const Which& which, i64 items, const u32* tallies, int* out) {
  constexpr bool kRanks = Which::kRanks;
  const i64 tile = place_of_thread() / kWarp, lane = threadIdx.x % kWarp;
  const i64 tiles = (items + kTile - 1) / kTile;
  if (tile >= tiles) return;
  u32 rank = tallies[tile];
  for (i64 i = tile * kTile + lane, k = 0; k < kTile; k += kWarp, i += kWarp) {
    const bool mine = i < items && which.has(i);
    const u32 lanes = __ballot_sync(kAllLanes, mine);
    const u32 own = rank + __popc(lanes & ((1u << lane) - 1));
    if (kRanks && i < items) out[i] = static_cast<int>(own);
    if (!kRanks && mine) out[own] = static_cast<int>(i);
    rank += __popc(lanes);
  }
  if (tile == tiles - 1 && lane == 0) out[kRanks ? items : rank] = static_cast<int>(kRanks ? rank : items);
}

}  // namespace kx::words
