// What every kernel uses: integer types, shared memory, random streams, the logarithm of a uniform number.
//
// The same text is compiled for a device, without any standard header, and for the host after emu/emu.hpp.
// All shared memory is taken from one dynamic buffer by `Shared`, so that the emulation can poison it and
// check its size. Random streams and the logarithm are those of csrc/core: with -fmad=false every operation
// here is rounded as it is written, on a device, in the emulation and in the compiled CPU code alike, so a
// stream gives the same bits in all three.
#pragma once

#if !defined(__CUDACC__) && !defined(__CUDACC_RTC__)
#define KX_HOST 1
#else
#define KX_HOST 0
#define KX_ENTRY(name)
#endif

namespace kx {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;

constexpr u32 kWarp = 32, kAllLanes = 0xFFFFFFFFu;

// Pieces of the block's shared memory, one after another; every thread takes the same.
class Shared {
 public:
  template <class T>
  __device__ T* take(u32 count) {
#if KX_HOST
    unsigned char* const bytes = kx_emu::shared_bytes(used_ + count * static_cast<u32>(sizeof(T)));
#else
    extern __shared__ __align__(1024) unsigned char kx_shared[];
    unsigned char* const bytes = kx_shared;
#endif
    T* const piece = reinterpret_cast<T*>(bytes + used_);
    used_ += (count * static_cast<u32>(sizeof(T)) + 15) / 16 * 16;
    return piece;
  }

 private:
  u32 used_ = 0;
};

__device__ __forceinline__ u64 bits_of(double x) {
  return static_cast<u64>(__double_as_longlong(x));
}
__device__ __forceinline__ double double_of(u64 bits) {
  return __longlong_as_double(static_cast<i64>(bits));
}

__device__ __forceinline__ double infinity() {
  return double_of(0x7FF0000000000000ull);
}

// Two 64-bit words of Philox4x32-10 under a key (csrc/core/random.hpp).
__device__ inline void philox(u64 key, u64 index, u64 part, u64& low, u64& high) {
  u32 k0 = static_cast<u32>(key), k1 = static_cast<u32>(key >> 32);
  u32 w0 = static_cast<u32>(part), w1 = static_cast<u32>(part >> 32);
  u32 w2 = static_cast<u32>(index), w3 = static_cast<u32>(index >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const u64 a = static_cast<u64>(0xD2511F53u) * w0, b = static_cast<u64>(0xCD9E8D57u) * w2;
    w0 = static_cast<u32>(b >> 32) ^ w1 ^ k0;
    w1 = static_cast<u32>(b);
    w2 = static_cast<u32>(a >> 32) ^ w3 ^ k1;
    w3 = static_cast<u32>(a);
  }
  low = static_cast<u64>(w1) << 32 | w0;
  high = static_cast<u64>(w3) << 32 | w2;
}

// 1 / c and log c for c = 16/16 .. 22/16 at 0 .. 6 and 11/16 .. 15/16 at 11 .. 15; the rest is not used.
__constant__ const double kInverse[16] = {
    1,
    0x1.e1e1e1e1e1e1ep-1,
    0x1.c71c71c71c71cp-1,
    0x1.af286bca1af28p-1,
    0x1.999999999999ap-1,
    0x1.8618618618618p-1,
    0x1.745d1745d1746p-1,
    0,
    0,
    0,
    0,
    0x1.745d1745d1746p+0,
    0x1.5555555555555p+0,
    0x1.3b13b13b13b14p+0,
    0x1.2492492492492p+0,
    0x1.1111111111111p+0,
};
__constant__ const double kLog[16] = {
    0,
    0x1.f0a30c01162a6p-5,
    0x1.e27076e2af2e6p-4,
    0x1.5ff3070a793d4p-3,
    0x1.c8ff7c79a9a22p-3,
    0x1.1675cababa60ep-2,
    0x1.4618bc21c5ec2p-2,
    0,
    0,
    0,
    0,
    -0x1.7fafa3bd8151cp-2,
    -0x1.269621134db92p-2,
    -0x1.a93ed3c8ad9e3p-3,
    -0x1.1178e8227e47cp-3,
    -0x1.08598b59e3a07p-4,
};

// -log x for uniform x in (0, 1], as csrc/core/log.hpp computes it. The tables of 1 / c and log c lie in
// shared memory: lanes look up different entries.
class Logarithm {
 public:
  static constexpr u32 kEntries = 16;

  __device__ Logarithm(double* inverse, double* log, u32 first, u32 stride) : inverse_(inverse), log_(log) {
    for (u32 i = first; i < kEntries; i += stride) inverse_[i] = kInverse[i], log_[i] = kLog[i];
  }

  __device__ __forceinline__ double minus_log(double x) const {
    constexpr double kToSixteenths = 0x1.8p48;
    const u64 bits = bits_of(x), scaled = bits + (0x3FF0000000000000ull - 0x3FE6000000000000ull);
    const double k = static_cast<double>(static_cast<i64>(scaled >> 52)) - 1023;
    const double z = double_of(bits - (scaled & 0xFFF0000000000000ull) + 0x3FF0000000000000ull);
    const double shifted = z + kToSixteenths;
    const u32 place = static_cast<u32>(bits_of(shifted)) & 15;
    const double r = (z - (shifted - kToSixteenths)) * inverse_[place], r2 = r * r, r4 = r2 * r2;
    const double low = (-0x1.fffffffffffffp-2 + 0x1.55555555551fap-2 * r) +
                       r2 * (-0x1.00000000040efp-2 + 0x1.999999a4b2ba5p-3 * r);
    const double high = (-0x1.555554fa9a55fp-3 + 0x1.2491f9c75bd80p-3 * r) +
                        r2 * (-0x1.00012c183f3eep-3 + 0x1.c8c17b8789116p-4 * r);
    const double beyond = r2 * (low + r4 * (high + r4 * -0x1.97cf84cdb712dp-4));
    return -((k * 0x1.62e42fefa38p-1 + log_[place]) + (r + (k * 0x1.ef35793c7673p-45 + beyond)));
  }

 private:
  double *inverse_, *log_;
};

// Stream `index` of a seed: xoshiro256++ started by Philox (csrc/core/random.hpp).
class Stream {
 public:
  __device__ Stream(u64 seed, u64 index) {
    philox(seed, index, 0, s0_, s1_);
    philox(seed, index, 1, s2_, s3_);
    if (!(s0_ | s1_ | s2_ | s3_)) s0_ = 1;
  }
  __device__ Stream(const u64* words, i64 stride)
      : s0_(words[0]), s1_(words[stride]), s2_(words[2 * stride]), s3_(words[3 * stride]) {}
  __device__ void save(u64* words, i64 stride) const {
    words[0] = s0_, words[stride] = s1_, words[2 * stride] = s2_, words[3 * stride] = s3_;
  }
  __device__ __forceinline__ u64 bits() {
    const u64 sum = s0_ + s3_, result = (sum << 23 | sum >> 41) + s0_, shifted = s1_ << 17;
    s2_ ^= s0_;
    s3_ ^= s1_;
    s1_ ^= s2_;
    s0_ ^= s3_;
    s2_ ^= shifted;
    s3_ = s3_ << 45 | s3_ >> 19;
    return result;
  }
  __device__ __forceinline__ double uniform() {
    return static_cast<double>(bits() >> 11) * 0x1p-53;
  }  // [0, 1)
  __device__ __forceinline__ double uniform_open() {
    return static_cast<double>((bits() >> 11) + 1) * 0x1p-53;  // (0, 1]
  }

 private:
  u64 s0_, s1_, s2_, s3_;
};

}  // namespace kx
