// Hermitian matrices to tridiagonal form, as many at a time as a register has doubles: one in each lane.
//
// Element (i, j), j >= i, is a register of real parts and one of imaginary parts. Householder reflections
// from the first row on; the update of one step, A -= v q* + q v*, and the product A w of the next are one
// pass over the triangle, which is read and written once per step: what each matrix costs is memory, and a
// matrix of its own for each lane leaves no sums across lanes and no tails. Beyond the L2 cache its bandwidth
// is the limit.
#include "lipschitz/simd/span.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

using Register = Vector<double>;

KXFAST_INLINE Register root(Register x) {
  Register y = x;
  for (int64_t k = 0; k < kDoubles; ++k) y[k] = __builtin_sqrt(x[k]);
  return y;
}

// The register number `at` of an array.
KXFAST_INLINE Register& part(double* x, int64_t at) {
  return *reinterpret_cast<Register*>(x + at * kDoubles);
}

// x (count) -> the vector v of the reflection I - v v* / h that leaves x its first entry alone: returns 1 /
// h, or 0 where x is 0, and the size of that entry.
KXFAST_INLINE Register reflection(double* x, int64_t count, Register& size) {
  Register squares{};
  for (int64_t i = 0; i < 2 * count; ++i) squares = fma(part(x, i), part(x, i), squares);
  size = root(squares);
  const Register re = part(x, 0), im = part(x, 1), first = root(fma(re, re, im * im));
  const Register none = all(0.0), h = size * (size + first), grow = size / first;
  part(x, 0) = first > none ? fma(re, grow, re) : size;
  part(x, 1) = first > none ? fma(im, grow, im) : none;
  return h > all(1e-300) ? 1.0 / h : none;
}

// Row i, from its diagonal on: a -= v_i conj(q) + q_i conj(v); what it adds to A w.
KXFAST_INLINE void row_pass(double* a, int64_t count, double* v, double* q, double* w, double* y) {
  const Register vr = part(v, 0), vi = part(v, 1), qr = part(q, 0), qi = part(q, 1);
  const Register wr = part(w, 0), wi = part(w, 1);
  Register diagonal = part(a, 0) - 2.0 * fma(vr, qr, vi * qi);
  part(a, 0) = diagonal, part(a, 1) = Register{};
  Register sum_re = diagonal * wr, sum_im = diagonal * wi;
  for (int64_t j = 2; j < 2 * count; j += 2) {
    const Register v_re = part(v, j), v_im = part(v, j + 1), q_re = part(q, j), q_im = part(q, j + 1);
    Register re = part(a, j), im = part(a, j + 1);
    re = fma(-vr, q_re, fma(-vi, q_im, fma(-qr, v_re, fma(-qi, v_im, re))));
    im = fma(-vi, q_re, fma(vr, q_im, fma(-qi, v_re, fma(qr, v_im, im))));
    part(a, j) = re, part(a, j + 1) = im;
    const Register w_re = part(w, j), w_im = part(w, j + 1);
    sum_re = fma(re, w_re, fma(-im, w_im, sum_re));
    sum_im = fma(re, w_im, fma(im, w_re, sum_im));
    part(y, j) = fma(re, wr, fma(im, wi, part(y, j)));
    part(y, j + 1) = fma(re, wi, fma(-im, wr, part(y, j + 1)));
  }
  part(y, 0) += sum_re, part(y, 1) += sum_im;
}

}  // namespace

int64_t lanes_together() {
  return kDoubles;
}

// a (n, n) registers in pairs; diagonal (n) and beside (n - 1), squared, in registers; `work`: 10 n
// registers.
void tridiagonal(double* a, int64_t n, double* diagonal, double* beside, double* work) {
  double *v = work, *q = v + 2 * n * kDoubles, *w = q + 2 * n * kDoubles, *y = w + 2 * n * kDoubles;
  for (int64_t i = 0; i < 4 * n; ++i) part(v, i) = Register{};  // and q: nothing to subtract at first
  for (int64_t k = 0; k + 1 < n; ++k) {
    // row k of what the last step left: its diagonal, and its conjugate as the column to be reflected
    double* row = a + (k * n + k) * 2 * kDoubles;
    const Register vr = part(v, 2 * k), vi = part(v, 2 * k + 1), qr = part(q, 2 * k), qi = part(q, 2 * k + 1);
    part(diagonal, k) = part(row, 0) - 2.0 * fma(vr, qr, vi * qi);
    for (int64_t j = k + 1; j < n; ++j) {
      const int64_t at = 2 * (j - k);
      const Register v_re = part(v, 2 * j), v_im = part(v, 2 * j + 1), q_re = part(q, 2 * j),
                     q_im = part(q, 2 * j + 1);
      part(w, 2 * j) = fma(-vr, q_re, fma(-vi, q_im, fma(-qr, v_re, fma(-qi, v_im, part(row, at)))));
      part(w, 2 * j + 1) = -fma(-vi, q_re, fma(vr, q_im, fma(-qi, v_re, fma(qr, v_im, part(row, at + 1)))));
    }
    const int64_t first = 2 * (k + 1), count = n - k - 1;
    Register size;
    const Register over = reflection(w + first * kDoubles, count, size);
    part(beside, k) = size * size;
    for (int64_t i = first; i < 2 * n; ++i) part(y, i) = Register{};
    for (int64_t i = k + 1; i < n; ++i)
      row_pass(a + (i * n + i) * 2 * kDoubles, n - i, v + 2 * i * kDoubles, q + 2 * i * kDoubles,
               w + 2 * i * kDoubles, y + 2 * i * kDoubles);
    Register inner{};  // real, since A is Hermitian
    for (int64_t i = first; i < 2 * n; ++i) inner = fma(part(w, i), part(y, i), inner);
    const Register share = inner * over * over * 0.5;
    for (int64_t i = first; i < 2 * n; ++i) {
      part(q, i) = fma(-share, part(w, i), part(y, i) * over);
      part(v, i) = part(w, i);
    }
  }
  const int64_t last = n - 1;
  part(diagonal, last) =
      part(a, (last * n + last) * 2) -
      2.0 * fma(part(v, 2 * last), part(q, 2 * last), part(v, 2 * last + 1) * part(q, 2 * last + 1));
}

}  // namespace kxfast::lipschitz::KXFAST_ISA
