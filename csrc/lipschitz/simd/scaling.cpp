// What is done to whole weights and vectors: out = w by, out = g by - u v', out = a x + b y with the sum of
// its squares, and the inner product <g, w>.
//
// All walk their arrays once, in order, one register at a time, and memory is the limit beyond the L1 cache.
// Inner products sum 1024 elements in the type of the arrays, in four registers, and these sums in double: as
// exact as a sum in double for what a gradient needs, at the speed of the loads. Results that are larger than
// the caches go past them where the set has the stores: a line that is written is not read first (a third of
// the time of a step with a weight of 16 MB). Scaled weights that stay in the caches are asked for 1 KB
// ahead, to be written: a tenth of a step with layers of 64 x 64 or 256 x 256; 16 KB ahead gained nothing.
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
double mix_of(const T* x, T a, const T* y, T b, int64_t n, T* out) {
  constexpr int64_t kWidth = Lanes<T>::kWidth, kRun = 1024;
  const Vector<T> by = all(a), with = all(b);
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = n - begin < kRun ? n : begin + kRun;
    Vector<T> even{}, odd{};
    int64_t i = begin;
    const auto value = [&](int64_t at) {
      const Vector<T> first = load(x + at) * by;
      return y ? fma(with, load(y + at), first) : first;
    };
    for (; i + 2 * kWidth <= end; i += 2 * kWidth) {
      const Vector<T> low = value(i), high = value(i + kWidth);
      even = fma(low, low, even), odd = fma(high, high, odd);
      if (out) store(out + i, low), store(out + i + kWidth, high);
    }
    for (; i < end; i += kWidth) {
      const int64_t count = end - i < kWidth ? end - i : kWidth;
      Vector<T> last = load(x + i, count) * by;
      if (y) last = fma(with, load(y + i, count), last);
      even = fma(last, last, even);
      if (out) store(out + i, last, count);
    }
    even += odd;
    for (int64_t k = 0; k < kWidth; ++k) sum += static_cast<double>(even[k]);
  }
  return sum;
}

#if defined(__AVX512F__)
void store_past(float* to, Vector<float> v) {
  _mm512_stream_ps(to, v);
}
void store_past(double* to, Vector<double> v) {
  _mm512_stream_pd(to, v);
}
void end_past() {
  _mm_sfence();
}
#else
template <class T>
void store_past(T* to, Vector<T> v) {
  store(to, v);
}
void end_past() {}
#endif

// Elements up to the first one at the start of a cache line.
template <class T>
int64_t until_line(const T* to) {
  return static_cast<int64_t>((64 - reinterpret_cast<uintptr_t>(to) % 64) % 64 / sizeof(T));
}

template <class T>
void scaled_of(const T* w, int64_t n, T by, T* out, bool past) {
  constexpr int64_t kWidth = Lanes<T>::kWidth;
  int64_t i = 0;
  if (past) {
    for (const int64_t first = until_line(out); i < first && i < n; ++i) out[i] = w[i] * by;
    for (; i + kWidth <= n; i += kWidth) store_past(out + i, load(w + i) * by);
    end_past();
  }
  constexpr int64_t kLine = 64 / sizeof(T), kAhead = 16 * kLine;
  for (; i + kLine <= n; i += kLine) {
    __builtin_prefetch(out + i + kAhead, 1);
    for (int64_t k = i; k < i + kLine; k += kWidth) store(out + k, load(w + k) * by);
  }
  for (; i < n; ++i) out[i] = w[i] * by;
}

template <class T>
void scaled_less_outer_of(const T* g, int64_t rows, int64_t cols, T by, const T* u, T weight, const T* v,
                          T* out, bool past) {
  constexpr int64_t kWidth = Lanes<T>::kWidth;
  for (int64_t i = 0; i < rows; ++i, g += cols, out += cols) {
    const T minus = -u[i] * weight;
    const Vector<T> factor = all(by), less = all(minus);
    int64_t j = 0;
    if (past) {
      for (const int64_t first = until_line(out); j < first && j < cols; ++j)
        out[j] = minus * v[j] + g[j] * by;
      for (; j + kWidth <= cols; j += kWidth)
        store_past(out + j, fma(less, load(v + j), load(g + j) * factor));
    }
    for (; j + kWidth <= cols; j += kWidth) store(out + j, fma(less, load(v + j), load(g + j) * factor));
    if (j < cols) {
      const int64_t count = cols - j;
      store(out + j, fma(less, load(v + j, count), load(g + j, count) * factor), count);
    }
  }
  if (past) end_past();
}

}  // namespace

#define KXFAST_DEFINE(T)                                                                                 \
  double mix(const T* x, T a, const T* y, T b, int64_t n, T* out) {                                      \
    return mix_of(x, a, y, b, n, out);                                                                   \
  }                                                                                                      \
  double inner(const T* a, const T* b, int64_t n) {                                                      \
    return inner_of(a, b, n);                                                                            \
  }                                                                                                      \
  void scaled(const T* w, int64_t n, T by, T* out, bool past) {                                          \
    scaled_of(w, n, by, out, past);                                                                      \
  }                                                                                                      \
  void scaled_less_outer(const T* g, int64_t rows, int64_t cols, T by, const T* u, T weight, const T* v, \
                         T* out, bool past) {                                                            \
    scaled_less_outer_of(g, rows, cols, by, u, weight, v, out, past);                                    \
  }
KXFAST_DEFINE(float)
KXFAST_DEFINE(double)
#undef KXFAST_DEFINE

}  // namespace kxfast::lipschitz::KXFAST_ISA
