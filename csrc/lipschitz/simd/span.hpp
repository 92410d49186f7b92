// Spans of registers and rows that tiles are cut into.
#pragma once

#include "conv/simd/vector.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

using conv::KXFAST_ISA::all;
using conv::KXFAST_ISA::fma;
using conv::KXFAST_ISA::kVectors;
using conv::KXFAST_ISA::Lanes;
using conv::KXFAST_ISA::load;
using conv::KXFAST_ISA::store;
using conv::KXFAST_ISA::Vector;

constexpr int64_t kDoubles = Lanes<double>::kWidth;

// Where the registers of a tile begin and how many elements of the last one count.
template <class T>
struct Span {
  int64_t full, last;  // full registers, elements of one more
  KXFAST_INLINE Span(int64_t cols) : full(cols / Lanes<T>::kWidth), last(cols % Lanes<T>::kWidth) {}
  KXFAST_INLINE Vector<T> read(const T* from, int64_t j) const {
    from += j * Lanes<T>::kWidth;
    return j < full ? load(from) : j == full && last ? load(from, last) : Vector<T>{};
  }
  KXFAST_INLINE void write(T* to, int64_t j, Vector<T> value) const {
    to += j * Lanes<T>::kWidth;
    if (j < full)
      store(to, value);
    else if (j == full && last)
      store(to, value, last);
  }
};

// The halves of a register of floats as doubles.
#if defined(__AVX512F__)
KXFAST_INLINE void widen(Vector<float> value, Vector<double> (&wide)[2]) {
  wide[0] = _mm512_maskz_cvtps_pd(0xFF, _mm512_maskz_extractf32x8_ps(0xFF, value, 0));
  wide[1] = _mm512_maskz_cvtps_pd(0xFF, _mm512_maskz_extractf32x8_ps(0xFF, value, 1));
}
#else
KXFAST_INLINE void widen(Vector<float> value, Vector<double> (&wide)[2]) {
  double lanes[Lanes<float>::kWidth];
#pragma GCC unroll 8
  for (int k = 0; k < Lanes<float>::kWidth; ++k) lanes[k] = static_cast<double>(value[k]);
  wide[0] = load(lanes);
  wide[1] = load(lanes + kDoubles);
}
#endif

template <int ROWS>
struct Rows {
  static constexpr int kCount = ROWS;
};

template <int MOST, class Body>
KXFAST_INLINE void by_rows(int64_t rows, Body&& body) {
  int64_t i = 0;
  for (; i + MOST <= rows; i += MOST) body(i, Rows<MOST>{});
  if constexpr (MOST > 4)
    if (i + 4 <= rows) body(i, Rows<4>{}), i += 4;
  if (i + 2 <= rows) body(i, Rows<2>{}), i += 2;
  if (i < rows) body(i, Rows<1>{});
}

}  // namespace
}  // namespace kxfast::lipschitz::KXFAST_ISA
