// One small kernel for each word of cuda/common.cuh, cuda/ptx.cuh and of CUDA itself whose meaning on the
// host is ours: conformance.py says what must come out.
#include "ptx.cuh"

using kx::i64;
using kx::u16;
using kx::u32;
using kx::u64;

// Row i: 8 numbers of stream (seed, i), and -log of the last as a uniform number.
extern "C" __global__ void streams(u64 seed, u64* words, double* logs) {
  kx::Shared shared;
  double* const inverse = shared.take<double>(kx::Logarithm::kEntries);
  const kx::Logarithm logarithm(inverse, shared.take<double>(kx::Logarithm::kEntries), threadIdx.x,
                                blockDim.x);
  __syncthreads();
  const u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
  kx::Stream stream(seed, i);
  for (int k = 0; k < 8; ++k) words[8 * i + static_cast<u64>(k)] = stream.bits();
  logs[i] = logarithm.minus_log(stream.uniform_open());
}

// What lanes hear of each other: rows are shuffle by index, down, up, exclusive or, vote and match; in the
// last two only the lower or the upper half of a warp takes part at a time.
extern "C" __global__ void lanes(const u32* x, u32* out) {
  const u32 lane = threadIdx.x, mine = x[lane], half = lane < 16 ? 0x0000FFFFu : 0xFFFF0000u;
  out[lane] = __shfl_sync(kx::kAllLanes, mine, static_cast<int>(mine % 32));
  out[32 + lane] = __shfl_down_sync(kx::kAllLanes, mine, 3);
  out[64 + lane] = __shfl_up_sync(kx::kAllLanes, mine, 5);
  out[96 + lane] = __shfl_xor_sync(kx::kAllLanes, mine, 9);
  if (lane < 16) {
    out[128 + lane] = __ballot_sync(half, mine & 1);
    out[160 + lane] = __match_any_sync(half, mine % 4);
  } else {
    out[160 + lane] = __match_any_sync(half, mine % 4);
    out[128 + lane] = __ballot_sync(half, mine & 1);
  }
}

// Sums of each block: of its warps by shuffles, of those through shared memory; how many are odd, in row 2.
extern "C" __global__ void block_sums(const u32* x, u32* sums) {
  kx::Shared shared;
  u32* const of_warp = shared.take<u32>(kx::kWarp);
  const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
  u32 sum = x[i];
  const int odd = __syncthreads_count(static_cast<int>(sum & 1));
  for (u32 by = 16; by; by /= 2) sum += __shfl_down_sync(kx::kAllLanes, sum, by);
  if (threadIdx.x % kx::kWarp == 0) of_warp[threadIdx.x / kx::kWarp] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (u32 w = 1; w < blockDim.x / kx::kWarp; ++w) sum += of_warp[w];
    sums[blockIdx.x] = sum;
    sums[gridDim.x + blockIdx.x] = static_cast<u32>(odd);
  }
}

