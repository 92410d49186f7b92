// The words of CUDA C++ that our kernels use, meaning what they mean on a device. Atomics are plain: threads
// take turns, and give up theirs only where they wait.
#pragma once

#include <algorithm>
#include <cmath>

#include "block.hpp"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define threadIdx (kx_emu::thread->index)
#define blockIdx (kx_emu::block->index)
#define blockDim (kx_emu::block->size)
#define gridDim (kx_emu::block->grid)

inline void __syncthreads() {
  kx_emu::barrier(0);
}
inline int __syncthreads_count(int predicate) {
  return kx_emu::barrier(predicate != 0);
}
inline void __syncwarp(unsigned mask = ~0u) {
  const char nothing = 0;
  kx_emu::done(kx_emu::collect(kx_emu::Collective::sync, mask, &nothing, 1));
}
inline void __threadfence() {}  // blocks run one after another

namespace kx_emu {

template <class T>
T shuffle(unsigned mask, T value, unsigned from, bool valid) {
  static_assert(sizeof(T) <= kMostExchanged);
  Exchange* const all = collect(Collective::shuffle, mask, &value, sizeof value);
  const unsigned source = valid ? from : thread->lane;
  if (!(mask >> source & 1)) fatal("a shuffle reads lane %u, which the mask %08x leaves out", source, mask);
  std::memcpy(&value, all->data[source], sizeof value);
  done(all);
  return value;
}

}  // namespace kx_emu

template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
  return kx_emu::shuffle(mask, value, static_cast<unsigned>(from) % kx_emu::kWarp, true);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by) {
  const unsigned from = kx_emu::thread->lane + by;
  return kx_emu::shuffle(mask, value, from, from < kx_emu::kWarp);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by) {
  const unsigned lane = kx_emu::thread->lane;
  return kx_emu::shuffle(mask, value, lane - by, lane >= by);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int by) {
  return kx_emu::shuffle(mask, value, kx_emu::thread->lane ^ static_cast<unsigned>(by), true);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  kx_emu::Exchange* const all = kx_emu::collect(kx_emu::Collective::vote, mask, &predicate, sizeof predicate);
  unsigned result = 0;
  for (unsigned l = 0; l < kx_emu::kWarp; ++l) {
    int given = 0;
    if (mask >> l & 1) std::memcpy(&given, all->data[l], sizeof given);
    result |= static_cast<unsigned>(given != 0) << l;
  }
  kx_emu::done(all);
  return result;
}
inline int __any_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) == mask;
}
inline unsigned __match_any_sync(unsigned mask, unsigned value) {
  kx_emu::Exchange* const all = kx_emu::collect(kx_emu::Collective::match, mask, &value, sizeof value);
  unsigned result = 0;
  for (unsigned l = 0; l < kx_emu::kWarp; ++l)
    if (mask >> l & 1 && !std::memcmp(all->data[l], &value, sizeof value)) result |= 1u << l;
  kx_emu::done(all);
  return result;
}

template <class T>
T atomicAdd(T* place, T value) {
  const T before = std::exchange(*place, static_cast<T>(*place + value));
  kx_emu::pause_block();
  return before;
}
template <class T>
T atomicMin(T* place, T value) {
  const T before = std::exchange(*place, std::min(*place, value));
  kx_emu::pause_block();
  return before;
}

inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __clz(int x) {
  return x ? __builtin_clz(static_cast<unsigned>(x)) : 32;
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<unsigned long long>(static_cast<Wide>(a) * b >> 64);
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline long long __double_as_longlong(double x) {
  long long bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline double __longlong_as_double(long long bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
