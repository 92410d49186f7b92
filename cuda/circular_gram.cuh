// Gram matrices of a circular convolution at its frequencies, from the weight in memory.
//
// In polyphase form the operator has stride 1 and a matrix P_q (rows, cols) at each place q of a torus; its
// block at a frequency f is K(f) = sum over q of P_q e^{i f q}, and the blocks at f and -f are conjugate, so
// half of the frequencies are looked at. As in csrc/lipschitz/sums.hpp, G(f) = K* K is not multiplied out at
// each: H_d = sum over q' - q = d of P_q' P_q' is made once, even = H + H' and odd = H - H' of half of the
// differences d, and G(f) = sum over d of cos(f d) even_d + i sin(f d) odd_d. For few taps that transform is
// far less work than what follows it, and any place of it can be had alone; that is why it is written out
// here and not left to cuFFT, which would want all frequencies of padded kernels in memory, and which the
// tests, on the host, could not run.
//
// All of it is in double, as on the CPU. The bound of its roundings is the CPU's: any sum of t terms in any
// order, fused or not, is within t units of rounding of the sum of the sizes of its terms. A place of H_d
// adds `depth` products for each pair of taps and then the pairs; a place of G adds the differences, each
// times a cosine made of two tabulated ones, right to 32 units. Python's `Circular.errors` has the numbers.
//
// Shape of the work: a block takes a tile of 32 x 32 places of one H_d, and the transposed one, 16 deep at a
// time through shared memory. What limits it is not known before it has run on a GPU.
#include "numbers.cuh"

namespace kx::circular {

constexpr int kThreads = 128, kTile = 32, kDeep = 16, kWarps = kThreads / static_cast<int>(kWarp);

// What all launches of a call know, in the order of the table that Python makes: matrices of the taps, how
// many differences of their places, sides of the torus; the weight's channels and kernel, how far apart taps
// are, how many phases of the input; strides of the outputs and padding.
struct Problem {
  i64 groups, rows, cols, taps, differences, sides[2];
  i64 channels, kernel[2], dilation[2], phases[2], stride[2], pad[2];

