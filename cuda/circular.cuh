// That the norm of a circular convolution is below a bound s: at each frequency a Cholesky factorisation of
// s^2 I - G, by one block.
//
// If the factorisation in double comes to its end, the smallest eigenvalue of the matrix it was given is
// above -(n + 2) units of rounding times its trace (Rump, BIT 46, 2006; complex numbers double the terms of a
// sum, and four times that is taken), however the sums are ordered and whether they are fused or not. So
// |K(f)|^2 <= s^2 + slack, where slack adds the roundings of the diagonal and those of G: what
// csrc/lipschitz/circular.cpp proves, with its constants. Roots and quotients are those of IEEE; rows are
// multiplied by the reciprocal of their pivot, one rounding more than a quotient has, which the constants
// bear. Who asks for s takes the slack off beforehand.
//
// R^H R is made in panels of 16 rows. A tile of 16 x 64 places of a panel begins as s^2 I - G, summed up from
// the differences where it is needed, so the matrix itself is never in memory; products of the rows above go
// through shared memory, 16 deep; a thread has 2 x 4 complex places, so that it reads six for eight products.
// Then a warp factors the corner, and each thread solves columns of the panel, four rows at a time: a whole
// column in registers spilled. Panels wait for
// each other: what limits a small matrix is that chain, and a GPU is full because frequencies are many. Not
// tried: several frequencies to a block, which would share reads of even and odd; tensor cores for doubles.
// Not measured on a GPU.
#include "circular_lanczos.cuh"

namespace kx::circular {

constexpr int kPanel = 16, kWide = 64;
constexpr double kRound = 0x1p-53;

// Shared memory of a factorisation: rows of the panel and of the tile, the corner, and whether it failed.
struct Pieces {
  double *left, *right, *corner, *inverse;  // reciprocals of the corner's pivots
  int* failed;

  __device__ explicit Pieces(Shared& shared)
      : left(shared.take<double>(2 * kPanel * kPanel)),
        right(shared.take<double>(2 * kPanel * kWide)),
        corner(shared.take<double>(2 * kPanel * kPanel)),
        inverse(shared.take<double>(kPanel)),
        failed(shared.take<int>(1)) {}
};

// Places (i0 .., j0 ..) of s^2 I - G less the products of the rows above, at and right of the diagonal.
__device__ inline void reduce_tile(const Gram& gram, double squared, i64 i0, i64 j0, double* r,
                                   const Pieces& pieces) {
  const i64 n = gram.n, area = n * n;
  const int row = static_cast<int>(threadIdx.x) / 16, column = static_cast<int>(threadIdx.x) % 16;
  double real[2][4] = {}, imaginary[2][4] = {};
  i64 place[2][4];  // anything outside of the matrix reads its last place
#pragma unroll
  for (int a = 0; a < 2; ++a)
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const i64 i = i0 + row + 8 * a, j = j0 + column + 16 * b;
      place[a][b] = i < n && j < n && j >= i ? i * n + j : area - 1;
    }
  for (i64 d = 0; d < gram.differences; ++d) {
    const double *const even = gram.even + d * area, *const odd = gram.odd + d * area;
    const double cosine = gram.factors[d], sine = gram.factors[gram.differences + d];
#pragma unroll
    for (int a = 0; a < 2; ++a)
#pragma unroll
      for (int b = 0; b < 4; ++b) {
        real[a][b] = fused(cosine, even[place[a][b]], real[a][b]);
        imaginary[a][b] = fused(sine, odd[place[a][b]], imaginary[a][b]);
      }
  }
#pragma unroll
  for (int a = 0; a < 2; ++a)
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const bool diagonal = i0 + row + 8 * a == j0 + column + 16 * b;
      real[a][b] = diagonal ? squared - real[a][b] : -real[a][b];
      imaginary[a][b] = -imaginary[a][b];
    }
  for (i64 k0 = 0; k0 < i0; k0 += kPanel) {
    __syncthreads();
    for (int e = static_cast<int>(threadIdx.x); e < 2 * kPanel * kPanel; e += kThreads) {
      const i64 k = k0 + e / kPanel % kPanel, i = i0 + e % kPanel;
      pieces.left[e] = i < n ? r[e / (kPanel * kPanel) * area + k * n + i] : 0.0;
    }
    for (int e = static_cast<int>(threadIdx.x); e < 2 * kPanel * kWide; e += kThreads) {
      const i64 k = k0 + e / kWide % kPanel, j = j0 + e % kWide;
      pieces.right[e] = j < n ? r[e / (kPanel * kWide) * area + k * n + j] : 0.0;
    }
    __syncthreads();
#pragma unroll 2
    for (int k = 0; k < kPanel; ++k)
#pragma unroll
      for (int a = 0; a < 2; ++a) {
        const double x = pieces.left[k * kPanel + row + 8 * a];
        const double y = pieces.left[(kPanel + k) * kPanel + row + 8 * a];
#pragma unroll
        for (int b = 0; b < 4; ++b) {
          const double u = pieces.right[k * kWide + column + 16 * b];
          const double v = pieces.right[(kPanel + k) * kWide + column + 16 * b];
          real[a][b] = fused(-x, u, fused(-y, v, real[a][b]));
          imaginary[a][b] = fused(-x, v, fused(y, u, imaginary[a][b]));
        }
      }
  }
