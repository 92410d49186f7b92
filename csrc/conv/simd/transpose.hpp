// A square of one register by one register, transposed by halves, quarters ...
#pragma once

#include "conv/simd/vector.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

template <class T, int HALF>
KXFAST_INLINE void exchange(Vector<T>* row) {
  constexpr int kLanes = Lanes<T>::kWidth;
  using Int = Vector<typename Exp<T>::Int>;
  Int low, high;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i & HALF ? kLanes + i - HALF : i;
    high[i] = i & HALF ? kLanes + i : i + HALF;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & HALF) continue;
    const Vector<T> a = row[i], b = row[i + HALF];
    row[i] = __builtin_shuffle(a, b, low);
    row[i + HALF] = __builtin_shuffle(a, b, high);
  }
  if constexpr (HALF > 1) exchange<T, HALF / 2>(row);
}

template <class T>
KXFAST_INLINE void transpose_square(const T* from, int64_t from_stride, T* to, int64_t to_stride) {
  constexpr int kLanes = Lanes<T>::kWidth;
  Vector<T> row[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) row[i] = load(from + i * from_stride);
  exchange<T, kLanes / 2>(row);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(to + i * to_stride, row[i]);
}

}  // namespace
}  // namespace kxfast::conv::KXFAST_ISA
