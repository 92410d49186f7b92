// What a gated convolution does behind its product, for one position and channel at a time, and the gradient.
#pragma once

#include "numbers.cuh"

namespace kx::conv {

enum Skip : i64 { kNone, kGated, kAdd };

// Which gates are dropped, as the reference draws them; `sign` is -1 where the gate keeps the input.
struct Dropout {
  u64 threshold, key;
  double kept, sign;

  // The factors of the gates of channels f and f + 1, f even, at a row.
  template <class Sum>
  __device__ __forceinline__ void factors(Sum (&to)[2], i64 row, i64 f) const {
    to[0] = to[1] = static_cast<Sum>(sign);
    if (!threshold) return;
    u64 low, high;
    philox(key, static_cast<u64>(row), static_cast<u64>(f / 4), low, high);
    const u64 words = f % 4 ? high : low, word[2] = {words & 0xFFFFFFFFu, words >> 32};
    for (int j = 0; j < 2; ++j) to[j] = word[j] < threshold ? 0 : static_cast<Sum>(sign * kept);
  }
};

// s(x) and 1 - s(x), both to the last bits: no exponential of a positive number.
template <class Sum>
__device__ __forceinline__ void sigmoid(Sum x, Sum& opens, Sum& keeps) {
  const Sum small = power_of_2((x < 0 ? x : -x) * static_cast<Sum>(1.4426950408889634));
  const Sum large = 1 / (1 + small), rest = small * large;
  opens = x < 0 ? rest : large, keeps = x < 0 ? large : rest;
}

// What the skip connection carries: the input, or what a shortcut has made of it; masked positions carry 0.
template <class T>
struct Skipped {
  const T* input;
  const SumOf<T>* projected;
  const u8* mask;
  i64 channels;

  __device__ __forceinline__ SumOf<T> at(i64 row, i64 f) const {
    if (projected) return projected[row * channels + f];
    return mask && !mask[row] ? 0 : widen(input[row * channels + f]);
  }
};

}  // namespace kx::conv
