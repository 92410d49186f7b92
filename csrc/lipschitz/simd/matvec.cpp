// W v, W' u, and both in one read (u = W v - before, t += W' u) for a row-major W (rows, cols).
// Vectors are of W's type, or doubles beside a W of floats: half the traffic, and exact products.
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

// Registers of V, and as many elements of T.
template <class T, class V>
struct Lanes {
  static constexpr int64_t kWidth = 64 / sizeof(V);
  typedef V Vector __attribute__((vector_size(64), aligned(sizeof(V)), may_alias));
  typedef T Source __attribute__((vector_size(sizeof(T) * kWidth), aligned(sizeof(T)), may_alias));

  // By reference: a register wider than the set has would change how it is returned.
  static void add_product(Vector& sum, const T* a, const V* b) {
    sum += __builtin_convertvector(*reinterpret_cast<const Source*>(a), Vector) *
           *reinterpret_cast<const Vector*>(b);
  }
};

template <class T, class V>
V dot(const T* a, const V* b, int64_t n) {
  using L = Lanes<T, V>;
  using Vector = typename L::Vector;
  constexpr int64_t kWidth = L::kWidth, kStep = 4 * kWidth;
  Vector sum[4] = {};
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep)
    for (int k = 0; k < 4; ++k) L::add_product(sum[k], a + i + k * kWidth, b + i + k * kWidth);
  for (; i + kWidth <= n; i += kWidth) L::add_product(sum[0], a + i, b + i);
  sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  V lanes[kWidth];
  for (int64_t k = 0; k < kWidth; ++k) lanes[k] = sum[0][k];
  for (int64_t half = kWidth / 2; half; half /= 2)
    for (int64_t k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  for (; i < n; ++i) lanes[0] += static_cast<V>(a[i]) * b[i];
  return lanes[0];
}

template <class T, class V>
void multiply(const T* w, int64_t rows, int64_t cols, const V* v, V* out) {
  for (int64_t i = 0; i < rows; ++i) out[i] = dot(w + i * cols, v, cols);
}

template <class T, class V>
void accumulate(const T* w, int64_t rows, int64_t cols, const V* u, V* __restrict out) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const T *a = w + i * cols, *b = a + cols, *c = b + cols, *d = c + cols;
    const V ua = u[i], ub = u[i + 1], uc = u[i + 2], ud = u[i + 3];
    for (int64_t j = 0; j < cols; ++j)
      out[j] += (ua * static_cast<V>(a[j]) + ub * static_cast<V>(b[j])) +
                (uc * static_cast<V>(c[j]) + ud * static_cast<V>(d[j]));
  }
  for (; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) out[j] += u[i] * static_cast<V>(w[i * cols + j]);
}

template <class T, class V>
void multiply_and_back(const T* w, int64_t rows, int64_t cols, const V* v, const V* before, V* u, V* t) {
  for (int64_t i = 0; i < rows; i += 4) {
    const int64_t count = rows - i < 4 ? rows - i : 4;
    multiply(w + i * cols, count, cols, v, u + i);
    if (before)
      for (int64_t k = i; k < i + count; ++k) u[k] -= before[k];
    accumulate(w + i * cols, count, cols, u + i, t);
  }
}

template <class T>
Extent survey_of(const T* a, int64_t n) {
  constexpr int64_t kWidth = 8;
  T best[kWidth] = {};
  double sum[kWidth] = {};
  int64_t i = 0;
  const auto add = [&](int64_t k, T x) {
    const T size = x < 0 ? -x : x;
    best[k] = size > best[k] ? size : best[k];
    sum[k] += static_cast<double>(x) * static_cast<double>(x);
  };
  for (; i + kWidth <= n; i += kWidth)
    for (int64_t k = 0; k < kWidth; ++k) add(k, a[i + k]);
  for (; i < n; ++i) add(0, a[i]);
  for (int64_t k = 1; k < kWidth; ++k) {
    best[0] = best[k] > best[0] ? best[k] : best[0];
    sum[0] += sum[k];
  }
  return {static_cast<double>(best[0]), sum[0]};
}

}  // namespace

#define KXFAST_DEFINE(T, V)                                                                             \
  void rows_times_vector(const T* w, int64_t rows, int64_t cols, const V* v, V* out) {                  \
    multiply(w, rows, cols, v, out);                                                                    \
  }                                                                                                     \
  void add_weighted_rows(const T* w, int64_t rows, int64_t cols, const V* u, V* out) {                  \
    accumulate(w, rows, cols, u, out);                                                                  \
  }                                                                                                     \
  void rows_and_back(const T* w, int64_t rows, int64_t cols, const V* v, const V* before, V* u, V* t) { \
    multiply_and_back(w, rows, cols, v, before, u, t);                                                  \
  }
KXFAST_DEFINE(float, float)
KXFAST_DEFINE(double, double)
KXFAST_DEFINE(float, double)
#undef KXFAST_DEFINE

Extent survey(const float* a, int64_t n) {
  return survey_of(a, n);
}
Extent survey(const double* a, int64_t n) {
  return survey_of(a, n);
}

}  // namespace kxfast::lipschitz::KXFAST_ISA
