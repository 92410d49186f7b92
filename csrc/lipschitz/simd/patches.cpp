// The transforms of minimal filtering (winograd.cpp) on patches of pixels, channels innermost.
//
// A patch of 6 x 6 pixels (1 x 6 in one dimension) becomes the values at 6 points 0, 1, -1, 2, -2, infinity
// of the product of its polynomials with those of the kernel. Each transform is a dozen additions for every
// six registers of channels, first down the columns, then along the rows; between the two they wait in the L1
// cache. The limit is loads and stores, a tenth of the time of the products between the transforms.
#include "lipschitz/simd/span.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

constexpr int kPoints = 6, kMostTaps = 5;

// d -> t, what six pixels contribute to each point.
template <class T>
KXFAST_INLINE void to_points(const Vector<T> (&d)[kPoints], Vector<T> (&t)[kPoints]) {
  using Register = Vector<T>;
  const Register even = fma(all(T{-4}), d[2], d[4]), odd = fma(all(T{-4}), d[1], d[3]);
  const Register far = d[4] - d[2], twice = (d[3] - d[1]) * T{2};
  t[0] = fma(all(T{4}), d[0], fma(all(T{-5}), d[2], d[4]));
  t[1] = even + odd, t[2] = even - odd, t[3] = far + twice, t[4] = far - twice;
  t[5] = fma(all(T{4}), d[1], fma(all(T{-5}), d[3], d[5]));
}

// Values at the points -> the first `count` coefficients.
template <class T>
KXFAST_INLINE void from_points(const Vector<T> (&t)[kPoints], int count, Vector<T> (&y)[kPoints]) {
  using Register = Vector<T>;
  const Register near = t[1] + t[2], across = t[1] - t[2], far = t[3] + t[4], beyond = t[3] - t[4];
  y[0] = t[0] + near + far;
  y[1] = fma(all(T{2}), beyond, across);
  y[2] = fma(all(T{4}), far, near);
  y[3] = fma(all(T{8}), beyond, across);
  y[4] = fma(all(T{16}), far, near);
  y[count - 1] += t[5];
}

template <class T, int ROWS>
void spread(const T* const* pixels, int64_t channels, T* to, int64_t plane) {
  using Register = Vector<T>;
  constexpr int kWidth = Lanes<T>::kWidth;
  for (int64_t c = 0; c < channels; c += kWidth) {
    const int64_t count = channels - c < kWidth ? channels - c : kWidth;
    Register half[ROWS][kPoints];
#pragma GCC unroll 6
    for (int j = 0; j < kPoints; ++j) {
      Register down[kPoints];
#pragma GCC unroll 6
      for (int i = 0; i < ROWS; ++i) down[i] = load(pixels[i * kPoints + j] + c, count);
      if constexpr (ROWS > 1) {
        Register points[kPoints];
        to_points<T>(down, points);
#pragma GCC unroll 6
        for (int i = 0; i < ROWS; ++i) half[i][j] = points[i];
      } else {
        half[0][j] = down[0];
      }
    }
    for (int i = 0; i < ROWS; ++i) {
      Register points[kPoints];
      to_points<T>(half[i], points);
#pragma GCC unroll 6
      for (int j = 0; j < kPoints; ++j) store(to + (i * kPoints + j) * plane + c, points[j], count);
    }
  }
}

template <class T, int ROWS>
void collect(const T* from, int64_t plane, int64_t channels, const T* bias, int64_t high, int64_t wide,
             T* const* pixels) {
  using Register = Vector<T>;
  constexpr int kWidth = Lanes<T>::kWidth;
  for (int64_t c = 0; c < channels; c += kWidth) {
    const int64_t count = channels - c < kWidth ? channels - c : kWidth;
    const Register plus = bias ? load(bias + c, count) : Register{};
    Register half[kPoints][kPoints];
#pragma GCC unroll 6
    for (int j = 0; j < kPoints; ++j) {
      Register points[kPoints];
#pragma GCC unroll 6
      for (int i = 0; i < ROWS; ++i) points[i] = load(from + (i * kPoints + j) * plane + c, count);
      if constexpr (ROWS > 1) {
        Register y[kPoints];
        from_points<T>(points, static_cast<int>(high), y);
#pragma GCC unroll 5
        for (int i = 0; i < kPoints - 1; ++i) half[i][j] = y[i];
      } else {
        half[0][j] = points[0];
      }
    }
    for (int64_t i = 0; i < high; ++i) {
      Register y[kPoints];
      from_points<T>(half[i], static_cast<int>(wide), y);
      for (int64_t j = 0; j < wide; ++j)
        if (T* const out = pixels[i * wide + j]) store(out + c, y[j] + plus, count);
    }
  }
}

template <class T>
void evaluate(const T* taps, int64_t high, int64_t wide, int64_t columns, const T* down, int64_t rows,
              const T* along, T* to, int64_t plane) {
  using Register = Vector<T>;
  constexpr int kWidth = Lanes<T>::kWidth;
  for (int64_t c = 0; c < columns; c += kWidth) {
    for (int64_t i = 0; i < rows; ++i) {
      Register half[kMostTaps];
      for (int64_t b = 0; b < wide; ++b) {
        half[b] = Register{};
        for (int64_t a = 0; a < high; ++a)
          half[b] = fma(all(down[i * high + a]), load(taps + (a * wide + b) * columns + c), half[b]);
      }
      for (int64_t j = 0; j < kPoints; ++j) {
        Register sum{};
        for (int64_t b = 0; b < wide; ++b) sum = fma(all(along[j * wide + b]), half[b], sum);
        store(to + (i * kPoints + j) * plane + c, sum);
      }
    }
  }
}

}  // namespace

#define KXFAST_DEFINE(T)                                                                                    \
  void spread_patch(const T* const* pixels, int64_t rows, int64_t channels, T* to, int64_t plane) {         \
    rows > 1 ? spread<T, kPoints>(pixels, channels, to, plane) : spread<T, 1>(pixels, channels, to, plane); \
  }                                                                                                         \
  void collect_patch(const T* from, int64_t plane, int64_t rows, int64_t channels, const T* bias,           \
                     int64_t high, int64_t wide, T* const* pixels) {                                        \
    rows > 1 ? collect<T, kPoints>(from, plane, channels, bias, high, wide, pixels)                         \
             : collect<T, 1>(from, plane, channels, bias, high, wide, pixels);                              \
  }                                                                                                         \
  void spread_taps(const T* taps, int64_t high, int64_t wide, int64_t columns, const T* down, int64_t rows, \
                   const T* along, T* to, int64_t plane) {                                                  \
    evaluate(taps, high, wide, columns, down, rows, along, to, plane);                                      \
  }
KXFAST_DEFINE(float)
KXFAST_DEFINE(double)
#undef KXFAST_DEFINE

}  // namespace kxfast::lipschitz::KXFAST_ISA
