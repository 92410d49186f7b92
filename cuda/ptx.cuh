// Every instruction that CUDA C++ has no word for, once: a body for the device and one of the same meaning
// for the host. No other file holds `asm`, but ptx_hopper.cuh, which has what Hopper alone has.
// `python -m benchmarks.gpu conformance` runs both on the same inputs.
//
// The host bodies are as unkind as the architecture allows: a copy fills its target with poison and is
// carried out when it is waited for; lanes of a warp instruction must all be there.
#pragma once

#include "common.cuh"

namespace kx {

#if !KX_HOST
__device__ __forceinline__ u32 shared_address(const void* p) {
  return static_cast<u32>(__cvta_generic_to_shared(p));
}
#endif

// Copies 16 bytes from global to shared memory, both aligned to 16, past the first cache; asynchronously.
__device__ __forceinline__ void copy_async_16(void* to, const void* from) {
#if KX_HOST
  kx_emu::copy_async(to, from, 16);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from) : "memory");
#endif
}
// Ends a group of copies of this thread.
__device__ __forceinline__ void copy_async_commit() {
#if KX_HOST
  ++kx_emu::thread->group;
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits for all but the last `kMost` groups of this thread.
template <int kMost>
__device__ __forceinline__ void copy_async_wait() {
#if KX_HOST
  kx_emu::finish_copies(kMost);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kMost) : "memory");
#endif
}

// Four 8 x 8 tiles of 16-bit numbers: lane 8 i + r gives the address of row r of tile i, 16 bytes; lane l
// gets the elements 2 (l % 4) and the next of row l / 4 of each.
__device__ __forceinline__ void load_matrix_x4(u32 (&tile)[4], const void* row) {
#if KX_HOST
  kx_emu::load_matrix(tile, 4, row, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(tile[0]), "=r"(tile[1]), "=r"(tile[2]), "=r"(tile[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}
// The same of the transposed tiles.
__device__ __forceinline__ void load_matrix_x4_transposed(u32 (&tile)[4], const void* row) {
#if KX_HOST
  kx_emu::load_matrix(tile, 4, row, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(tile[0]), "=r"(tile[1]), "=r"(tile[2]), "=r"(tile[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

// c (16 x 8, float) += a (16 x 16, bfloat16) b (16 x 8, bfloat16), spread over a warp as PTX says of
// mma.m16n8k16: c[2 i + j] is row l / 4 + 8 i, column 2 (l % 4) + j of lane l.
__device__ __forceinline__ void multiply_bf16(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if KX_HOST
  kx_emu::multiply_bf16(c, a, b);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// The same for IEEE half precision.
__device__ __forceinline__ void multiply_f16(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#if KX_HOST
  kx_emu::multiply_f16(c, a, b);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Waits until other blocks of the launch, which must all be resident, have brought a counter to a number;
// what they wrote before can be read then.
__device__ __forceinline__ void wait_for_blocks(const u32* counter, u32 least) {
#if KX_HOST
  kx_emu::wait_for_blocks(counter, least);
#else
  u32 now;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(counter) : "memory");
  } while (now < least);
#endif
}

// The same until all blocks of the launch have come here so many times, each with all its threads.
__device__ inline void wait_for_all_blocks(u32* arrived, u32 times) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();  // what the block has written is there before it counts as arrived
    atomicAdd(arrived, 1u);
    wait_for_blocks(arrived, times * gridDim.x);
  }
  __syncthreads();
}

// Two numbers rounded to the nearest of 16 bits, the first in the lower half.
__device__ __forceinline__ u32 pack_bf16(float low, float high) {
#if KX_HOST
  return kx_emu::to_bf16(low) | kx_emu::to_bf16(high) << 16;
#else
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}
__device__ __forceinline__ u32 pack_f16(float low, float high) {
#if KX_HOST
  return kx_emu::to_f16(low) | kx_emu::to_f16(high) << 16;
#else
  u32 pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}
__device__ __forceinline__ float from_f16(u16 bits) {
#if KX_HOST
  return kx_emu::from_f16(bits);
#else
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
#endif
}
__device__ __forceinline__ float from_bf16(u16 bits) {
  return __uint_as_float(static_cast<u32>(bits) << 16);
}

// 2^x to 2 units in the last place; results below the normal numbers are 0.
__device__ __forceinline__ float exp2_fast(float x) {
#if KX_HOST
  return kx_emu::exp2_fast(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

}  // namespace kx

#include "ptx_hopper.cuh"
