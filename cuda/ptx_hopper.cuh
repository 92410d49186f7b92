// What Hopper alone has: products of four warps, a warp group, on tiles that stay in shared memory, and
// barriers in shared memory that some threads arrive at and others wait for.
//
// A tile is made of panels of 64 numbers of 16 bits: the rows of a panel lie 128 bytes one behind another,
// its first row at a multiple of 1024, and the 16 bytes c of row r at place c ^ (r % 8) of the row, so that
// eight rows are read at once from different banks. As a factor it has its rows along the rows or columns of
// the product and its 64 numbers along the depth, or, turned, the other way round. Products run by
// themselves: between `warp_group_begin` and the wait for their group nobody touches the sums, and until that
// wait nobody writes the tiles. What threads have written to a tile is seen after `warp_group_publish` of
// each writer and a barrier behind it.
#pragma once

#if KX_HOST || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define KX_WARP_GROUPS 1

namespace kx {

// Where a product finds 16 numbers of depth of a tile, from the number `deep` of a panel on, a multiple
// of 16.
__device__ __forceinline__ u64 descriptor_of(const void* tile, u32 deep, u32 panel_bytes) {
#if KX_HOST
  const u32 address = kx_emu::shared_offset(tile);
#else
  const u32 address = shared_address(tile);
#endif
  constexpr u64 kEightRows = 1024 / 16, kSwizzled = 1;  // from eight rows to the next; rows of 128 bytes
  const u64 panels = panel_bytes / 16;
  return (address + 2 * deep) / 16 % 0x4000 | panels << 16 | kEightRows << 32 | kSwizzled << 62;
}
__device__ __forceinline__ u64 tile_descriptor(const void* tile, u32 deep) {
  return descriptor_of(tile, deep, 16);
}
// The same of a turned tile: 16 rows of it, from the row `deep` on; panels are so many bytes apart.
__device__ __forceinline__ u64 turned_descriptor(const void* tile, u32 deep, u32 panel_bytes) {
  return descriptor_of(tile, 64 * deep, panel_bytes);
}

// The same so many bytes further on: one addition, where a descriptor made anew is some ten instructions.
__device__ __forceinline__ u64 moved(u64 descriptor, u32 bytes) {
  return (descriptor & 0xFFFFFFFF00000000ull) | (static_cast<u32>(descriptor) + bytes / 16);
}

__device__ __forceinline__ void warp_group_publish() {
#if KX_HOST
  kx_emu::publish_copies();
#else
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Keeps the compiler from moving what is done with sums across this place.
template <int kTiles>
__device__ __forceinline__ void pin([[maybe_unused]] float (&c)[kTiles][4]) {
#if !KX_HOST
#pragma unroll
  for (int n = 0; n < kTiles; ++n)
    asm volatile("" : "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])::"memory");
#endif
}
template <int kTiles>
__device__ __forceinline__ void warp_group_begin(float (&c)[kTiles][4]) {
#if KX_HOST
  kx_emu::begin_products();
#else
  pin(c);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
// Ends a group of products of this warp group.
__device__ __forceinline__ void warp_group_commit() {
#if KX_HOST
  kx_emu::commit_products();
#else
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// Waits for all but the last `kMost` groups; sums of those that are done can be read.
template <int kMost, int kTiles>
__device__ __forceinline__ void warp_group_wait(float (&c)[kTiles][4]) {
#if KX_HOST
  kx_emu::finish_products(kMost);
#else
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kMost) : "memory");
  pin(c);
#endif
}

#if !KX_HOST
#define KX_SUMS_16(c, n)                                                                             \
  "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3]), "+f"(c[n + 1][0]), "+f"(c[n + 1][1]),  \
      "+f"(c[n + 1][2]), "+f"(c[n + 1][3]), "+f"(c[n + 2][0]), "+f"(c[n + 2][1]), "+f"(c[n + 2][2]), \
      "+f"(c[n + 2][3]), "+f"(c[n + 3][0]), "+f"(c[n + 3][1]), "+f"(c[n + 3][2]), "+f"(c[n + 3][3])
#define KX_SUMS_32(c) KX_SUMS_16(c, 0), KX_SUMS_16(c, 4)
#define KX_SUMS_64(c) KX_SUMS_32(c), KX_SUMS_16(c, 8), KX_SUMS_16(c, 12)
#define KX_NAMES_32                                                                            \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, " \
  "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define KX_NAMES_64                                                                              \
  KX_NAMES_32                                                                                    \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
  "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
// `a` and the places behind the sums are those of the first factor: a tile's descriptor, or registers.
#define KX_GROUP_PRODUCT(sums, names, columns, kind, places, scales, ...)                         \
  asm volatile("{.reg .pred added;\nsetp.ne.b32 added, " scales                                   \
               ";\nwgmma.mma_async.sync.aligned.m64n" columns "k16.f32." kind "." kind " {" names \
               "}, " places ";}"                                                                  \
               : sums                                                                             \
               : __VA_ARGS__)
#endif

// c (64 x 8 kTiles, float) += a (64 x 16) b (16 x 8 kTiles), of bfloat16 or float16: c[n][2 i + j] is row
// 16 w + l / 4 + 8 i, column 8 n + 2 (l % 4) + j of lane l of warp w of the group. Unless it `adds`, the sums
// begin at 0.
template <bool kBrain, bool kTurnedA, bool kTurnedB, int kTiles>
__device__ __forceinline__ void multiply_group(float (&c)[kTiles][4], u64 a, u64 b, bool adds = true) {
  static_assert(kTiles == 8 || kTiles == 16);
#if KX_HOST
  kx_emu::multiply_group(c[0], {{a, b}, {kTurnedA, kTurnedB}, kBrain, adds, false, {}, kTiles});
#else
#define KX_TILES "l"(a), "l"(b), "n"(kTurnedA), "n"(kTurnedB), "r"(static_cast<u32>(adds))
#define KX_PLACES_32 "%32, %33, added, 1, 1, %34, %35"
#define KX_PLACES_64 "%64, %65, added, 1, 1, %66, %67"
  if constexpr (kBrain && kTiles == 8)
    KX_GROUP_PRODUCT(KX_SUMS_32(c), KX_NAMES_32, "64", "bf16", KX_PLACES_32, "%36, 0", KX_TILES);
  else if constexpr (kBrain)
    KX_GROUP_PRODUCT(KX_SUMS_64(c), KX_NAMES_64, "128", "bf16", KX_PLACES_64, "%68, 0", KX_TILES);
  else if constexpr (kTiles == 8)
    KX_GROUP_PRODUCT(KX_SUMS_32(c), KX_NAMES_32, "64", "f16", KX_PLACES_32, "%36, 0", KX_TILES);
  else
    KX_GROUP_PRODUCT(KX_SUMS_64(c), KX_NAMES_64, "128", "f16", KX_PLACES_64, "%68, 0", KX_TILES);
#endif
}
// The same with a first factor in registers, spread over each warp as mma.m16n8k16 has it, and always added.
template <bool kBrain, bool kTurnedB, int kTiles>
__device__ __forceinline__ void multiply_group(float (&c)[kTiles][4], const u32 (&a)[4], u64 b) {
  static_assert(kTiles == 8 || kTiles == 16);
#if KX_HOST
  kx_emu::multiply_group(c[0],
                         {{0, b}, {false, kTurnedB}, kBrain, true, true, {a[0], a[1], a[2], a[3]}, kTiles});
#else
#define KX_BAND "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(kTurnedB)
#define KX_PLACES_OF_32 "{%32, %33, %34, %35}, %36, added, 1, 1, %37"
#define KX_PLACES_OF_64 "{%64, %65, %66, %67}, %68, added, 1, 1, %69"
  if constexpr (kBrain && kTiles == 8)
    KX_GROUP_PRODUCT(KX_SUMS_32(c), KX_NAMES_32, "64", "bf16", KX_PLACES_OF_32, "1, 0", KX_BAND);
  else if constexpr (kBrain)
    KX_GROUP_PRODUCT(KX_SUMS_64(c), KX_NAMES_64, "128", "bf16", KX_PLACES_OF_64, "1, 0", KX_BAND);
  else if constexpr (kTiles == 8)
    KX_GROUP_PRODUCT(KX_SUMS_32(c), KX_NAMES_32, "64", "f16", KX_PLACES_OF_32, "1, 0", KX_BAND);
  else
    KX_GROUP_PRODUCT(KX_SUMS_64(c), KX_NAMES_64, "128", "f16", KX_PLACES_OF_64, "1, 0", KX_BAND);
#endif
}

// Gives registers of this warp group back, or takes those that others gave: all its warps must come here.
template <u32 kFewer>
__device__ __forceinline__ void leave_registers() {
#if !KX_HOST
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kFewer));
#endif
}
template <u32 kMore>
__device__ __forceinline__ void take_registers() {
#if !KX_HOST
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kMore));
#endif
}

