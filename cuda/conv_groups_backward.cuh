// The gradient of a convolution's weight on Hopper: see conv_backward.cuh for the slices and their sums.
//
// A block owns 128 channels in and 256 columns of one tap, and a slice of the positions, 64 of them a step;
// both factors come as they lie in memory and are turned by the instruction that multiplies them. A warp
// group has 64 channels in. The innermost loop is over the 16 positions of an instruction. Which rows count
// is asked a step before they are brought, so that copies need not wait for the answer. As in the forward
// pass, a step brings 48 KiB for 2^21 products. Not measured on a GPU.
#include "conv_groups_ring.cuh"

namespace kx::conv {

constexpr int kRows = 128, kColumns = 256, kPanel = 64 * kDeep;

// The positions of a slice, and which of them a tap reads something for.
template <class T>
struct Slice {
  const T* x;
  const u8 *readable, *counted;
  i64 length, deep, shift, now, end;

  // Brings the columns from `top` of x and from `begin` of grad, of all positions.
  __device__ __forceinline__ void bring(Ring<T>& ring, i64 top, const T* grad, i64 columns, i64 begin) const {
    const Bringer mine;
    i64 first = now, place = now % length;
    // Of its four rows of a step a thread looks after one: what is known of it, and what is to be read.
    bool within = false;
    u8 counts = 1, reads = 1;
    const auto look = [&] {
      const i64 r = mine.row + 16 * mine.chunk, row = first + r, beyond = place + r;
      // Few rows lie in the next sequence, and only they divide.
      const i64 at = (beyond < length ? beyond : beyond % length) + shift;
      within = mine.chunk < kDeep / 16 && row < end && at >= 0 && at < length;
      if (within && counted) counts = counted[row];
      if (within && readable) reads = readable[row + shift];
    };
    look();
    for (i64 from = now; from < end; from = first) {
      const u32 live = mine.votes(within && counts && reads);
      first += kDeep, place += kDeep;
      if (place >= length) place %= length;
      look();
      ring.wait_until_empty();
#pragma unroll
      for (int p = 0; p < kColumns / 64; ++p) {
        const i64 column = begin + p * 64 + mine.column;
        const T* const rows = grad + (from + mine.row) * columns + column;
#pragma unroll
        for (int j = 0; j < kDeep / 16; ++j)
          bring_chunk(ring.a() + p * kPanel + mine.place + j * Bringer::kJump, rows + 16 * j * columns,
                      column < columns && from + mine.row + 16 * j < end);
      }
#pragma unroll
      for (int p = 0; p < kRows / 64; ++p) {
        const i64 column = top + p * 64 + mine.column;
        const T* const rows = x + (from + mine.row + shift) * deep + column;
#pragma unroll
        for (int j = 0; j < kDeep / 16; ++j)
          bring_chunk(ring.b() + p * kPanel + mine.place + j * Bringer::kJump, rows + 16 * j * deep,
                      column < deep && live >> j & 1);
      }
      ring.sent();
    }
    ring.all_sent();
  }
};

}  // namespace kx::conv

// Slice, tap and tile of a block: the slices of a tile are the farthest apart.
extern "C" __global__ void __launch_bounds__(384, 1)
    conv_weights(const KX_T* x, const kx::u8* readable, const kx::u8* counted, kx::i64 rows, kx::i64 length,
                 kx::i64 deep, kx::i64 taps, kx::i64 step, kx::i64 origin, const KX_T* grad, kx::i64 columns,
                 kx::i64 slice, kx::SumOf<KX_T>* parts) {
  using namespace kx;
  using namespace kx::conv;
  using T = KX_T;
  Shared shared;
  Ring<T> ring(shared);
  const i64 down = (deep + kRows - 1) / kRows, across = (columns + kColumns - 1) / kColumns;
  const i64 begin = blockIdx.x % across * kColumns, top = blockIdx.x / across % down * kRows;
  const i64 tap = blockIdx.x / (across * down) % taps, part = blockIdx.x / (across * down * taps);
  const i64 first = part * slice, last = first + slice, end = last < rows ? last : rows;
  if (threadIdx.x < kGroup) {
    leave_registers<kFewer>();
    const Slice<T> all = {x, readable, counted, length, deep, step * tap + origin, first, end};
    all.bring(ring, top, grad, columns, begin);
  } else {
    take_registers<kMore>();
    // One of a warp: addresses are computed once for all lanes.
    const int group = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x / kGroup) - 1, 0), lane = lane_id();
    GroupSums sums;
    multiply_steps(ring, sums, (end - first + kDeep - 1) / kDeep, [&](const T* a, const T* b, int k) {
      const u64 left = moved(turned_descriptor(b + group * kPanel, 0, 0), static_cast<u32>(128 * k));
      const u64 right = moved(turned_descriptor(a, 0, kPanel * 2), static_cast<u32>(128 * k));
#pragma unroll
      for (int m = 0; m < kBands; ++m)
        multiply_group<kBrain<T>, true, true>(sums[m], left, moved(right, static_cast<u32>(m * 4 * kPanel)));
    });
    float* const to = parts + (part * taps + tap) * deep * columns;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const i64 row = top + group * 64 + threadIdx.x / kWarp % 4 * 16 + i * 8 + lane / 4;
#pragma unroll
      for (int m = 0; m < kBands; ++m)
#pragma unroll
        for (int n = 0; n < kTiles; ++n) {
          const i64 column = begin + m * 128 + n * 8 + lane % 4 * 2;
          const float both[2] = {sums[m][n][2 * i], sums[m][n][2 * i + 1]};
          if (row < deep && column < columns) store_pair<float>(to + row * columns + column, both, 2, true);
        }
    }
  }
}
KX_ENTRY(conv_weights)
