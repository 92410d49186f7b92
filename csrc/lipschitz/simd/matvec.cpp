// W v, W' u, and both in one read (u = W v, t += W' u) for a row-major W (rows, cols).
//
// All walk W row by row, so memory is read once, in order, and bandwidth is the limit from L2 on: what counts
// is the number of reads. The fused form takes four rows, which stay in the L1 or L2 cache between their
// inner products with v and their addition to t. Inner products keep 4 x 64 bytes of partial sums in a fixed
// order: enough independent chains to hide the latency of an addition, and the same bits on every instruction
// set, since nothing is contracted to a fused multiply-add. Four rows at a time are added to t, which is read
// and written once for them. Fetching the next four rows ahead by hand was tried and gained nothing.
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

template <class T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
  static constexpr int64_t kWidth = 64 / sizeof(T);
};

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  using V = typename Lanes<T>::Vector;
  constexpr int64_t kWidth = Lanes<T>::kWidth, kStep = 4 * kWidth;
  V sum[4] = {};
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep)
    for (int k = 0; k < 4; ++k)
      sum[k] +=
          *reinterpret_cast<const V*>(a + i + k * kWidth) * *reinterpret_cast<const V*>(b + i + k * kWidth);
  for (; i + kWidth <= n; i += kWidth)
    sum[0] += *reinterpret_cast<const V*>(a + i) * *reinterpret_cast<const V*>(b + i);
  sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  T lanes[kWidth];
  for (int64_t k = 0; k < kWidth; ++k) lanes[k] = sum[0][k];
  for (int64_t half = kWidth / 2; half; half /= 2)
    for (int64_t k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  for (; i < n; ++i) lanes[0] += a[i] * b[i];
  return lanes[0];
}

template <class T>
void multiply(const T* w, int64_t rows, int64_t cols, const T* v, T* out) {
  for (int64_t i = 0; i < rows; ++i) out[i] = dot(w + i * cols, v, cols);
}

template <class T>
void accumulate(const T* w, int64_t rows, int64_t cols, const T* u, T* __restrict out) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const T *a = w + i * cols, *b = a + cols, *c = b + cols, *d = c + cols;
    const T ua = u[i], ub = u[i + 1], uc = u[i + 2], ud = u[i + 3];
    for (int64_t j = 0; j < cols; ++j) out[j] += (ua * a[j] + ub * b[j]) + (uc * c[j] + ud * d[j]);
  }
  for (; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) out[j] += u[i] * w[i * cols + j];
}

template <class T>
void multiply_and_back(const T* w, int64_t rows, int64_t cols, const T* v, T* u, T* t) {
  for (int64_t i = 0; i < rows; i += 4) {
    const int64_t count = rows - i < 4 ? rows - i : 4;
    multiply(w + i * cols, count, cols, v, u + i);
    accumulate(w + i * cols, count, cols, u + i, t);
  }
}

}  // namespace

void rows_times_vector(const float* w, int64_t rows, int64_t cols, const float* v, float* out) {
  multiply(w, rows, cols, v, out);
}
void rows_times_vector(const double* w, int64_t rows, int64_t cols, const double* v, double* out) {
  multiply(w, rows, cols, v, out);
}
void add_weighted_rows(const float* w, int64_t rows, int64_t cols, const float* u, float* out) {
  accumulate(w, rows, cols, u, out);
}
void add_weighted_rows(const double* w, int64_t rows, int64_t cols, const double* u, double* out) {
  accumulate(w, rows, cols, u, out);
}

void rows_and_back(const float* w, int64_t rows, int64_t cols, const float* v, float* u, float* t) {
  multiply_and_back(w, rows, cols, v, u, t);
}
void rows_and_back(const double* w, int64_t rows, int64_t cols, const double* v, double* u, double* t) {
  multiply_and_back(w, rows, cols, v, u, t);
}

}  // namespace kxfast::lipschitz::KXFAST_ISA
