// Power iteration with a convolution as the operator: all steps in one launch, v = W' u / |W' u|, u = W v /
// |W v|.
//
// All blocks are resident together, and a barrier over the grid stands behind each product. A block goes
// through tiles of 128 places and 8 channels of the result: a thread has one place, so that neighbours read
// neighbours; the innermost loop is over the channels that are summed, a number of the input and 8 weights
// each, which lie side by side in a copy that the launch makes of the weight first, one for each direction.
// The adjoint gathers too: each place asks which outputs read it, so nothing is added by chance. Lengths are
// sums of parts, one a tile, in their order and in double; who reads a vector divides by its length. What
// limits it are loads: three for eight fused multiply-adds. Not tried: tensor cores of tf32 for the direction
// with one exact product in the end. Not measured on a GPU.
#include "numbers.cuh"

namespace kx::lipschitz {

constexpr int kPlaces = 128, kWidth = 8;

// One axis of how a kernel moves: sizes of input, output and kernel, and the steps.
struct Axis {
  i64 in, out, taps, stride, pad, dilation;

  // The input that output `o` reads with a tap, or -1.
  __device__ __forceinline__ i64 read(i64 o, i64 tap, bool circular) const {
    const i64 at = o * stride + tap * dilation - pad;
    if (circular) return (at % in + in) % in;
    return at >= 0 && at < in ? at : -1;
  }
  // How often an input may be read by a tap: once, or in each copy of it that the padding holds.
  __device__ __forceinline__ i64 copies(bool circular) const {
    return circular ? 1 + 2 * ((pad + in - 1) / in) : 1;
  }
  // The output that reads the k-th copy of input `i` with a tap, or -1.
  __device__ __forceinline__ i64 reader(i64 i, i64 tap, i64 k, bool circular) const {
    const i64 place = i + pad + (circular ? (k - (pad + in - 1) / in) * in : 0), at = place - tap * dilation;
    if (place < 0 || place >= in + 2 * pad || at < 0 || at % stride || at / stride >= out) return -1;
    return at / stride;
  }
};

// A convolution (outputs F, inputs D) of two axes, in the order of the table that Python makes.
struct Operator {
  i64 outputs, inputs, groups, circular;
  Axis down, across;
};
constexpr int kNumbers = 16;

// The sum over the block of what each thread gives, in all threads; `of_warp` is shared memory.
__device__ inline double sum_of_block(double value, double* of_warp) {
  for (int by = 16; by; by /= 2) value += __shfl_xor_sync(kAllLanes, value, by);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  return (of_warp[0] + of_warp[1]) + (of_warp[2] + of_warp[3]);
}

// to = the product with `from` times `by`, of the operator or its adjoint; parts: each tile's sum of squares,
// or of products with `beside`. `weights` is (groups, taps, channels in, channels out made whole).
template <class T, bool kAdjoint>
__device__ inline void product(const Operator& op, const T* from, double by, const T* weights, T* to,
                               const T* beside, double* parts, double* of_warp) {
  constexpr int kChunks = kWidth / Chunk<T>::kCount;
  const i64 made = (kAdjoint ? op.inputs : op.outputs) / op.groups;
  const i64 summed = (kAdjoint ? op.outputs : op.inputs) / op.groups;
  const i64 height = kAdjoint ? op.down.in : op.down.out, width = kAdjoint ? op.across.in : op.across.out;
  const i64 from_width = kAdjoint ? op.across.out : op.across.in;
  const i64 plane = (kAdjoint ? op.down.out : op.down.in) * from_width, places = height * width;
  const i64 across = (places + kPlaces - 1) / kPlaces, down = (made + kWidth - 1) / kWidth;
  const bool circular = op.circular != 0;
  for (i64 tile = blockIdx.x; tile < across * down * op.groups; tile += gridDim.x) {
    const i64 place = tile % across * kPlaces + threadIdx.x, first = tile / across % down * kWidth;
    const i64 group = tile / (across * down), y = place / width, x = place % width;
    const T* const planes = from + group * summed * plane;
    const T* const columns = weights + group * op.down.taps * op.across.taps * summed * down * kWidth + first;
    T sums[kWidth] = {};
    const auto add = [&](i64 tap, i64 row, i64 column) {
      const T* const x_at = planes + row * from_width + column;
      const T* const w_at = columns + tap * summed * down * kWidth;
#pragma unroll 4
      for (i64 c = 0; c < summed; ++c) {
        const T value = x_at[c * plane];
#pragma unroll
        for (int k = 0; k < kChunks; ++k) {
          const Chunk<T> some =
              *reinterpret_cast<const Chunk<T>*>(w_at + c * down * kWidth + k * Chunk<T>::kCount);
#pragma unroll
          for (int e = 0; e < Chunk<T>::kCount; ++e) {
            T& sum = sums[k * Chunk<T>::kCount + e];
            sum = fused(value, some.at[e], sum);
          }
        }
      }
    };
    for (i64 i = 0; i < op.down.taps && place < places; ++i)
      for (i64 j = 0; j < op.across.taps; ++j) {
        const i64 tap = i * op.across.taps + j;
        if constexpr (kAdjoint) {
          for (i64 k = 0; k < op.down.copies(circular); ++k) {
            const i64 row = op.down.reader(y, i, k, circular);
            for (i64 l = 0; row >= 0 && l < op.across.copies(circular); ++l) {
              const i64 column = op.across.reader(x, j, l, circular);
              if (column >= 0) add(tap, row, column);
            }
          }
        } else {
          const i64 row = op.down.read(y, i, circular), column = op.across.read(x, j, circular);
          if (row >= 0 && column >= 0) add(tap, row, column);
        }
      }
    double part = 0;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      if (place >= places || first + j >= made) continue;
      const i64 at = (group * made + first + j) * places + place;
      const T result = sums[j] * static_cast<T>(by);
      to[at] = result;
      part += static_cast<double>(result) * static_cast<double>(beside ? beside[at] : result);
    }
    part = sum_of_block(part, of_warp);
    if (threadIdx.x == 0) parts[tile] = part;
  }
}

