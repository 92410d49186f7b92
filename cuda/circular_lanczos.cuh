// Lanczos on the Gram matrix of one frequency by one block, for its largest eigenvalue and the vector.
//
// The matrix is written out in memory of the block's own and read once a step, a warp to a row; vectors are
// rows of that memory too, real parts and then imaginary ones. There is no second orthogonalisation: only the
// largest value is wanted, and copies of it do no harm. After some steps the tridiagonal matrix is asked for
// its largest eigenvalue, by 128 shifts at a time, and for its vector, by a factorisation from both ends;
// what couples that vector to the next step bounds the error. At the last step it starts again from there.
// Nothing is proven here: the value only says which bound to try.
#include "circular_gram.cuh"

namespace kx::circular {

constexpr int kMostSteps = 128, kRounds = 8;

// A tridiagonal matrix, and room for what is computed of it; all in shared memory.
struct Tridiagonal {
  double *diagonal, *beside, *forward, *backward, *vector, *of_warp;

  // The largest eigenvalue of the first `size` rows, in all threads, and its unit vector.
  __device__ double largest(int size) const {
    const double tiny = 1e-290;
    double low = diagonal[0], high = diagonal[0];
    for (int i = 0; i < size; ++i) {
      const double around = (i ? beside[i - 1] : 0.0) + (i + 1 < size ? beside[i] : 0.0);
      low = fmax(low, diagonal[i]), high = fmax(high, diagonal[i] + around);
    }
    const auto pivot = [&](double x) { return fabs(x) < tiny ? -tiny : x; };
    for (int round = 0; round < 9 && high - low > 1e-16 * fabs(high); ++round) {
      const double step = (high - low) / (kThreads + 1), shift = low + (threadIdx.x + 1) * step;
      double d = pivot(diagonal[0] - shift);
      bool above = d > 0;  // an eigenvalue is
      for (int i = 1; i < size; ++i) {
        d = pivot(diagonal[i] - shift - beside[i - 1] * beside[i - 1] / d);
        above |= d > 0;
      }
      const int count = __syncthreads_count(above);
      high = count < kThreads ? low + (count + 1) * step : high;
      low += count * step;
    }
    if (threadIdx.x == 0)
      for (int i = 0; i < size; ++i)
        forward[i] = pivot(diagonal[i] - high - (i ? beside[i - 1] * beside[i - 1] / forward[i - 1] : 0.0));
    if (threadIdx.x == kWarp)
      for (int i = size - 1; i >= 0; --i)
        backward[i] =
            pivot(diagonal[i] - high - (i + 1 < size ? beside[i] * beside[i] / backward[i + 1] : 0.0));
    __syncthreads();
    if (threadIdx.x == 0) {
      int middle = 0;
      double least = infinity();
      for (int i = 0; i < size; ++i) {
        const double gap = fabs(forward[i] + backward[i] - (diagonal[i] - high));
        if (gap < least) least = gap, middle = i;
      }
      vector[middle] = 1;
      for (int i = middle; i > 0; --i) vector[i - 1] = -beside[i - 1] / forward[i - 1] * vector[i];
      for (int i = middle; i + 1 < size; ++i) vector[i + 1] = -beside[i] / backward[i + 1] * vector[i];
    }
    __syncthreads();
    const int own = static_cast<int>(threadIdx.x);
    const double square = own < size ? vector[own] * vector[own] : 0.0;
    const double length = sqrt(sum_over_block(square, of_warp));
    if (own < size) vector[own] *= 1 / length;
    __syncthreads();
    return high;
  }
};

// G in full, planes of real and imaginary parts.
__device__ inline void write_out(const Gram& gram, double* matrix) {
  const i64 n = gram.n, area = n * n;
  for (i64 place = threadIdx.x; place < area; place += kThreads) {
    const i64 i = place / n, j = place % n;
    if (j < i) continue;
    double real, imaginary;
    gram.at(i, j, real, imaginary);
    if (i == j) imaginary = 0;
    matrix[place] = matrix[j * n + i] = real;
    matrix[area + place] = imaginary;
    if (i != j) matrix[area + j * n + i] = -imaginary;
  }
  __syncthreads();
}

// y = G x.
__device__ inline void times(const double* matrix, i64 n, const double* x, double* y) {
  const i64 lane = threadIdx.x % kWarp;
  for (i64 i = threadIdx.x / kWarp; i < n; i += kWarps) {
    const double *const real = matrix + i * n, *const imaginary = real + n * n;
    double a = 0, b = 0;
    for (i64 j = lane; j < n; j += kWarp) {
      a = fused(real[j], x[j], fused(-imaginary[j], x[n + j], a));
      b = fused(real[j], x[n + j], fused(imaginary[j], x[j], b));
    }
    for (int by = 16; by; by /= 2) {
      a += __shfl_xor_sync(kAllLanes, a, by);
      b += __shfl_xor_sync(kAllLanes, b, by);
    }
    if (lane == 0) y[i] = a, y[n + i] = b;
  }
  __syncthreads();
}

__device__ inline double dot(const double* x, const double* y, i64 count, double* of_warp) {
  double sum = 0;
  for (i64 i = threadIdx.x; i < count; i += kThreads) sum = fused(x[i], y[i], sum);
  return sum_over_block(sum, of_warp);
}
__device__ inline void scale(const double* from, i64 count, double by, double* to) {
  for (i64 i = threadIdx.x; i < count; i += kThreads) to[i] = from[i] * by;
  __syncthreads();
}

// Steps from the unit vector in row 0 of `basis`; returns the value, and whether it is within `tol` of it.
// What was found is in `vector`.
__device__ inline double lanczos(const double* matrix, i64 n, int steps, double tol, double* basis,
                                 double* vector, const Tridiagonal& t, bool& done) {
  double beta = 0, value = 0;
  int k = 0;
  for (int check = 4;; ++k) {
    double *const x = basis + 2 * n * k, *const y = x + 2 * n;
    times(matrix, n, x, y);
    const double alpha = dot(x, y, 2 * n, t.of_warp);
    for (i64 i = threadIdx.x; i < 2 * n; i += kThreads)
      y[i] = fused(-alpha, x[i], y[i]) - (k ? beta * x[i - 2 * n] : 0.0);
    __syncthreads();
    beta = sqrt(dot(y, y, 2 * n, t.of_warp));
    if (threadIdx.x == 0) t.diagonal[k] = alpha, t.beside[k] = beta;
    __syncthreads();
    const bool alone = !(beta > 1e-14 * fabs(t.diagonal[0])), last = alone || k + 1 == steps;
    if (k + 1 >= check || last) {
      check = k + 1 + (k > 8 ? k / 2 : 4);
      value = t.largest(k + 1);
      done = alone || beta * fabs(t.vector[k]) <= tol * value;
      if (done || last) break;
    }
    scale(y, 2 * n, 1 / beta, y);
  }
  for (i64 i = threadIdx.x; i < 2 * n; i += kThreads) {
    double sum = 0;
    for (int l = 0; l <= k; ++l) sum = fused(t.vector[l], basis[2 * n * l + i], sum);
    vector[i] = sum;
  }
  __syncthreads();
  return value;
}

// Values and vectors (count, 2, side) of frequencies. A block's memory: factors, the matrix, steps + 1
// vectors.
extern "C" __global__ void __launch_bounds__(kThreads, 4)
    circular_raise(const i64* table, const double* turns, const i64* differences, const double* even,
                   const double* odd, const i64* ids, i64 count, i64 steps, double tol, u64 seed,
                   double* memory, double* values, double* vectors) {
  Shared shared;
  Tridiagonal t;
  t.diagonal = shared.take<double>(kMostSteps), t.beside = shared.take<double>(kMostSteps);
  t.forward = shared.take<double>(kMostSteps), t.backward = shared.take<double>(kMostSteps);
  t.vector = shared.take<double>(kMostSteps), t.of_warp = shared.take<double>(kWarps);
  const Problem& p = problem_of(table);
  const i64 n = p.side();
  double* const factors = memory + blockIdx.x * (2 * p.differences + 2 * n * n + 2 * n * (steps + 1));
  double *const matrix = factors + 2 * p.differences, *const basis = matrix + 2 * n * n;
  for (i64 at = blockIdx.x; at < count; at += gridDim.x) {
    write_out(gram_of(p, turns, differences, even, odd, ids[at], factors), matrix);
    double* const vector = vectors + 2 * n * at;
    for (i64 i = threadIdx.x; i < 2 * n; i += kThreads) {
      u64 low, high;
      philox(seed, static_cast<u64>(ids[at]), static_cast<u64>(i), low, high);
      vector[i] = static_cast<double>(low >> 11) * 0x1p-53 - 0.5;
    }
    __syncthreads();
    double value = 0;
    bool done = false;
    for (int round = 0; round < kRounds && !done; ++round) {
      const double length = sqrt(dot(vector, vector, 2 * n, t.of_warp));
      scale(vector, 2 * n, 1 / length, basis);
      value = lanczos(matrix, n, static_cast<int>(steps), tol, basis, vector, t, done);
    }
    if (threadIdx.x == 0) values[at] = value;
  }
}
KX_ENTRY(circular_raise)

}  // namespace kx::circular
