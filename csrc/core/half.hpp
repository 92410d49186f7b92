// float16 and bfloat16 to float and back, rounding to the nearest, ties to even.
#pragma once

#include <cstdint>

namespace kxfast {

enum class Half { float16, bfloat16 };

// The upper half of a float.
struct Bfloat16 {
  uint16_t bits;
};

// The type in which sums over elements of type T are kept.
template <class T>
struct Wider {
  using Type = T;
};
template <>
struct Wider<Bfloat16> {
  using Type = float;
};
template <class T>
using Wide = typename Wider<T>::Type;

// `count` numbers, on all cores where there are many.
void widen(Half kind, const uint16_t* from, int64_t count, float* to);
void narrow(Half kind, const float* from, int64_t count, uint16_t* to);

}  // namespace kxfast
