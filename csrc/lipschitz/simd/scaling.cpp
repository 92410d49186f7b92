// What a training step does to whole weights: out = w by, out = g by - u v', and the inner product <g, w>.
//
// All walk their arrays once, in order, one register at a time, and memory is the limit beyond the L1 cache.
// Inner products sum 1024 elements in the type of the arrays, in four registers, and these sums in double: as
// exact as a sum in double for what a gradient needs, at the speed of the loads.
#include "lipschitz/simd/span.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

template <class T>
double inner_of(const T* a, const T* b, int64_t n) {
  constexpr int64_t kWidth = Lanes<T>::kWidth, kStep = 4 * kWidth, kRun = 1024;
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = n - begin < kRun ? n : begin + kRun;
    Vector<T> sums[4] = {};
    int64_t i = begin;
    for (; i + kStep <= end; i += kStep)
#pragma GCC unroll 4
      for (int64_t k = 0; k < 4; ++k)
        sums[k] = fma(load(a + i + k * kWidth), load(b + i + k * kWidth), sums[k]);
    for (; i < end; i += kWidth) {
      const int64_t count = end - i < kWidth ? end - i : kWidth;
      sums[0] = fma(load(a + i, count), load(b + i, count), sums[0]);
    }
    const Vector<T> total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (int64_t k = 0; k < kWidth; ++k) sum += static_cast<double>(total[k]);
  }
  return sum;
}

template <class T>
void scaled_of(const T* w, int64_t n, T by, T* out) {
  constexpr int64_t kWidth = Lanes<T>::kWidth;
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(out + i, load(w + i) * by);
  for (; i < n; ++i) out[i] = w[i] * by;
}

template <class T>
void scaled_less_outer_of(const T* g, int64_t rows, int64_t cols, T by, const T* u, T weight, const T* v,
                          T* out) {
  constexpr int64_t kWidth = Lanes<T>::kWidth;
  for (int64_t i = 0; i < rows; ++i, g += cols, out += cols) {
    const Vector<T> factor = all(by), less = all(-u[i] * weight);
    int64_t j = 0;
    for (; j + kWidth <= cols; j += kWidth) store(out + j, fma(less, load(v + j), load(g + j) * factor));
    if (j < cols) {
      const int64_t count = cols - j;
      store(out + j, fma(less, load(v + j, count), load(g + j, count) * factor), count);
    }
  }
}

}  // namespace

#define KXFAST_DEFINE(T)                                                                                 \
  double inner(const T* a, const T* b, int64_t n) {                                                      \
    return inner_of(a, b, n);                                                                            \
  }                                                                                                      \
  void scaled(const T* w, int64_t n, T by, T* out) {                                                     \
    scaled_of(w, n, by, out);                                                                            \
  }                                                                                                      \
  void scaled_less_outer(const T* g, int64_t rows, int64_t cols, T by, const T* u, T weight, const T* v, \
                         T* out) {                                                                       \
    scaled_less_outer_of(g, rows, cols, by, u, weight, v, out);                                          \
  }
KXFAST_DEFINE(float)
KXFAST_DEFINE(double)
#undef KXFAST_DEFINE

}  // namespace kxfast::lipschitz::KXFAST_ISA
