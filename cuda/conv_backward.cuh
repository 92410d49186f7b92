// The gradient of a convolution's weight: for each tap a product over all positions, x' dh.
//
// A block owns a tile of channels in and channels out of one tap, and a slice of the positions: both factors
// come as they lie in memory, 64 bytes worth of positions a step, and are turned by ldmatrix on the way to
// registers. The innermost loop is over the columns of a matrix instruction's second factor, as in the
// forward pass. Slices leave their sums in memory, and `conv_total` adds them up in their order: no result
// depends on which block was first. A position counts where its tap lies in the sequence, is readable, and
// where the result counts; the others are read from nowhere, so NaN in padding has no way in. The other
// gradients are the forward pass's own products (`conv_turned`). Slices are made so long that their sums,
// written and read once, cost little beside the products. Not measured on a GPU.
#include "conv_tiles.cuh"

// Slice, tap and tile of a block: the slices of a tile are the farthest apart.
extern "C" __global__ void __launch_bounds__(128, 2)
    conv_weights(const KX_T* x, const kx::u8* readable, const kx::u8* counted, kx::i64 rows, kx::i64 length,
                 kx::i64 deep, kx::i64 taps, kx::i64 step, kx::i64 origin, const KX_T* grad, kx::i64 columns,
                 kx::i64 slice, kx::SumOf<KX_T>* parts) {
  using namespace kx;
  using namespace kx::conv;
  using T = KX_T;
  constexpr int kPitchA = padded<T>(kRows), kPitchB = padded<T>(kColumns), kSizeA = kDeep<T> * kPitchA;
  constexpr int kSize = kSizeA + kDeep<T> * kPitchB, kCount = Chunk<T>::kCount;
  Shared shared;
  T* const memory = shared.take<T>(kStages * kSize);
  const i64 down = (deep + kRows - 1) / kRows, across = (columns + kColumns - 1) / kColumns;
  const i64 begin = blockIdx.x % across * kColumns, top = blockIdx.x / across % down * kRows;
  const i64 tap = blockIdx.x / (across * down) % taps, part = blockIdx.x / (across * down * taps);
  const i64 shift = step * tap + origin, last = (part + 1) * slice, end = last < rows ? last : rows;
  const i64 steps = (end - part * slice + kDeep<T> - 1) / kDeep<T>;
  const bool whole = deep % kCount == 0 && columns % kCount == 0;
  i64 now = part * slice, place = now % length;  // in its sequence
  const auto bring = [&](i64 stage) {
    if (now < end) {
      T* const a = memory + stage * kSize;
      T* const b = a + kSizeA;
      fetch<T, kDeep<T>, kRows, kPitchA>(a, deep - top, whole, [&](int, int r) -> const T* {
        const i64 row = now + r, beyond = place + r;
        // Few rows lie in the next sequence, and only they divide.
        const i64 at = (beyond < length ? beyond : beyond % length) + shift;
        if (row >= end || at < 0 || at >= length) return nullptr;
        if ((counted && !counted[row]) || (readable && !readable[row + shift])) return nullptr;
        return x + (row + shift) * deep + top;
      });
      for (int g = 0; g < 2; ++g)
        fetch<T, kDeep<T>, kN, kPitchB>(b + g * kN, columns - begin - g * kN, whole, [&](int, int r) {
          return now + r < end ? grad + (now + r) * columns + begin + g * kN : nullptr;
        });
      now += kDeep<T>, place += kDeep<T>;
      if (place >= length) place %= length;
    }
    copy_async_commit();
  };
  Sums<T, kBands, kN> sums;
  sums.clear();
  for (int s = 0; s < kStages - 1; ++s) bring(s);
  for (i64 i = 0; i < steps; ++i) {
    copy_async_wait<kStages - 2>();
    __syncthreads();
    bring((i + kStages - 1) % kStages);
    const T* const a = memory + i % kStages * kSize;
    multiply_tiles<T, true, false>(sums, a, a + kSizeA);
  }
  const bool pair = columns % 2 == 0;
  SumOf<T>* const to = parts + (part * taps + tap) * deep * columns;
#pragma unroll
  for (int t = 0; t < kBands; ++t)
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int n = 0; n < 2 * kPairs; ++n) {
        const i64 row = top + own_row() + t * 16 + 8 * i + lane_id() / 4;
        const i64 column = begin + column_of(n) + lane_id() % 4 * 2;
        const SumOf<T> both[2] = {sums.at[t][n][2 * i], sums.at[t][n][2 * i + 1]};
        if (row < deep && column < columns)
          store_pair<SumOf<T>>(to + row * columns + column, both, column + 1 < columns ? 2 : 1, pair);
      }
}
KX_ENTRY(conv_weights)
