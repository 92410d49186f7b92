// What convolutions on Hopper have in common: a ring of stages that one warp group fills with both factors,
// 64 numbers of depth a step, while two others multiply what is there.
#pragma once

#include "conv_problem.cuh"

namespace kx::conv {

constexpr int kStages = 4, kLag = 2;  // steps that are on their way before one is told of
// A stage that is told of late must not be what frees the place of the next one.
static_assert(kLag + 2 <= kStages);
constexpr u32 kGroup = 128;  // threads of a warp group
constexpr int kDeep = 64, kBands = 2;
constexpr int kSizeA = 256 * kDeep, kSizeB = 128 * kDeep;  // numbers of a step
constexpr u32 kFewer = 72, kMore = 216;  // registers of those that bring and those that multiply

template <class T>
constexpr bool kBrain = false;
template <>
constexpr bool kBrain<BF16> = true;

// The stages, and a side's way through them: each has its own copy, and both count all steps of the block.
template <class T>
class Ring {
 public:
  __device__ __forceinline__ explicit Ring(Shared& shared)
      : stages_(shared.take<T>(kStages * (kSizeA + kSizeB))),
        full_(shared.take<SharedBarrier>(kStages)),
        empty_(shared.take<SharedBarrier>(kStages)) {
    if (threadIdx.x < kStages) {
      full_[threadIdx.x].make(kGroup);
      empty_[threadIdx.x].make(2 * kGroup / kWarp);
    }
    __syncthreads();
  }

  __device__ __forceinline__ T* a() const { return stages_ + step_ % kStages * (kSizeA + kSizeB); }
  __device__ __forceinline__ T* b() const { return a() + kSizeA; }

  // For the side that brings: waits until the stage of its step may be filled.
  __device__ __forceinline__ void wait_until_empty() const {
    empty_[step_ % kStages].wait(step_ / kStages % 2 ^ 1);
  }
  // All copies of the step have been begun; the other side is told of a step before it.
  __device__ __forceinline__ void sent() {
    copy_async_commit();
    copy_async_wait<kLag>();
    warp_group_publish();
    if (step_ >= kLag) full_[(step_ - kLag) % kStages].arrive();
    ++step_;
  }
  // There are no more steps.
  __device__ __forceinline__ void all_sent() {
    copy_async_wait<0>();
    warp_group_publish();
    for (u32 s = step_ < kLag ? 0 : step_ - kLag; s < step_; ++s) full_[s % kStages].arrive();
  }

  // For the side that multiplies: waits until its step is there.
  __device__ __forceinline__ void wait_until_full() const {
    full_[step_ % kStages].wait(step_ / kStages % 2);
  }
  // All products of the step have been begun.
  __device__ __forceinline__ void begun() { ++step_; }
  // Those of a step so many before the next are done.
  __device__ __forceinline__ void read(u32 before) const {
    __syncwarp();
    if (threadIdx.x % kWarp == 0) empty_[(step_ - before) % kStages].arrive();
  }

 private:
  T* stages_;
  SharedBarrier *full_, *empty_;
  u32 step_ = 0;
};

// Brings 16 bytes of a tile: a copy on its way, or zeros where nothing is there.
template <class T>
__device__ __forceinline__ void bring_chunk(T* to, const T* from, bool there) {
  if (there)
    copy_async_16(to, from);
  else
    *reinterpret_cast<Chunk<T>*>(to) = Chunk<T>{};
}

// Of the warp group that brings: a thread has chunk t % 8 of row t / 8 of a panel, and of every 16th row from
// there on, so that it has the same place among the swizzled ones in all of them.
struct Bringer {
  static constexpr int kJump = 16 * kDeep;
  int chunk = static_cast<int>(threadIdx.x % 8), row = static_cast<int>(threadIdx.x / 8);
  int column = chunk * 8, place = row * kDeep + (chunk ^ row % 8) * 8;

  // What lane `chunk` of the eight that have the same rows says, at bit `chunk`.
  __device__ __forceinline__ u32 votes(bool vote) const {
    return __ballot_sync(kAllLanes, vote) >> (threadIdx.x % kWarp / 8 * 8) & 0xFF;
  }
};

// Sums of a warp group: two products of 64 rows by 128 columns.
constexpr int kTiles = 16;  // of 8 columns, that an instruction makes
using GroupSums = float[kBands][kTiles][4];

// sums = what the steps bring; products(a, b, k) begins those of the k-th 16 numbers of depth of both
// factors.
template <class T, class Products>
__device__ __forceinline__ void multiply_steps(Ring<T>& ring, GroupSums& sums, i64 steps, Products products) {
#pragma unroll
  for (int m = 0; m < kBands; ++m)
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[m][n][e] = 0;
  for (i64 i = 0; i < steps; ++i) {
    ring.wait_until_full();
    pin(sums[0]);
    warp_group_begin(sums[1]);
#pragma unroll
    for (int k = 0; k < kDeep; k += 16) products(ring.a(), ring.b(), k);
    warp_group_commit();
    warp_group_wait<1>(sums[0]);
    pin(sums[1]);
    ring.begun();
    if (i) ring.read(2);
  }
  warp_group_wait<0>(sums[0]);
  pin(sums[1]);
  if (steps) ring.read(1);
}

}  // namespace kx::conv