// A barrier in shared memory: a round is over when so many arrivals have come, and the next one begins. What
// a thread has written before it arrives can be read by those that have waited for that round. Rounds are
// told apart by their parity, the first one's being 0; the one before the first counts as over.
class SharedBarrier {
 public:
  __device__ __forceinline__ void make(u32 arrivals) {
#if KX_HOST
    kx_emu::make_barrier(&state_, arrivals);
#else
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&state_)), "r"(arrivals)
                 : "memory");
#endif
  }
  __device__ __forceinline__ void arrive() {
#if KX_HOST
    kx_emu::arrive_at_barrier(&state_);
#else
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&state_)) : "memory");
#endif
  }
  __device__ __forceinline__ bool over(u32 parity) const {
#if KX_HOST
    return kx_emu::barrier_is_over(&state_, parity);
#else
    u32 found;
    asm volatile(
        "{.reg .pred over;\n"
        "mbarrier.test_wait.parity.shared::cta.b64 over, [%1], %2;\n"
        "selp.u32 %0, 1, 0, over;}"
        : "=r"(found)
        : "r"(shared_address(&state_)), "r"(parity)
        : "memory");
    return found != 0;
#endif
  }
  __device__ __forceinline__ void wait(u32 parity) const {
#if KX_HOST
    kx_emu::wait_for_barrier(&state_, parity);
#else
    u32 found;
    do {
      asm volatile(
          "{.reg .pred over;\n"
          "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
          "selp.u32 %0, 1, 0, over;}"
          : "=r"(found)
          : "r"(shared_address(&state_)), "r"(parity)
          : "memory");
    } while (!found);
#endif
  }

 private:
  u64 state_;
};

}  // namespace kx

#else
#define KX_WARP_GROUPS 0
#endif
