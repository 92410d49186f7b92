// What is done row by row beside the products of a gated convolution: gradients of candidates and gates,
// layer normalisation and its gradient, and sums over positions.
//
// Each kernel reads and writes its arrays once, threads side by side along channels, and memory is its limit.
// Sums over positions are made in parts, 32 positions a block, and `conv_total` adds the parts up in their
// order; no result depends on which block was first.
#include "conv_gates.cuh"

namespace kx::conv {

constexpr int kBlockRows = 32, kAcross = 128;

// Mean and inverse deviation of the row of a warp, n = (u - mean) / deviation.
template <class Sum>
struct Normal {
  Sum mean, inverse;
};
template <class Sum>
__device__ __forceinline__ Sum warp_sum(Sum x) {
  for (int by = 16; by; by /= 2) x += __shfl_xor_sync(kAllLanes, x, by);
  return x;
}
template <class Sum, class Value>
__device__ __forceinline__ Normal<Sum> normal_of(i64 channels, Value value) {
  const i64 lane = threadIdx.x % kWarp;
  Sum sum = 0, square = 0;
  for (i64 f = lane; f < channels; f += kWarp) sum += value(f);
  const Sum mean = warp_sum(sum) / static_cast<Sum>(channels);
  for (i64 f = lane; f < channels; f += kWarp) {
    const Sum x = value(f) - mean;
    square = fused(x, x, square);
  }
  const Sum variance = warp_sum(square) / static_cast<Sum>(channels);
  return {mean, 1 / root(variance + static_cast<Sum>(1e-7))};
}

}  // namespace kx::conv

// y = skip + alpha (n gamma + beta), n being `mixed` with mean 0 and variance 1: a warp a row.
extern "C" __global__ void __launch_bounds__(128)
    conv_norm(const kx::SumOf<KX_T>* mixed, const KX_T* gamma, const KX_T* beta, double alpha,
              const KX_T* skipped, const kx::SumOf<KX_T>* projected, const kx::u8* skip_mask, kx::i64 rows,
              kx::i64 channels, KX_T* y) {
  using Sum = kx::SumOf<KX_T>;
  const kx::i64 row = static_cast<kx::i64>(blockIdx.x) * 4 + threadIdx.x / kx::kWarp;
  if (row >= rows) return;
  const Sum* const u = mixed + row * channels;
  const kx::conv::Skipped<KX_T> skip = {skipped, projected, skip_mask, channels};
  const kx::conv::Normal<Sum> normal = kx::conv::normal_of<Sum>(channels, [&](kx::i64 f) { return u[f]; });
  for (kx::i64 f = threadIdx.x % kx::kWarp; f < channels; f += kx::kWarp) {
    const Sum n = (u[f] - normal.mean) * normal.inverse;
    const Sum scaled = kx::fused(n, kx::widen(gamma[f]), kx::widen(beta[f]));
    kx::narrow(y[row * channels + f], kx::fused(static_cast<Sum>(alpha), scaled, skip.at(row, f)));
  }
}
KX_ENTRY(conv_norm)

// The gradient du of `mixed`, and parts (blocks, 2 channels) of the sums of dy n and of dy.
extern "C" __global__ void __launch_bounds__(128)
    conv_norm_back(const KX_T* grad, const kx::SumOf<KX_T>* parts, const KX_T* gamma, double alpha,
                   kx::i64 rows, kx::i64 channels, kx::SumOf<KX_T>* du, kx::SumOf<KX_T>* sums) {
  using namespace kx;
  using namespace kx::conv;
  using Sum = SumOf<KX_T>;
  Shared shared;
  Sum* const mean = shared.take<Sum>(kBlockRows);
  Sum* const inverse = shared.take<Sum>(kBlockRows);
  Sum* const level = shared.take<Sum>(kBlockRows);
  Sum* const slope = shared.take<Sum>(kBlockRows);
  const i64 first = static_cast<i64>(blockIdx.x) * kBlockRows;
  const auto mixed = [&](i64 row, i64 f) {
    return parts[row * 2 * channels + f] * parts[row * 2 * channels + channels + f];
  };
  const auto of_normal = [&](i64 row, i64 f) {
    return static_cast<Sum>(alpha) * widen(grad[row * channels + f]) * widen(gamma[f]);
  };
  for (int r = static_cast<int>(threadIdx.x / kWarp); r < kBlockRows && first + r < rows; r += 4) {
    const i64 row = first + r;
    const Normal<Sum> normal = normal_of<Sum>(channels, [&](i64 f) { return mixed(row, f); });
    Sum all = 0, along = 0;
    for (i64 f = threadIdx.x % kWarp; f < channels; f += kWarp) {
      const Sum d = of_normal(row, f);
      all += d, along = fused(d, (mixed(row, f) - normal.mean) * normal.inverse, along);
    }
    all = warp_sum(all), along = warp_sum(along);
    if (threadIdx.x % kWarp) continue;
    mean[r] = normal.mean, inverse[r] = normal.inverse;
    level[r] = all / static_cast<Sum>(channels), slope[r] = along / static_cast<Sum>(channels);
  }
  __syncthreads();
  for (i64 f = threadIdx.x; f < channels; f += kAcross) {
    Sum of_n = 0, of_one = 0;
    for (int r = 0; r < kBlockRows && first + r < rows; ++r) {
      const i64 row = first + r;
      const Sum n = (mixed(row, f) - mean[r]) * inverse[r], dy = widen(grad[row * channels + f]);
      du[row * channels + f] = (of_normal(row, f) - level[r] - n * slope[r]) * inverse[r];
      of_n = fused(dy, n, of_n), of_one += dy;
    }
    sums[static_cast<i64>(blockIdx.x) * 2 * channels + f] = of_n;
    sums[static_cast<i64>(blockIdx.x) * 2 * channels + channels + f] = of_one;
  }
}
KX_ENTRY(conv_norm_back)