// c (32 rows a block, 8) = a (rows, depth) b' (8, depth): tiles of 16 columns come by asynchronous copies,
// two stages ahead of the matrix instructions that use them. Two warps a block, 16 rows each.
extern "C" __global__ void __launch_bounds__(64) products(const u16* a, const u16* b, float* c, i64 depth) {
  constexpr u32 kRows = 32, kColumns = 8, kDeep = 16, kStage = (kRows + kColumns) * kDeep;
  kx::Shared shared;
  u16* const stages = shared.take<u16>(2 * kStage);
  const u32 t = threadIdx.x, lane = t % 32, warp = t / 32;
  const i64 steps = depth / kDeep;
  float sum[4] = {0, 0, 0, 0};
  const auto fetch = [&](i64 step) {
    u16* const to = stages + (step % 2) * kStage;
    for (u32 i = t; i < kStage / 8; i += 64) {
      const u32 row = i / 2, column = i % 2 * 8;
      const u16* const from = row < kRows ? a + (static_cast<i64>(blockIdx.x) * kRows + row) * depth
                                          : b + static_cast<i64>(row - kRows) * depth;
      kx::copy_async_16(to + row * kDeep + column, from + step * kDeep + column);
    }
    kx::copy_async_commit();
  };
  fetch(0);
  for (i64 step = 0; step < steps; ++step) {
    if (step + 1 < steps) {
      fetch(step + 1);
      kx::copy_async_wait<1>();
    } else {
      kx::copy_async_wait<0>();
    }
    __syncthreads();
    const u16* const tile = stages + (step % 2) * kStage;
    u32 left[4], right[4];
    kx::load_matrix_x4(left, tile + (warp * 16 + lane % 16) * kDeep + lane / 16 * 8);
    kx::load_matrix_x4(right, tile + (kRows + lane % 8) * kDeep + lane / 8 % 2 * 8);
    const u32 pair[2] = {right[0], right[1]};
    kx::multiply_bf16(sum, left, pair);
    __syncthreads();
  }
  for (u32 i = 0; i < 4; ++i) {
    const u32 row = warp * 16 + lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
    c[(static_cast<i64>(blockIdx.x) * kRows + row) * kColumns + column] = sum[i];
  }
}