#pragma unroll
  for (int a = 0; a < 2; ++a)
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const i64 i = i0 + row + 8 * a, j = j0 + column + 16 * b;
      if (i < n && j < n && j >= i) r[i * n + j] = real[a][b], r[area + i * n + j] = imaginary[a][b];
    }
}

// Factors the corner, which has `rows` rows, by one warp.
__device__ inline void factor_corner(int rows, const Pieces& pieces) {
  double *const real = pieces.corner, *const imaginary = real + kPanel * kPanel;
  const int lane = lane_id();
  for (int k = 0; k < rows; ++k) {
    const double square = real[k * kPanel + k];
    if (!(square > 0 && square < infinity())) {
      if (lane == 0) *pieces.failed = 1;
      return;
    }
    const double pivot = sqrt(square), inverse = 1 / pivot;
    __syncwarp();
    if (lane == 0) real[k * kPanel + k] = pivot, pieces.inverse[k] = inverse;
    for (int j = k + 1 + lane; j < rows; j += static_cast<int>(kWarp))
      real[k * kPanel + j] *= inverse, imaginary[k * kPanel + j] *= inverse;
    __syncwarp();
    const int left = rows - k - 1;
    for (int e = lane; e < left * left; e += static_cast<int>(kWarp)) {
      const int i = k + 1 + e / left, j = k + 1 + e % left;
      if (j < i) continue;
      const double x = real[k * kPanel + i], y = imaginary[k * kPanel + i];
      const double u = real[k * kPanel + j], v = imaginary[k * kPanel + j];
      real[i * kPanel + j] = fused(-x, u, fused(-y, v, real[i * kPanel + j]));
      imaginary[i * kPanel + j] = fused(-x, v, fused(y, u, imaginary[i * kPanel + j]));
    }
    __syncwarp();
  }
}

// Column j of a whole panel from row k0 on: R_corner^H X = what is there, four rows at a time.
__device__ inline void solve_column(double* r, i64 n, i64 k0, i64 j, const Pieces& pieces) {
  double *const real = r + k0 * n + j, *const imaginary = real + n * n;
  const double* const corner = pieces.corner;
#pragma unroll 1
  for (int first = 0; first < kPanel; first += 4) {
    double x[4], y[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) x[k] = real[(first + k) * n], y[k] = imaginary[(first + k) * n];
#pragma unroll 2
    for (int l = 0; l < first; ++l) {
      const double u = real[l * n], v = imaginary[l * n];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const double c = corner[l * kPanel + first + k], s = corner[(kPanel + l) * kPanel + first + k];
        x[k] = fused(-c, u, fused(-s, v, x[k]));
        y[k] = fused(-c, v, fused(s, u, y[k]));
      }
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
#pragma unroll
      for (int l = 0; l < k; ++l) {
        const double c = corner[(first + l) * kPanel + first + k];
        const double s = corner[(kPanel + first + l) * kPanel + first + k];
        x[k] = fused(-c, x[l], fused(-s, y[l], x[k]));
        y[k] = fused(-c, y[l], fused(s, x[l], y[k]));
      }
      x[k] *= pieces.inverse[first + k], y[k] *= pieces.inverse[first + k];
      real[(first + k) * n] = x[k], imaginary[(first + k) * n] = y[k];
    }
  }
}

// Whether s^2 I - G can be factored; `r` is room for planes of n x n numbers.
__device__ inline bool cholesky(const Gram& gram, double squared, double* r, const Pieces& pieces) {
  const i64 n = gram.n;
  if (threadIdx.x == 0) *pieces.failed = 0;
  for (i64 k0 = 0; k0 < n; k0 += kPanel) {
    const int rows = static_cast<int>(n - k0 < kPanel ? n - k0 : kPanel);
    for (i64 j0 = k0; j0 < n; j0 += kWide) reduce_tile(gram, squared, k0, j0, r, pieces);
    __syncthreads();
    for (int e = static_cast<int>(threadIdx.x); e < 2 * kPanel * kPanel; e += kThreads) {
      const int i = e / kPanel % kPanel, j = e % kPanel;
      if (i <= j && j < rows) pieces.corner[e] = r[e / (kPanel * kPanel) * n * n + (k0 + i) * n + k0 + j];
    }
    __syncthreads();
    if (threadIdx.x < kWarp) factor_corner(rows, pieces);
    __syncthreads();
    if (*pieces.failed) break;
    for (int e = static_cast<int>(threadIdx.x); e < 2 * kPanel * kPanel; e += kThreads) {
      const int i = e / kPanel % kPanel, j = e % kPanel;
      if (i <= j && j < rows) r[e / (kPanel * kPanel) * n * n + (k0 + i) * n + k0 + j] = pieces.corner[e];
    }
    for (i64 j = k0 + kPanel + threadIdx.x; j < n; j += kThreads) solve_column(r, n, k0, j, pieces);
    __syncthreads();
  }
  const bool passed = !*pieces.failed;
  __syncthreads();
  return passed;
}