// The gradients of gamma, beta and alpha from the sums of dy n and of dy: one block.
extern "C" __global__ void __launch_bounds__(128)
    conv_norm_last(const kx::SumOf<KX_T>* sums, const KX_T* gamma, const KX_T* beta, double alpha,
                   kx::i64 channels, KX_T* dgamma, KX_T* dbeta, KX_T* dalpha) {
  using Sum = kx::SumOf<KX_T>;
  kx::Shared shared;
  Sum* const of_warp = shared.take<Sum>(4);
  Sum sum = 0;
  for (kx::i64 f = threadIdx.x; f < channels; f += kx::conv::kAcross) {
    kx::narrow(dgamma[f], static_cast<Sum>(alpha) * sums[f]);
    kx::narrow(dbeta[f], static_cast<Sum>(alpha) * sums[channels + f]);
    sum += sums[f] * kx::widen(gamma[f]) + sums[channels + f] * kx::widen(beta[f]);
  }
  sum = kx::conv::warp_sum(sum);
  if (threadIdx.x % kx::kWarp == 0) of_warp[threadIdx.x / kx::kWarp] = sum;
  __syncthreads();
  if (threadIdx.x == 0) kx::narrow(*dalpha, (of_warp[0] + of_warp[1]) + (of_warp[2] + of_warp[3]));
}
KX_ENTRY(conv_norm_last)

// dh (rows, 2 channels) of dy, or of du behind a normalisation; what goes through the skip connection, twice:
// to be added, and to be multiplied; parts (blocks, 2 channels) of the sums of dh and (blocks, channels) of
// the latter. Null pointers are not wanted.
extern "C" __global__ void __launch_bounds__(128)
    conv_gates(const KX_T* grad, const kx::SumOf<KX_T>* du, const kx::SumOf<KX_T>* parts,
               const kx::u8* counted, kx::i64 skip, kx::i64 first_half, const KX_T* skipped,
               const kx::SumOf<KX_T>* projected, const kx::u8* skip_mask, kx::u64 threshold, kx::u64 key,
               double kept, double sign, kx::i64 rows, kx::i64 channels, KX_T* dh, kx::SumOf<KX_T>* added,
               KX_T* through, kx::SumOf<KX_T>* sums, kx::SumOf<KX_T>* sums_through) {
  using namespace kx;
  using namespace kx::conv;
  using Sum = SumOf<KX_T>;
  const i64 across = (channels + kAcross - 1) / kAcross, f = blockIdx.x % across * kAcross + threadIdx.x;
  const i64 block = blockIdx.x / across, first = block * kBlockRows, end = first + kBlockRows;
  if (f >= channels) return;
  const Skipped<KX_T> input = {skipped, projected, skip_mask, channels};
  const Dropout dropout = {threshold, key, kept, sign};
  const i64 of_c = first_half ? channels : 0, of_g = channels - of_c;
  Sum sum_c = 0, sum_g = 0, sum_skip = 0;
  for (i64 row = first; row < end && row < rows; ++row) {
    Sum dc = 0, dg = 0, past = 0;
    if (!counted || counted[row]) {
      const Sum dy = widen(grad[row * channels + f]), d = du ? du[row * channels + f] : dy;
      const Sum c = parts[row * 2 * channels + f], opens = parts[row * 2 * channels + channels + f];
      const Sum keeps = 1 - opens, other = skip == kGated ? c - input.at(row, f) : c;
      Sum factor[2];
      dropout.factors(factor, row, f / 2 * 2);
      dc = d * opens, dg = d * other * opens * keeps * (f % 2 ? factor[1] : factor[0]);
      past = skip == kGated ? dy * keeps : skip == kAdd ? dy : 0;
    }
    narrow(dh[row * 2 * channels + of_c + f], dc);
    narrow(dh[row * 2 * channels + of_g + f], dg);
    if (added) added[row * channels + f] = past;
    if (through) narrow(through[row * channels + f], past);
    sum_c += dc, sum_g += dg, sum_skip += past;
  }
  if (sums) {
    sums[block * 2 * channels + of_c + f] = sum_c;
    sums[block * 2 * channels + of_g + f] = sum_g;
  }
  if (sums_through) sums_through[block * channels + f] = sum_skip;
}
KX_ENTRY(conv_gates)

// out or sums_out (columns) = the sum of `count` parts, in their order: 8 threads a column.
extern "C" __global__ void __launch_bounds__(256)
    conv_total(const kx::SumOf<KX_T>* parts, kx::i64 count, kx::i64 columns, KX_T* out,
               kx::SumOf<KX_T>* sums_out) {
  using Sum = kx::SumOf<KX_T>;
  kx::Shared shared;
  Sum* const of_thread = shared.take<Sum>(256);
  const kx::i64 column = static_cast<kx::i64>(blockIdx.x) * 32 + threadIdx.x % 32, each = (count + 7) / 8;
  const kx::i64 first = threadIdx.x / 32 * each;
  Sum sum = 0;
  for (kx::i64 i = first; i < first + each && i < count && column < columns; ++i)
    sum += parts[i * columns + column];
  of_thread[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x >= 32 || column >= columns) return;
  for (int i = 1; i < 8; ++i) sum += of_thread[i * 32 + threadIdx.x];
  if (out) kx::narrow(out[column], sum);
  if (sums_out) sums_out[column] = sum;
}
KX_ENTRY(conv_total)
