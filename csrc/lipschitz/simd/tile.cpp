// Products of small blocks that stay in registers, which all certificates are made of.
//
// A Gram matrix A'A, the elimination step of a Cholesky factorisation R'R, and the sum over the taps of a
// kernel are the same loop: c[i][j] += sum over k of a[k][i] b[k][j], rows of a and b contiguous. A tile of
// 6 rows x 4 registers (4 x 2 complex) of sums stays in registers over k, which is innermost: 4 loads and 6
// broadcasts for 24 multiply-adds, whose rate is the limit. Floats are summed as such over short runs of k
// and then added to doubles: the rounding of a run enters the proof, and a run of 32 costs a sixth more than
// one without end. Real and imaginary parts are apart ("planes"): interleaved, half of the work would be
// shuffles.
#include "lipschitz/simd/span.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

// The sums of a tile over k = 0 .. depth - 1; FULL: all its registers count.
template <class T, int ROWS, int VECTORS, bool FULL>
KXFAST_INLINE void sums(const T* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t depth,
                        const Span<T>& span, Vector<T> (&sum)[ROWS][VECTORS]) {
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; ++j) sum[i][j] = Vector<T>{};
  for (int64_t k = 0; k < depth; ++k, a += a_stride, b += b_stride) {
    Vector<T> row[VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; ++j) row[j] = FULL ? load(b + j * Lanes<T>::kWidth) : span.read(b, j);
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; ++i) {
      const Vector<T> value = all(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) sum[i][j] = fma(value, row[j], sum[i][j]);
    }
  }
}

template <int VECTORS, bool FULL>
void product_panel(const double* a, int64_t a_stride, const double* b, int64_t b_stride, int64_t depth,
                   double* c, int64_t c_stride, int64_t rows, const Span<double>& span) {
  by_rows<6>(rows, [&](int64_t first, auto tile) {
    constexpr int kRows = decltype(tile)::kCount;
    Vector<double> sum[kRows][VECTORS];
    sums<double, kRows, VECTORS, FULL>(a + first, a_stride, b, b_stride, depth, span, sum);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) {
        double* to = c + (first + i) * c_stride;
        span.write(to, j, span.read(to, j) + sum[i][j]);
      }
  });
}

// Adds a register of floats to the doubles at `to`.
KXFAST_INLINE void add_widened(double* to, Vector<float> value, int64_t count) {
  Vector<double> wide[2];
  widen(value, wide);
#pragma GCC unroll 2
  for (int64_t h = 0; h < 2; ++h) {
    const int64_t left = count - h * kDoubles;
    double* at = to + h * kDoubles;
    if (left >= kDoubles)
      store(at, load(at) + wide[h]);
    else if (left > 0)
      store(at, load(at, left) + wide[h], left);
  }
}

template <int VECTORS, bool FULL>
void float_panel(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t depth,
                 int64_t run, double* c, int64_t c_stride, int64_t rows, const Span<float>& span,
                 int64_t cols) {
  by_rows<6>(rows, [&](int64_t first, auto tile) {
    constexpr int kRows = decltype(tile)::kCount;
    for (int64_t k = 0; k < depth; k += run) {
      Vector<float> sum[kRows][VECTORS];
      sums<float, kRows, VECTORS, FULL>(a + k * a_stride + first, a_stride, b + k * b_stride, b_stride,
                                        depth - k < run ? depth - k : run, span, sum);
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
        for (int64_t j = 0; j < VECTORS; ++j) {
          const int64_t at = j * Lanes<float>::kWidth;
          add_widened(c + (first + i) * c_stride + at, sum[i][j], cols - at);
        }
    }
  });
}

