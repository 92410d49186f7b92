// The vectors of Anderson's mixing, of one sample (inverse.cpp), and inner products in double.
//
// Residuals and their differences are kept as floats, since only weights are made of them, and multiplied in
// double: their normal equations square what they are wrong by. Each vector is read once for all earlier
// ones, in runs that stay in the L1 cache; reading them, from the L2 or L3 cache, is the limit.
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

constexpr int64_t kLanes = 16, kRun = 256;

// r = y - g - x and the sum of its squares.
template <class T>
double residual_of(const double* y, const T* g, const double* x, int64_t n, double* r) {
  double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t k = i; k < i + kLanes; ++k) {
      r[k] = y[k] - static_cast<double>(g[k]) - x[k];
      sums[k - i] += r[k] * r[k];
    }
  for (; i < n; ++i) {
    r[i] = y[i] - static_cast<double>(g[i]) - x[i];
    sums[0] += r[i] * r[i];
  }
  double sum = 0;
  for (const double each : sums) sum += each;
  return sum;
}

// Inner products of `count` vectors, one after another, with v.
template <class T>
void inner_products_of(const T* vectors, int64_t count, const T* v, int64_t n, double* products) {
  for (int64_t m = 0; m < count; ++m, vectors += n) {
    double sums[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
      for (int64_t k = 0; k < kLanes; ++k)
        sums[k] += static_cast<double>(vectors[i + k]) * static_cast<double>(v[i + k]);
    for (; i < n; ++i) sums[0] += static_cast<double>(vectors[i]) * static_cast<double>(v[i]);
    double sum = 0;
    for (const double each : sums) sum += each;
    products[m] = sum;
  }
}

}  // namespace

void inner_products(const float* vectors, int64_t count, const float* v, int64_t n, double* products) {
  inner_products_of(vectors, count, v, n, products);
}
void inner_products(const double* vectors, int64_t count, const double* v, int64_t n, double* products) {
  inner_products_of(vectors, count, v, n, products);
}

double residual(const double* y, const float* g, const double* x, int64_t n, double* r) {
  return residual_of(y, g, x, n, r);
}
double residual(const double* y, const double* g, const double* x, int64_t n, double* r) {
  return residual_of(y, g, x, n, r);
}

// last = by r, and before that change = by r - last and along = moved + change, where they are not null.
void note_residual(const double* r, double by, int64_t n, float* last, const float* moved, float* change,
                   float* along) {
  if (!change) {
    for (int64_t i = 0; i < n; ++i) last[i] = static_cast<float>(r[i] * by);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const float now = static_cast<float>(r[i] * by);
    change[i] = now - last[i];
    along[i] = moved[i] + change[i];
    last[i] = now;
  }
}

// x += r - unit sum over `count` vectors of weights times them; moved is what was added, over unit.
void move_on(const double* r, const float* vectors, int64_t count, const double* weights, double unit,
             int64_t n, double* x, float* moved) {
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t some = n - begin < kRun ? n - begin : kRun;
    double step[kRun];
    for (int64_t i = 0; i < some; ++i) step[i] = r[begin + i];
    for (int64_t m = 0; m < count; ++m) {
      const double weight = weights[m] * unit;
      const float* from = vectors + m * n + begin;
      for (int64_t i = 0; i < some; ++i) step[i] -= weight * static_cast<double>(from[i]);
    }
    for (int64_t i = 0; i < some; ++i) {
      x[begin + i] += step[i];
      moved[begin + i] = static_cast<float>(step[i] / unit);
    }
  }
}

}  // namespace kxfast::lipschitz::KXFAST_ISA
