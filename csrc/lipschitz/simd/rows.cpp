// What a certificate does row by row: the rows of R beside a factored corner, Gram matrices at frequencies
// from sums over taps, and a Hermitian or symmetric matrix times a vector.
//
// Each takes one or two registers of columns at a time. solve_rows keeps eight rows of them, so that a column
// is read and written once; combine keeps four frequencies, so that the matrices of the taps, which come from
// the L2 cache, are read once for four; hermitian_times and symmetric_times read the upper triangle once
// for both halves, the latter four rows at a time. The limit is the loads.
#include "lipschitz/simd/span.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

constexpr int kSolved = 8;  // rows of a diagonal block

// Rows 0 .. size - 1 of c become those of R: R^H x = c, R upper triangular, one register of columns at a
// time.
template <bool COMPLEX>
void solve(Planes r, int64_t size, Planes c, int64_t cols) {
  double inverse[kSolved];
  for (int64_t i = 0; i < size; ++i) inverse[i] = 1 / r.data[i * r.stride + i];
  for (int64_t j = 0; j < cols; j += kDoubles) {
    const Span<double> span(cols - j < kDoubles ? cols - j : kDoubles);
    Vector<double> re[kSolved], im[kSolved];
    for (int64_t i = 0; i < size; ++i) {
      double* row = c.data + i * c.stride + j;
      re[i] = span.read(row, 0);
      if (COMPLEX) im[i] = span.read(row + c.plane, 0);
      for (int64_t k = 0; k < i; ++k) {
        const double* above = r.data + k * r.stride + i;
        const Vector<double> x = all(-above[0]);
        re[i] = fma(x, re[k], re[i]);
        if (COMPLEX) {
          const Vector<double> y = all(above[r.plane]);
          re[i] = fma(-y, im[k], re[i]);
          im[i] = fma(y, re[k], fma(x, im[k], im[i]));
        }
      }
      re[i] *= inverse[i];
      span.write(row, 0, re[i]);
      if (COMPLEX) {
        im[i] *= inverse[i];
        span.write(row + c.plane, 0, im[i]);
      }
    }
  }
}

}  // namespace

// Rows of c beside a factored diagonal block of at most 8 rows, see solve().
void solve_rows(Planes r, int64_t size, Planes c, int64_t cols) {
  if (c.plane)
    solve<true>(r, size, c, cols);
  else
    solve<false>(r, size, c, cols);
}

// out[f][e] = sum over terms of factors[term][f] h[term][e] for the kTogether frequencies f.
void combine(const double* h, int64_t h_stride, int64_t terms, const double* factors, double* out,
             int64_t out_stride, int64_t length) {
  for (int64_t e = 0; e < length; e += 2 * kDoubles) {
    const Span<double> span(length - e < 2 * kDoubles ? length - e : 2 * kDoubles);
    Vector<double> sum[kTogether][2] = {};
    const double* from = h + e;
    for (int64_t t = 0; t < terms; ++t, from += h_stride) {
      const Vector<double> low = span.read(from, 0), high = span.read(from, 1);
#pragma GCC unroll 4
      for (int64_t f = 0; f < kTogether; ++f) {
        const Vector<double> factor = all(factors[t * kTogether + f]);
        sum[f][0] = fma(factor, low, sum[f][0]);
        sum[f][1] = fma(factor, high, sum[f][1]);
      }
    }
#pragma GCC unroll 4
    for (int64_t f = 0; f < kTogether; ++f)
      for (int64_t j = 0; j < 2; ++j) span.write(out + f * out_stride + e, j, sum[f][j]);
  }
}