// Copies (groups, taps, channels in, channels out made whole) of the weight, for both directions.
template <class T>
__device__ inline void copy_weights(const Operator& op, const T* weight, T* forward, T* adjoint) {
  const i64 outs = op.outputs / op.groups, ins = op.inputs / op.groups, taps = op.down.taps * op.across.taps;
  const i64 wide_outs = (outs + kWidth - 1) / kWidth * kWidth,
            wide_ins = (ins + kWidth - 1) / kWidth * kWidth;
  const i64 step = static_cast<i64>(gridDim.x) * blockDim.x,
            first = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  const auto at = [&](i64 group, i64 out, i64 in, i64 tap) {
    return out < outs && in < ins ? weight[((group * outs + out) * ins + in) * taps + tap] : T{};
  };
  for (i64 i = first; i < op.groups * taps * ins * wide_outs; i += step)
    forward[i] =
        at(i / (taps * ins * wide_outs), i % wide_outs, i / wide_outs % ins, i / (wide_outs * ins) % taps);
  for (i64 i = first; i < op.groups * taps * outs * wide_ins; i += step)
    adjoint[i] =
        at(i / (taps * outs * wide_ins), i / wide_ins % outs, i % wide_ins, i / (wide_ins * outs) % taps);
}

template <class T>
__device__ inline void iterate(const i64* table, const T* weight, const T* u, const T* v, i64 n_iter,
                               double eps, T* forward, T* adjoint, T* new_u, T* new_v, double* parts,
                               double* sigma, u32* arrived) {
  Shared shared;
  double* const of_warp = shared.take<double>(4);
  i64* const numbers = shared.take<i64>(kNumbers);  // registers are for sums
  for (int i = static_cast<int>(threadIdx.x); i < kNumbers; i += kPlaces) numbers[i] = table[i];
  __syncthreads();
  const Operator& op = *reinterpret_cast<const Operator*>(numbers);
  u32 rounds = 0;
  const auto tiles = [&](i64 places, i64 channels) {
    return (places + kPlaces - 1) / kPlaces * ((channels / op.groups + kWidth - 1) / kWidth) * op.groups;
  };
  const i64 of_u = tiles(op.down.out * op.across.out, op.outputs);
  const i64 of_v = tiles(op.down.in * op.across.in, op.inputs);
  const auto total = [&](const double* some, i64 count) {
    double sum = 0;
    for (i64 i = threadIdx.x; i < count; i += kPlaces) sum += some[i];
    return sum_of_block(sum, of_warp);
  };
  copy_weights(op, weight, forward, adjoint);
  wait_for_all_blocks(arrived, ++rounds);
  if (!n_iter) {
    product<T, false>(op, v, 1, forward, new_u, u, parts, of_warp);
    wait_for_all_blocks(arrived, ++rounds);
    const double value = total(parts, of_u);
    if (blockIdx.x == 0 && threadIdx.x == 0) *sigma = value;
    return;
  }
  double by_u = 1, by_v = 1, length = 0;
  for (i64 i = 0; i < n_iter; ++i) {
    product<T, true>(op, i ? new_u : u, by_u, adjoint, new_v, nullptr, parts + of_u, of_warp);
    wait_for_all_blocks(arrived, ++rounds);
    length = sqrt(total(parts + of_u, of_v));
    by_v = 1 / (length < eps ? eps : length);
    product<T, false>(op, new_v, by_v, forward, new_u, nullptr, parts, of_warp);
    wait_for_all_blocks(arrived, ++rounds);
    length = sqrt(total(parts, of_u));
    by_u = 1 / (length < eps ? eps : length);
  }
  // W v is what new_u holds, and u is that times by_u: their product needs no convolution.
  if (blockIdx.x == 0 && threadIdx.x == 0) *sigma = length * length * by_u;
  const i64 step = static_cast<i64>(gridDim.x) * kPlaces,
            first = static_cast<i64>(blockIdx.x) * kPlaces + threadIdx.x;
  for (i64 i = first; i < op.outputs * op.down.out * op.across.out; i += step)
    new_u[i] *= static_cast<T>(by_u);
  for (i64 i = first; i < op.inputs * op.down.in * op.across.in; i += step) new_v[i] *= static_cast<T>(by_v);
}

}  // namespace kx::lipschitz

#define KX_CONV_POWER(kind, T)                                                                               \
  extern "C" __global__ void __launch_bounds__(128, 2) conv_power_##kind(                                    \
      const kx::i64* table, const T* weight, const T* u, const T* v, kx::i64 n_iter, double eps, T* forward, \
      T* adjoint, T* new_u, T* new_v, double* parts, double* sigma, kx::u32* arrived) {                      \
    kx::lipschitz::iterate<T>(table, weight, u, v, n_iter, eps, forward, adjoint, new_u, new_v, parts,       \
                              sigma, arrived);                                                               \
  }                                                                                                          \
  KX_ENTRY(conv_power_##kind)
KX_CONV_POWER(f, float)
KX_CONV_POWER(d, double)