  __device__ __forceinline__ i64 side() const { return rows < cols ? rows : cols; }
  __device__ __forceinline__ i64 depth() const { return rows < cols ? cols : rows; }
};
__device__ __forceinline__ const Problem& problem_of(const i64* table) {
  return *reinterpret_cast<const Problem*>(table);
}

__device__ __forceinline__ i64 first_number() {
  return static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x;
}
__device__ __forceinline__ i64 all_threads() {
  return static_cast<i64>(gridDim.x) * kThreads;
}

// The sum over the block of what each thread gives, in all threads; `of_warp` is shared memory.
__device__ inline double sum_over_block(double value, double* of_warp) {
  for (int by = 16; by; by /= 2) value += __shfl_xor_sync(kAllLanes, value, by);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  return (of_warp[0] + of_warp[1]) + (of_warp[2] + of_warp[3]);
}

// The largest size of a number in each block's share; infinite or not a number if some number is.
template <class T>
__device__ inline void largest(const T* weight, i64 count, double* parts) {
  Shared shared;
  double* const each = shared.take<double>(kThreads);
  double most = 0;
  for (i64 i = first_number(); i < count; i += all_threads()) {
    const double x = fabs(static_cast<double>(weight[i]));
    if (x > most || !(x == x)) most = x;  // nothing is more than what is no number
  }
  each[threadIdx.x] = most;
  __syncthreads();
  if (threadIdx.x) return;
  for (int i = 1; i < kThreads; ++i)
    if (each[i] > most || !(each[i] == each[i])) most = each[i];
  parts[blockIdx.x] = most;
}

// The weight times 2^-exponent, as it is and as matrices (groups, taps, depth, side) at cells of the torus.
template <class T>
__device__ inline void pack(const i64* table, const i64* cells, const T* weight, i64 exponent,
                            double* matrices, double* kernel) {
  const Problem& p = problem_of(table);
  const i64 n = p.side(), depth = p.depth(), down = p.kernel[0], across = p.kernel[1];
  const int by = -static_cast<int>(exponent);
  for (i64 i = first_number(); i < p.groups * p.taps * n * depth; i += all_threads()) {
    const i64 short_at = i % n, long_at = i / n % depth, tap = i / (n * depth) % p.taps;
    const i64 row = p.rows < p.cols ? short_at : long_at, col = p.rows < p.cols ? long_at : short_at;
    const i64 y = cells[2 * tap] * p.phases[0] + col / (p.channels * p.phases[1]);
    const i64 x = cells[2 * tap + 1] * p.phases[1] + col / p.channels % p.phases[1];
    const bool there = y % p.dilation[0] == 0 && y / p.dilation[0] < down && x % p.dilation[1] == 0 &&
                       x / p.dilation[1] < across;
    const i64 channel = (i / (n * depth * p.taps) * p.rows + row) * p.channels + col % p.channels;
    matrices[i] = there
                      ? ldexp(static_cast<double>(
                                  weight[(channel * down + y / p.dilation[0]) * across + x / p.dilation[1]]),
                              by)
                      : 0.0;
  }
  for (i64 i = first_number(); i < p.groups * p.rows * p.channels * down * across; i += all_threads())
    kernel[i] = ldexp(static_cast<double>(weight[i]), by);
}

// The sum of the squares of each tap's matrix, a block each.
extern "C" __global__ void __launch_bounds__(kThreads)
    circular_squares(const i64* table, const double* matrices, double* sums) {
  Shared shared;
  double* const of_warp = shared.take<double>(kWarps);
  const Problem& p = problem_of(table);
  const i64 size = p.rows * p.cols;
  double sum = 0;
  for (i64 i = threadIdx.x; i < size; i += kThreads) {
    const double x = matrices[blockIdx.x * size + i];
    sum = fused(x, x, sum);
  }
  sum = sum_over_block(sum, of_warp);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
KX_ENTRY(circular_squares)

// even and odd (groups, differences, side, side) at and right of the diagonal. `pairs` are those of taps that
// have a difference, from starts[d] on; `differences` (.., 3) says of each where it goes, and whether it is
// its own opposite.
extern "C" __global__ void __launch_bounds__(kThreads)
    circular_products(const i64* table, const i64* differences, const i64* starts, const i64* pairs,
                      const double* matrices, double* even, double* odd) {
  constexpr int kPiece = kDeep * kTile;
  Shared shared;
  double* const pieces = shared.take<double>(4 * kPiece);
  const Problem& p = problem_of(table);
  const i64 n = p.side(), depth = p.depth(), tiles = (n + kTile - 1) / kTile;
  const i64 number = blockIdx.x / (tiles * (tiles + 1) / 2), d = number % p.differences;
  const i64 group = number / p.differences;
  i64 above = blockIdx.x % (tiles * (tiles + 1) / 2), beside = 0;  // the tile: above <= beside
  while (above > beside) above -= ++beside;
  const int row = static_cast<int>(threadIdx.x) / 16, column = static_cast<int>(threadIdx.x) % 16;
  double straight[4][2] = {}, turned[4][2] = {};
  for (i64 pair = starts[d]; pair < starts[d + 1]; ++pair) {
    const double* const a = matrices + (group * p.taps + pairs[2 * pair]) * depth * n;
    const double* const b = matrices + (group * p.taps + pairs[2 * pair + 1]) * depth * n;
    double part[4][2] = {}, back[4][2] = {};
    for (i64 k0 = 0; k0 < depth; k0 += kDeep) {
      __syncthreads();
      for (int e = static_cast<int>(threadIdx.x); e < 4 * kPiece; e += kThreads) {
        const int which = e / kPiece;  // a above, b beside, a beside, b above
        const i64 k = k0 + e / kTile % kDeep, at = (which % 3 ? beside : above) * kTile + e % kTile;
        pieces[e] = k < depth && at < n ? (which % 2 ? b : a)[k * n + at] : 0.0;
      }
      __syncthreads();
#pragma unroll 4
      for (int k = 0; k < kDeep; ++k) {
        const double* const line = pieces + k * kTile;
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const double right = line[kPiece + column + 16 * c], left = line[2 * kPiece + column + 16 * c];
#pragma unroll
          for (int r = 0; r < 4; ++r) {
            part[r][c] = fused(line[row + 8 * r], right, part[r][c]);
            back[r][c] = fused(line[3 * kPiece + row + 8 * r], left, back[r][c]);
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
      for (int c = 0; c < 2; ++c) straight[r][c] += part[r][c], turned[r][c] += back[r][c];
  }
  const bool alone = differences[3 * d + 2] != 0;
#pragma unroll
  for (int r = 0; r < 4; ++r)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const i64 i = above * kTile + row + 8 * r, j = beside * kTile + column + 16 * c;
      if (i >= n || j >= n) continue;
      const double sum = straight[r][c] + turned[r][c];
      even[(number * n + i) * n + j] = alone ? 0.5 * sum : sum;
      odd[(number * n + i) * n + j] = alone ? 0.0 : straight[r][c] - turned[r][c];
    }
}
KX_ENTRY(circular_products)

// The trace of each even_d, a block each.
extern "C" __global__ void __launch_bounds__(kThreads)
    circular_traces(const i64* table, const double* even, double* sums) {
  Shared shared;
  double* const of_warp = shared.take<double>(kWarps);
  const i64 n = problem_of(table).side();
  double sum = 0;
  for (i64 i = threadIdx.x; i < n; i += kThreads) sum += even[(blockIdx.x * n + i) * n + i];
  sum = sum_over_block(sum, of_warp);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
KX_ENTRY(circular_traces)

// cos and sin of a frequency times a difference. A frequency is numbered (group, down, across); `turns` are
// cosines and sines of whole parts of a turn, of the first side and then of the second.
__device__ __forceinline__ void factor(const Problem& p, const double* turns, const i64* difference, i64 id,
                                       double& cosine, double& sine) {
  const i64 down = id / p.sides[1] % p.sides[0] * difference[0] % p.sides[0];
  const i64 across = id % p.sides[1] * difference[1] % p.sides[1];
  const double* const second = turns + 2 * p.sides[0];
  const double c0 = turns[down], s0 = turns[p.sides[0] + down];
  const double c1 = second[across], s1 = second[p.sides[1] + across];
  cosine = c0 * c1 - s0 * s1;
  sine = difference[2] ? 0.0 : s0 * c1 + c0 * s1;
}

// The trace of G at each frequency, to order them by; nothing is proven with it.
extern "C" __global__ void __launch_bounds__(kThreads)
    circular_weigh(const i64* table, const double* turns, const i64* differences, const double* sums,
                   const i64* ids, i64 count, double* weights) {
  const Problem& p = problem_of(table);
  for (i64 i = first_number(); i < count; i += all_threads()) {
    const double* const own = sums + ids[i] / (p.sides[0] * p.sides[1]) * p.differences;
    double sum = 0, cosine, sine;
    for (i64 d = 0; d < p.differences; ++d) {
      factor(p, turns, differences + 3 * d, ids[i], cosine, sine);
      sum = fused(cosine, own[d], sum);
    }
    weights[i] = sum;
  }
}
KX_ENTRY(circular_weigh)

// G at one frequency, place by place.
struct Gram {
  const double *even, *odd, *factors;  // of the group; cosines and then sines
  i64 n, differences;

  __device__ __forceinline__ void at(i64 i, i64 j, double& real, double& imaginary) const {
    const i64 area = n * n, place = i * n + j;
    real = imaginary = 0;
    for (i64 d = 0; d < differences; ++d) {
      real = fused(factors[d], even[d * area + place], real);
      imaginary = fused(factors[differences + d], odd[d * area + place], imaginary);
    }
  }
};
// `factors` is memory of the block's own, 2 * differences numbers.
__device__ inline Gram gram_of(const Problem& p, const double* turns, const i64* differences,
                               const double* even, const double* odd, i64 id, double* factors) {
  const i64 n = p.side(), group = id / (p.sides[0] * p.sides[1]), before = group * p.differences * n * n;
  for (i64 d = threadIdx.x; d < p.differences; d += kThreads)
    factor(p, turns, differences + 3 * d, id, factors[d], factors[p.differences + d]);
  __syncthreads();
  return {even + before, odd + before, factors, n, p.differences};
}

}  // namespace kx::circular