// y = G x for a Hermitian G whose upper triangle is given; x and y (2, n): real and imaginary parts.
void hermitian_times(Planes g, int64_t n, const double* x, double* y) {
  const double *xr = x, *xi = x + n;
  double* __restrict yr = y, * __restrict yi = y + n;
  for (int64_t i = 0; i < 2 * n; ++i) y[i] = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double *re = g.data + i * g.stride, *im = re + g.plane;
    const Vector<double> a = all(xr[i]), b = all(xi[i]);
    Vector<double> sum_r = {}, sum_i = {};
    yr[i] += re[i] * xr[i];
    yi[i] += re[i] * xi[i];
    int64_t j = i + 1;
    for (; j < n; j += kDoubles) {
      const Span<double> span(n - j < kDoubles ? n - j : kDoubles);
      const Vector<double> p = span.read(re + j, 0), q = span.read(im + j, 0);
      const Vector<double> r = span.read(xr + j, 0), s = span.read(xi + j, 0);
      sum_r = fma(p, r, fma(-q, s, sum_r));
      sum_i = fma(p, s, fma(q, r, sum_i));
      span.write(yr + j, 0, fma(p, a, fma(q, b, span.read(yr + j, 0))));
      span.write(yi + j, 0, fma(p, b, fma(-q, a, span.read(yi + j, 0))));
    }
    for (int64_t k = 0; k < kDoubles; ++k) yr[i] += sum_r[k], yi[i] += sum_i[k];
  }
}

namespace {

// As many elements of G as a register of floats has, as doubles.
KXFAST_INLINE void doubles_at(const double* from, int64_t count, Vector<double> (&to)[2]) {
  const Span<double> span(count);
  to[0] = span.read(from, 0), to[1] = span.read(from, 1);
}
KXFAST_INLINE void doubles_at(const float* from, int64_t count, Vector<double> (&to)[2]) {
  widen(Span<float>(count).read(from, 0), to);
}

template <class G>
void add_symmetric(const G* g, int64_t stride, int64_t rows, int64_t n, const double* x, double* y) {
  constexpr int64_t kWide = 2 * kDoubles;
  by_rows<4>(rows, [&](int64_t first, auto many) {
    constexpr int kRows = decltype(many)::kCount;
    const G* row = g + first * stride;
    Vector<double> sum[kRows] = {};
    double corner[kRows] = {};
    for (int i = 0; i < kRows; ++i) {
      const G* here = row + i * stride + first;
      corner[i] += static_cast<double>(here[i]) * x[first + i];
      for (int j = i + 1; j < kRows; ++j) {
        const auto value = static_cast<double>(here[j]);
        corner[i] += value * x[first + j], corner[j] += value * x[first + i];
      }
    }
    const auto columns = [&](int64_t j, int64_t count) {
      const Span<double> span(count);
      Vector<double> with[2], to[2];
      doubles_at(x + j, count, with);
      doubles_at(y + j, count, to);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        Vector<double> value[2];
        doubles_at(row + i * stride + j, count, value);
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          sum[i] = fma(value[h], with[h], sum[i]);
          to[h] = fma(value[h], all(x[first + i]), to[h]);
        }
      }
      span.write(y + j, 0, to[0]), span.write(y + j, 1, to[1]);
    };
    int64_t j = first + kRows;
    for (; j + kWide <= n; j += kWide) columns(j, kWide);
    if (j < n) columns(j, n - j);
    for (int i = 0; i < kRows; ++i)
      for (int64_t k = 0; k < kDoubles; ++k) corner[i] += sum[i][k];
    for (int i = 0; i < kRows; ++i) y[first + i] += corner[i];
  });
}

}  // namespace

// Adds to y (n) what the first `rows` rows of the upper triangle of a symmetric G (n) give for x (n).
void symmetric_times(const double* g, int64_t stride, int64_t rows, int64_t n, const double* x, double* y) {
  add_symmetric(g, stride, rows, n, x, y);
}
void symmetric_times(const float* g, int64_t stride, int64_t rows, int64_t n, const double* x, double* y) {
  add_symmetric(g, stride, rows, n, x, y);
}

}  // namespace kxfast::lipschitz::KXFAST_ISA