// The transposed tiles of a matrix (32, 8) of 16-bit numbers, as a warp holds them.
extern "C" __global__ void transposed(const u16* x, u32* out) {
  kx::Shared shared;
  u16* const rows = shared.take<u16>(256);
  for (u32 i = 0; i < 8; ++i) rows[threadIdx.x * 8 + i] = x[threadIdx.x * 8 + i];
  __syncthreads();
  u32 tile[4];
  kx::load_matrix_x4_transposed(tile, rows + threadIdx.x * 8);
  for (u32 i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = tile[i];
}

// Two numbers a lane: rounded to pairs of either half type, the float16 ones back again, and powers of 2.
extern "C" __global__ void halves(const float* x, u32* pairs, float* back) {
  const u32 lane = threadIdx.x;
  const float low = x[2 * lane], high = x[2 * lane + 1];
  pairs[lane] = kx::pack_bf16(low, high);
  const u32 pair = pairs[32 + lane] = kx::pack_f16(low, high);
  back[4 * lane] = kx::from_f16(static_cast<u16>(pair));
  back[4 * lane + 1] = kx::from_f16(static_cast<u16>(pair >> 16));
  back[4 * lane + 2] = kx::from_bf16(static_cast<u16>(pairs[lane]));
  back[4 * lane + 3] = kx::exp2_fast(low);
}

// c (16, 8) = a (16, 16) b' (8, 16) of float16.
extern "C" __global__ void product_f16(const u16* a, const u16* b, float* c) {
  kx::Shared shared;
  u16* const rows = shared.take<u16>(24 * 16);
  const u32 lane = threadIdx.x;
  for (u32 i = lane; i < 24 * 16; i += 32) rows[i] = i < 256 ? a[i] : b[i - 256];
  __syncthreads();
  u32 left[4], right[4];
  kx::load_matrix_x4(left, rows + lane % 16 * 16 + lane / 16 * 8);
  kx::load_matrix_x4(right, rows + (16 + lane % 8) * 16 + lane / 8 % 2 * 8);
  float sum[4] = {0, 0, 0, 0};
  const u32 pair[2] = {right[0], right[1]};
  kx::multiply_f16(sum, left, pair);
  for (u32 i = 0; i < 4; ++i) c[(lane / 4 + 8 * (i / 2)) * 8 + 2 * (lane % 4) + i % 2] = sum[i];
}

// c (64, 64) = a (64, depth) b' (depth, 64), of bfloat16, by one warp group: a step of 64 numbers of depth is
// written into one of two pairs of swizzled tiles while the products of the step before run on the other.
extern "C" __global__ void __launch_bounds__(128)
    group_products(const u16* a, const u16* b, float* c, i64 depth) {
#if KX_WARP_GROUPS
  constexpr u32 kTile = 64 * 64;
  kx::Shared shared;
  u16* const tiles = shared.take<u16>(4 * kTile);
  const u32 t = threadIdx.x, lane = t % 32, warp = t / 32;
  float sums[8][4];
  for (u32 i = 0; i < 32; ++i) sums[i / 4][i % 4] = 0;
  for (i64 step = 0; step < depth / 64; ++step) {
    u16* const left = tiles + step % 2 * 2 * kTile;
    u16* const right = left + kTile;
    kx::warp_group_wait<1>(sums);  // for the step that has read these tiles last
    __syncthreads();
    for (u32 i = t; i < kTile; i += 128) {
      const u32 row = i / 64, place = row * 64 + (i % 64 / 8 ^ row % 8) * 8 + i % 8;
      left[place] = a[row * depth + step * 64 + i % 64];
      right[place] = b[row * depth + step * 64 + i % 64];
    }
    kx::warp_group_publish();
    __syncthreads();
    kx::warp_group_begin(sums);
    for (u32 k = 0; k < 64; k += 16)
      kx::multiply_group<true, false, false>(sums, kx::tile_descriptor(left, k),
                                             kx::tile_descriptor(right, k));
    kx::warp_group_commit();
  }
  kx::warp_group_wait<0>(sums);
  for (u32 i = 0; i < 32; ++i)
    c[(warp * 16 + lane / 4 + 8 * (i / 2 % 2)) * 64 + i / 4 * 8 + 2 * (lane % 4) + i % 2] =
        sums[i / 4][i % 4];
#endif
}

#if KX_WARP_GROUPS
// Where a number of a row lies in a tile whose panels have so many rows.
__device__ __forceinline__ u32 swizzled(u32 row, u32 at, u32 rows) {
  return (at / 64 * rows + row) * 64 + (at % 64 / 8 ^ row % 8) * 8 + at % 8;
}

// c (64, 128) = what `product` makes in four steps of depth.
template <class Product>
__device__ void run_products(float* c, Product product) {
  const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float sums[16][4];
  for (u32 i = 0; i < 64; ++i) sums[i / 4][i % 4] = 0;
  kx::warp_group_begin(sums);
#pragma unroll
  for (u32 k = 0; k < 4; ++k) product(sums, k);
  kx::warp_group_commit();
  kx::warp_group_wait<0>(sums);
  for (u32 i = 0; i < 64; ++i)
    c[(warp * 16 + lane / 4 + 8 * (i / 2 % 2)) * 128 + i / 4 * 8 + 2 * (lane % 4) + i % 2] =
        sums[i / 4][i % 4];
}

template <bool kBrain>
__device__ void all_factors(const u16* a, const u16* b, float* c) {
  constexpr u32 kM = 64, kN = 128, kDeep = 64;
  kx::Shared shared;
  u16* const left = shared.take<u16>(kM * kDeep);
  u16* const left_turned = shared.take<u16>(kM * kDeep);
  u16* const right = shared.take<u16>(kN * kDeep);
  u16* const right_turned = shared.take<u16>(kN * kDeep);
  const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (u32 i = threadIdx.x; i < kN * kDeep; i += 128) {
    const u32 row = i / kDeep, k = i % kDeep;
    right[swizzled(row, k, kN)] = right_turned[swizzled(k, row, kDeep)] = b[i];
    if (row < kM) left[swizzled(row, k, kM)] = left_turned[swizzled(k, row, kDeep)] = a[i];
  }
  u32 band[4][4];
  for (u32 k = 0; k < 4; ++k)
    for (u32 i = 0; i < 4; ++i) {
      const u16* const pair =
          a + (warp * 16 + lane / 4 + i % 2 * 8) * kDeep + k * 16 + i / 2 * 8 + lane % 4 * 2;
      band[k][i] = pair[0] | static_cast<u32>(pair[1]) << 16;
    }
  kx::warp_group_publish();
  __syncthreads();
  const auto a_at = [&](u32 k) { return kx::tile_descriptor(left, 16 * k); };
  const auto b_at = [&](u32 k) { return kx::tile_descriptor(right, 16 * k); };
  const auto a_turned = [&](u32 k) { return kx::turned_descriptor(left_turned, 16 * k, 0); };
  const auto b_turned = [&](u32 k) { return kx::turned_descriptor(right_turned, 16 * k, kDeep * 128); };
  using S = float (&)[16][4];
  run_products(c + 0 * kM * kN,
               [&](S s, u32 k) { kx::multiply_group<kBrain, false, false>(s, a_at(k), b_at(k), k > 0); });
  run_products(c + 1 * kM * kN,
               [&](S s, u32 k) { kx::multiply_group<kBrain, true, false>(s, a_turned(k), b_at(k), k > 0); });
  run_products(c + 2 * kM * kN,
               [&](S s, u32 k) { kx::multiply_group<kBrain, false, true>(s, a_at(k), b_turned(k), k > 0); });
  run_products(c + 3 * kM * kN, [&](S s, u32 k) {
    kx::multiply_group<kBrain, true, true>(s, a_turned(k), b_turned(k), k > 0);
  });
  run_products(c + 4 * kM * kN, [&](S s, u32 k) { kx::multiply_group<kBrain, false>(s, band[k], b_at(k)); });
  run_products(c + 5 * kM * kN,
               [&](S s, u32 k) { kx::multiply_group<kBrain, true>(s, band[k], b_turned(k)); });
}
#endif

// c (6, 64, 128) = a (64, 64) b' (64, 128), as the first factor stands, turned, again for b turned, and with
// a in registers for both.
extern "C" __global__ void __launch_bounds__(128)
    group_factors(const u16* a, const u16* b, float* c, u32 brain) {
#if KX_WARP_GROUPS
  brain ? all_factors<true>(a, b, c) : all_factors<false>(a, b, c);
#endif
}

// Warp 0 hands numbers over to warps 1 and 2 through two places, `count` times; each adds up what it reads.
extern "C" __global__ void __launch_bounds__(96) relay(const u32* x, u32* sums, i64 count) {
#if KX_WARP_GROUPS
  kx::Shared shared;
  u32* const places = shared.take<u32>(2 * 32);
  kx::SharedBarrier* const full = shared.take<kx::SharedBarrier>(2);
  kx::SharedBarrier* const empty = shared.take<kx::SharedBarrier>(2);
  const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (threadIdx.x < 2) full[threadIdx.x].make(32), empty[threadIdx.x].make(2);
  __syncthreads();
  u32 sum = 0;
  for (u32 i = 0; i < count; ++i) {
    const u32 place = i % 2, parity = i / 2 % 2;
    if (warp == 0) {
      if (!empty[place].over(parity ^ 1)) empty[place].wait(parity ^ 1);
      places[place * 32 + lane] = x[i * 32 + lane];
      full[place].arrive();
    } else {
      full[place].wait(parity);
      sum = sum * 3 + places[place * 32 + 31 - lane];
      __syncwarp();
      if (lane == 0) empty[place].arrive();
    }
  }
  if (warp) sums[threadIdx.x - 32] = sum;
#endif
}

// Rows of values, one a round: each block adds 1 to what its neighbour has written in the round before.
extern "C" __global__ void rounds(u32* values, u32* arrived) {
  const u32 n = gridDim.x, next = (blockIdx.x + 1) % n;
  for (u32 round = 1; round < 4 && threadIdx.x == 0; ++round) {
    values[round * n + blockIdx.x] = values[(round - 1) * n + next] + 1;
    __threadfence();
    atomicAdd(arrived, 1u);
    kx::wait_for_blocks(arrived, round * n);
  }
}

KX_ENTRY(group_products)
KX_ENTRY(group_factors)
KX_ENTRY(relay)
KX_ENTRY(rounds)
KX_ENTRY(streams)
KX_ENTRY(lanes)
KX_ENTRY(block_sums)
KX_ENTRY(products)
KX_ENTRY(transposed)
KX_ENTRY(halves)
KX_ENTRY(product_f16)