// c -= conj(a)' b over `depth` rows of a and b.
template <int VECTORS, bool FULL>
void complex_panel(Planes a, Planes b, int64_t depth, Planes c, int64_t rows, const Span<double>& span) {
  by_rows<4>(rows, [&](int64_t first, auto tile) {
    constexpr int kRows = decltype(tile)::kCount;
    Vector<double> real[kRows][VECTORS], imag[kRows][VECTORS];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < VECTORS; ++j) real[i][j] = imag[i][j] = Vector<double>{};
    const double *from = a.data + first, *with = b.data;
    for (int64_t k = 0; k < depth; ++k, from += a.stride, with += b.stride) {
      Vector<double> re[VECTORS], im[VECTORS];
#pragma GCC unroll 2
      for (int j = 0; j < VECTORS; ++j) {
        re[j] = FULL ? load(with + j * kDoubles) : span.read(with, j);
        im[j] = FULL ? load(with + b.plane + j * kDoubles) : span.read(with + b.plane, j);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const Vector<double> x = all(from[i]), y = all(from[a.plane + i]), minus = -y;
#pragma GCC unroll 2
        for (int j = 0; j < VECTORS; ++j) {
          real[i][j] = fma(y, im[j], fma(x, re[j], real[i][j]));
          imag[i][j] = fma(minus, re[j], fma(x, im[j], imag[i][j]));
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < VECTORS; ++j) {
        double* to = c.data + (first + i) * c.stride;
        span.write(to, j, span.read(to, j) - real[i][j]);
        span.write(to + c.plane, j, span.read(to + c.plane, j) - imag[i][j]);
      }
  });
}

template <int VECTORS, bool FULL>
void real_panel(Planes a, Planes b, int64_t depth, Planes c, int64_t rows, const Span<double>& span) {
  by_rows<6>(rows, [&](int64_t first, auto tile) {
    constexpr int kRows = decltype(tile)::kCount;
    Vector<double> sum[kRows][VECTORS];
    sums<double, kRows, VECTORS, FULL>(a.data + first, a.stride, b.data, b.stride, depth, span, sum);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) {
        double* to = c.data + (first + i) * c.stride;
        span.write(to, j, span.read(to, j) - sum[i][j]);
      }
  });
}

}  // namespace

// c (rows, cols) += sum over k of a[k][i] b[k][j]
void add_product(const double* a, int64_t a_stride, const double* b, int64_t b_stride, int64_t depth,
                 double* c, int64_t c_stride, int64_t rows, int64_t cols) {
  constexpr int64_t kWide = 2 * kVectors * kDoubles;
  int64_t j = 0;
  for (; j + kWide <= cols; j += kWide)
    product_panel<2 * kVectors, true>(a, a_stride, b + j, b_stride, depth, c + j, c_stride, rows, kWide);
  if (j < cols)
    product_panel<2 * kVectors, false>(a, a_stride, b + j, b_stride, depth, c + j, c_stride, rows, cols - j);
}

// The same, floats summed over `run` rows at a time.
void add_product_of_floats(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t depth,
                           int64_t run, double* c, int64_t c_stride, int64_t rows, int64_t cols) {
  constexpr int64_t kWide = 2 * kVectors * Lanes<float>::kWidth;
  int64_t j = 0;
  for (; j + kWide <= cols; j += kWide)
    float_panel<2 * kVectors, true>(a, a_stride, b + j, b_stride, depth, run, c + j, c_stride, rows, kWide,
                                    kWide);
  if (j < cols)
    float_panel<2 * kVectors, false>(a, a_stride, b + j, b_stride, depth, run, c + j, c_stride, rows,
                                     cols - j, cols - j);
}

// c (rows, cols) -= sum over k of conj(a[k][i]) b[k][j]; real where c.plane is 0.
void subtract_gram(Planes a, Planes b, int64_t depth, Planes c, int64_t rows, int64_t cols) {
  const int64_t wide = (c.plane ? kVectors : 2 * kVectors) * kDoubles;
  int64_t j = 0;
  for (; j + wide <= cols; j += wide)
    if (c.plane)
      complex_panel<kVectors, true>(a, b.at(0, j), depth, c.at(0, j), rows, wide);
    else
      real_panel<2 * kVectors, true>(a, b.at(0, j), depth, c.at(0, j), rows, wide);
  if (j < cols) {
    if (c.plane)
      complex_panel<kVectors, false>(a, b.at(0, j), depth, c.at(0, j), rows, cols - j);
    else
      real_panel<2 * kVectors, false>(a, b.at(0, j), depth, c.at(0, j), rows, cols - j);
  }
}

}  // namespace kxfast::lipschitz::KXFAST_ISA