// What is proven of the norm at each frequency, near `bound`; 0 where nothing is. `errors` bounds the
// roundings of G for each group. A block's memory: factors, R.
extern "C" __global__ void __launch_bounds__(kThreads, 2)
    circular_test(const i64* table, const double* turns, const i64* differences, const double* even,
                  const double* odd, const double* errors, const i64* ids, i64 count, double bound,
                  double* memory, double* proven) {
  Shared shared;
  const Pieces pieces(shared);
  double* const of_warp = shared.take<double>(kWarps);
  const Problem& p = problem_of(table);
  const i64 n = p.side();
  const double size = static_cast<double>(n);
  double* const factors = memory + blockIdx.x * (2 * p.differences + 2 * n * n);
  for (i64 at = blockIdx.x; at < count; at += gridDim.x) {
    const Gram gram = gram_of(p, turns, differences, even, odd, ids[at], factors);
    double trace = 0;
    for (i64 i = threadIdx.x; i < n; i += kThreads) {
      double real, imaginary;
      gram.at(i, i, real, imaginary);
      trace += real;
    }
    trace = sum_over_block(trace, of_warp);
    const double error = errors[ids[at] / (p.sides[0] * p.sides[1])];
    const auto slack = [&](double squared) {
      const double left = fmax(size * squared - trace, 0.0) + 8 * size * kRound * squared;
      return error + 8 * kRound * ((size + 2) * left + 4 * squared);
    };
    const double squared = bound * bound * (1 - 8 * kRound) - slack(bound * bound);
    const bool passed = squared > 0 && cholesky(gram, squared, factors + 2 * p.differences, pieces);
    if (threadIdx.x == 0) proven[at] = passed ? sqrt(squared + slack(squared)) * (1 + 4 * kRound) : 0.0;
    __syncthreads();
  }
}
KX_ENTRY(circular_test)

// A real plane wave of one frequency and group over the inputs or the outputs, 0 in other groups' channels.
// `vector` has real and imaginary parts of what it is at a cell, (phases down, phases across, channels).
extern "C" __global__ void __launch_bounds__(kThreads)
    circular_wave(const i64* table, const double* turns, const double* vector, i64 id, i64 outputs,
                  i64 height, i64 width, double* to) {
  const Problem& p = problem_of(table);
  const i64 channels = outputs ? p.rows : p.channels, size = outputs ? p.rows : p.cols;
  const i64 all = p.groups * channels * height * width;
  for (i64 i = first_number(); i < all; i += all_threads()) {
    const i64 channel = i / (height * width), y = i / width % height, x = i % width;
    // Outputs lie at multiples of the stride around the torus, inputs where the padding has moved them.
    const i64 down =
        outputs ? y * p.stride[0] % (p.sides[0] * p.phases[0]) : (y + p.pad[0]) % (p.sides[0] * p.phases[0]);
    const i64 across =
        outputs ? x * p.stride[1] % (p.sides[1] * p.phases[1]) : (x + p.pad[1]) % (p.sides[1] * p.phases[1]);
    const i64 cell[3] = {down / p.phases[0], across / p.phases[1], 0};
    const i64 phase = outputs ? 0 : (down % p.phases[0]) * p.phases[1] + across % p.phases[1];
    const i64 at = phase * channels + channel % channels;
    double cosine, sine;
    factor(p, turns, cell, id, cosine, sine);
    const bool own = channel / channels == id / (p.sides[0] * p.sides[1]);
    to[i] = own ? vector[at] * cosine - vector[size + at] * sine : 0.0;
  }
}
KX_ENTRY(circular_wave)

template <class T>
__device__ inline void give(const double* from, i64 count, T* to) {
  for (i64 i = first_number(); i < count; i += all_threads()) to[i] = static_cast<T>(from[i]);
}

}  // namespace kx::circular

#define KX_CIRCULAR(kind, T)                                                                              \
  extern "C" __global__ void __launch_bounds__(128)                                                       \
      circular_largest_##kind(const T* weight, kx::i64 count, double* parts) {                            \
    kx::circular::largest<T>(weight, count, parts);                                                       \
  }                                                                                                       \
  extern "C" __global__ void __launch_bounds__(128)                                                       \
      circular_pack_##kind(const kx::i64* table, const kx::i64* cells, const T* weight, kx::i64 exponent, \
                           double* matrices, double* kernel) {                                            \
    kx::circular::pack<T>(table, cells, weight, exponent, matrices, kernel);                              \
  }                                                                                                       \
  extern "C" __global__ void __launch_bounds__(128)                                                       \
      circular_give_##kind(const double* from, kx::i64 count, T* to) {                                    \
    kx::circular::give<T>(from, count, to);                                                               \
  }                                                                                                       \
  KX_ENTRY(circular_give_##kind)                                                                          \
  KX_ENTRY(circular_largest_##kind)                                                                       \
  KX_ENTRY(circular_pack_##kind)
KX_CIRCULAR(f, float)
KX_CIRCULAR(d, double)
