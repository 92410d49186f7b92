// Numbers that tiles are made of: their types, what sums of them are, and sums as matrix instructions hold
// them.
#pragma once

#include "ptx.cuh"

namespace kx {

struct BF16 {
  u16 bits;
};
struct F16 {
  u16 bits;
};

// Sums of a type; whether matrix instructions multiply it; what columns are padded to.
template <class T>
struct Of {
  using Sum = T;
  static constexpr bool kMatrix = false;
  static constexpr int kPad = 8;
};
struct OfHalf {
  using Sum = float;
  static constexpr bool kMatrix = true;
  static constexpr int kPad = 16;
};
template <>
struct Of<BF16> : OfHalf {
  static constexpr bool kBrain = true;
  static constexpr u32 kExponents = 0x7F807F80;  // of two numbers
};
template <>
struct Of<F16> : OfHalf {
  static constexpr bool kBrain = false;
  static constexpr u32 kExponents = 0x7C007C00;
};
template <class T>
using SumOf = typename Of<T>::Sum;

__device__ __forceinline__ float widen(BF16 x) {
  return from_bf16(x.bits);
}
__device__ __forceinline__ float widen(F16 x) {
  return from_f16(x.bits);
}
template <class T>
__device__ __forceinline__ T widen(T x) {
  return x;
}
__device__ __forceinline__ void narrow(BF16& to, float x) {
  to.bits = static_cast<u16>(pack_bf16(x, 0));
}
__device__ __forceinline__ void narrow(F16& to, float x) {
  to.bits = static_cast<u16>(pack_f16(x, 0));
}
template <class T>
__device__ __forceinline__ void narrow(T& to, T x) {
  to = x;
}

__device__ __forceinline__ float fused(float a, float b, float c) {
  return fmaf(a, b, c);
}
__device__ __forceinline__ double fused(double a, double b, double c) {
  return fma(a, b, c);
}
__device__ __forceinline__ float larger(float a, float b) {
  return fmaxf(a, b);
}
__device__ __forceinline__ double larger(double a, double b) {
  return fmax(a, b);
}
__device__ __forceinline__ float root(float x) {
  return sqrtf(x);
}
__device__ __forceinline__ double root(double x) {
  return sqrt(x);
}
__device__ __forceinline__ float power_of_2(float x) {
  return exp2_fast(x);
}
__device__ __forceinline__ double power_of_2(double x) {
  return exp2(x);
}

template <class T>
__device__ __forceinline__ SumOf<T> minus_infinity() {
  return static_cast<SumOf<T>>(-infinity());
}

__device__ constexpr int rounded_up(int x, int to) {
  return (x + to - 1) / to * to;
}
// Columns of a tile with their zeros, and the way from row to row.
template <class T>
__device__ constexpr int wide(int columns) {
  return rounded_up(columns, Of<T>::kPad);
}
template <class T>
__device__ constexpr int pitch(int columns) {
  return wide<T>(columns) + 16 / static_cast<int>(sizeof(T));
}

template <class T>
struct alignas(16) Chunk {
  static constexpr int kCount = 16 / static_cast<int>(sizeof(T));
  T at[kCount];
};

__device__ __forceinline__ int lane_id() {
  return static_cast<int>(threadIdx.x % kWarp);
}

// The first argument chooses the type alone.
__device__ __forceinline__ void multiply(BF16, float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  multiply_bf16(c, a, {b0, b1});
}
__device__ __forceinline__ void multiply(F16, float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  multiply_f16(c, a, {b0, b1});
}
__device__ __forceinline__ u32 pack(BF16, float low, float high) {
  return pack_bf16(low, high);
}
__device__ __forceinline__ u32 pack(F16, float low, float high) {
  return pack_f16(low, high);
}

__device__ __forceinline__ void unpack(BF16, u32 pair, float& low, float& high) {
  low = from_bf16(static_cast<u16>(pair)), high = from_bf16(static_cast<u16>(pair >> 16));
}
__device__ __forceinline__ void unpack(F16, u32 pair, float& low, float& high) {
  low = from_f16(static_cast<u16>(pair)), high = from_f16(static_cast<u16>(pair >> 16));
}

// Sums of kBands bands of 16 rows and kN columns.
template <class T, int kBands, int kN>
struct Sums {
  SumOf<T> at[kBands][kN / 8][4];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int t = 0; t < kBands; ++t)
#pragma unroll
      for (int n = 0; n < kN / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) at[t][n][e] = 0;
  }
};

}  // namespace kx
