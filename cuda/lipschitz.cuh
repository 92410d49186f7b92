// The training step of spectral normalisation for many layers at once: one launch for each iteration of all
// layers, one more for the scaled weights. u = W v, t = W' u with the u that is not yet normalised, then
// sigma = |t| / |u|, u / |u| and v = t / |t|, as csrc/lipschitz/normalize.cpp does it.
//
// A layer is cut into chunks of whole rows, some 32 thousand elements, a block each, so that a large layer is
// read by many multiprocessors. A warp takes the product of a row with v, its lanes side by side along the
// row; then each thread goes down the chunk in its columns, where rows are in the first or second cache
// already: W comes from memory once. A chunk leaves its part of t in memory, and whichever block of a layer
// ends last adds the parts up, in their order, so that no result depends on which block that was. Lengths are
// summed in double. The least time is that of reading the weights; what lies above it is the last block's
// sums, and the launches. Not tried: a cluster for each layer, with parts of t exchanged in shared memory.
#include "common.cuh"

namespace kx::lipschitz {

constexpr u32 kThreads = 256, kWarps = kThreads / kWarp, kMostRows = 1024;
constexpr double kLeast = 1e-12;

// One layer, in the order of the table that Python makes. Addresses first; `from` and `to` are where v is
// read and u and v are written.
template <class T>
struct Layer {
  const T *weight, *u, *v;
  T *new_u, *new_v, *part, *user_u, *user_v, *out;
  i64 rows, columns, chunks, chunk_rows;
};
constexpr int kAddresses = 9, kSizes = 4, kFields = kAddresses + kSizes;

template <class T>
__device__ inline Layer<T> layer_of(const i64* table, i64 index) {
  const i64* const row = table + index * kFields;
  const auto place = [&](int i) { return reinterpret_cast<T*>(static_cast<u64>(row[i])); };
  return {place(0), place(1), place(2), place(3), place(4), place(5), place(6),
          place(7), place(8), row[9],   row[10],  row[11],  row[12]};
}

// The sum over the block of what each thread gives, in all threads; `of_warp` is shared memory.
__device__ inline double block_sum(double value, double* of_warp) {
  for (u32 by = kWarp / 2; by; by /= 2) value += __shfl_xor_sync(kAllLanes, value, static_cast<int>(by));
  __syncthreads();
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  double sum = 0;
  for (u32 w = 0; w < kWarps; ++w) sum += of_warp[w];
  return sum;
}

template <class T>
__device__ inline T row_product(const T* __restrict__ row, const T* __restrict__ v, i64 columns) {
  const i64 lane = threadIdx.x % kWarp;
  T sum[4] = {0, 0, 0, 0};
  i64 j = lane;
  for (; j + 3 * kWarp < columns; j += 4 * kWarp)
    for (int k = 0; k < 4; ++k) sum[k] += row[j + k * kWarp] * v[j + k * kWarp];
  for (; j < columns; j += kWarp) sum[0] += row[j] * v[j];
  T all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  for (u32 by = kWarp / 2; by; by /= 2) all += __shfl_xor_sync(kAllLanes, all, static_cast<int>(by));
  return all;
}

template <class T>
__device__ inline T column_product(const T* __restrict__ column, const T* u, i64 rows, i64 columns) {
  T sum[4] = {0, 0, 0, 0};
  i64 i = 0;
  for (; i + 3 < rows; i += 4)
    for (int k = 0; k < 4; ++k) sum[k] += u[i + k] * column[(i + k) * columns];
  for (; i < rows; ++i) sum[0] += u[i] * column[i * columns];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// What the last block of a layer does: adds up t and normalises.
template <class T>
__device__ inline double finish_step(const Layer<T>& layer, double* of_warp) {
  double square = 0, back = 0;
  for (i64 i = threadIdx.x; i < layer.rows; i += kThreads)
    square += static_cast<double>(layer.new_u[i]) * static_cast<double>(layer.new_u[i]);
  for (i64 j = threadIdx.x; j < layer.columns; j += kThreads) {
    T sum = 0;
    for (i64 c = 0; c < layer.chunks; ++c) sum += layer.part[c * layer.columns + j];
    layer.new_v[j] = sum;
    back += static_cast<double>(sum) * static_cast<double>(sum);
  }
  const double length = sqrt(block_sum(square, of_warp)), size = length < kLeast ? kLeast : length;
  const double sigma = sqrt(block_sum(back, of_warp)) / size, by = (sigma < kLeast ? kLeast : sigma) * size;
  for (i64 i = threadIdx.x; i < layer.rows; i += kThreads)
    layer.new_u[i] = static_cast<T>(static_cast<double>(layer.new_u[i]) / size);
  for (i64 j = threadIdx.x; j < layer.columns; j += kThreads)
    layer.new_v[j] = static_cast<T>(static_cast<double>(layer.new_v[j]) / by);
  return sigma;
}

// The same without iterations: u' W v.
template <class T>
__device__ inline double finish_value(const Layer<T>& layer, double* of_warp) {
  double sum = 0;
  for (i64 i = threadIdx.x; i < layer.rows; i += kThreads)
    sum += static_cast<double>(layer.u[i]) * static_cast<double>(layer.new_u[i]);
  return block_sum(sum, of_warp);
}

// Block b does chunk places[2 b + 1] of layer places[2 b]. `arrived` counts the blocks of a layer and is 0
// again after the launch; sigmas is where the layers' values go, `bad` counts those that are not finite.
template <class T>
__device__ inline void step(const i64* table, const i64* places, i64 values_only, u32* arrived,
                            double* sigmas, u32* bad) {
  Shared shared;
  double* const of_warp = shared.take<double>(kWarps);
  u32* const last = shared.take<u32>(1);
  T* const u = shared.take<T>(kMostRows);
  const i64 index = places[2 * blockIdx.x], chunk = places[2 * blockIdx.x + 1];
  const Layer<T> layer = layer_of<T>(table, index);
  const i64 first = chunk * layer.chunk_rows, left = layer.rows - first;
  const i64 rows = left < layer.chunk_rows ? left : layer.chunk_rows;
  for (i64 i = threadIdx.x / kWarp; i < rows; i += kWarps) {
    const T product = row_product(layer.weight + (first + i) * layer.columns, layer.v, layer.columns);
    if (threadIdx.x % kWarp == 0) u[i] = layer.new_u[first + i] = product;
  }
  __syncthreads();
  if (!values_only)
    for (i64 j = threadIdx.x; j < layer.columns; j += kThreads)
      layer.part[chunk * layer.columns + j] =
          column_product(layer.weight + first * layer.columns + j, u, rows, layer.columns);
  __threadfence();  // what the block has written is there before it counts as arrived
  __syncthreads();
  if (threadIdx.x == 0) *last = atomicAdd(arrived + index, 1u) == static_cast<u32>(layer.chunks) - 1;
  __syncthreads();
  if (!*last) return;
  __threadfence();  // and is read after the last has
  const double sigma = values_only ? finish_value(layer, of_warp) : finish_step(layer, of_warp);
  if (threadIdx.x) return;
  arrived[index] = 0;
  sigmas[index] = sigma;
  if (!(sigma - sigma == 0)) atomicAdd(bad, 1u);
}

// Unless some layer has no finite value: factors, scaled weights, and u and v where the caller has them.
template <class T>
__device__ inline void scale(const i64* table, const i64* places, double coeff, i64 hard, i64 keep,
                             const double* sigmas, const u32* bad, double* factors) {
  if (*bad) return;
  const i64 index = places[2 * blockIdx.x], chunk = places[2 * blockIdx.x + 1];
  const Layer<T> layer = layer_of<T>(table, index);
  const double sigma = sigmas[index], ratio = sigma > 0 ? coeff / sigma : 1;
  const double factor = hard || ratio < 1 ? ratio : 1;
  const i64 begin = chunk * layer.chunk_rows * layer.columns, all = layer.rows * layer.columns;
  const i64 end = chunk == layer.chunks - 1 ? all : begin + layer.chunk_rows * layer.columns;
  if (layer.out)
    for (i64 i = begin + threadIdx.x; i < end; i += kThreads)
      layer.out[i] = layer.weight[i] * static_cast<T>(factor);
  if (chunk) return;
  if (threadIdx.x == 0) factors[index] = factor;
  for (i64 i = threadIdx.x; keep && i < layer.rows; i += kThreads) layer.user_u[i] = layer.new_u[i];
  for (i64 j = threadIdx.x; keep && j < layer.columns; j += kThreads) layer.user_v[j] = layer.new_v[j];
}

}  // namespace kx::lipschitz

#define KX_LIPSCHITZ(kind, T)                                                                             \
  extern "C" __global__ void __launch_bounds__(256)                                                       \
      step_##kind(const kx::i64* table, const kx::i64* places, kx::i64 values_only, kx::u32* arrived,     \
                  double* sigmas, kx::u32* bad) {                                                         \
    kx::lipschitz::step<T>(table, places, values_only, arrived, sigmas, bad);                             \
  }                                                                                                       \
  extern "C" __global__ void __launch_bounds__(256)                                                       \
      scale_##kind(const kx::i64* table, const kx::i64* places, double coeff, kx::i64 hard, kx::i64 keep, \
                   const double* sigmas, const kx::u32* bad, double* factors) {                           \
    kx::lipschitz::scale<T>(table, places, coeff, hard, keep, sigmas, bad, factors);                      \
  }                                                                                                       \
  KX_ENTRY(step_##kind)                                                                                   \
  KX_ENTRY(scale_##kind)
KX_LIPSCHITZ(f, float)
KX_LIPSCHITZ(d, double)
