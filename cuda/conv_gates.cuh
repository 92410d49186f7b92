// What a gated convolution does behind its product, for one position and channel at a time, and the gradient.
#pragma once

#include "conv_problem.cuh"

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

// 1 / x for x from 1 to 2, to a unit in the last place; of floats without the branch that a division has.
__device__ __forceinline__ float reciprocal(float x) {
  float found = fused(x, fused(x, 32 / 99.0f, -144 / 99.0f), 210 / 99.0f);  // to 1 percent
#pragma unroll
  for (int twice = 0; twice < 2; ++twice) found = fused(found, fused(-x, found, 1), found);
  return found;
}
__device__ __forceinline__ double reciprocal(double x) {
  return 1 / x;
}

// s(x) and 1 - s(x), both to the last bits: no exponential of a positive number.
template <class Sum>
__device__ __forceinline__ void sigmoid(Sum x, Sum& opens, Sum& keeps) {
  const Sum small = power_of_2((x < 0 ? x : -x) * static_cast<Sum>(1.4426950408889634));
  const Sum large = reciprocal(1 + small), rest = small * large;
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

// What is done with candidates and gates; null pointers: not wanted, or not there.
template <class T>
struct Gate {
  const T* bias;
  const u8* counted;  // positions whose result is not 0
  Skip skip;
  bool first;  // gates are the first half of the columns
  Skipped<T> skipped;
  Dropout dropout;
  T* y;
  SumOf<T>*parts, *mixed;  // candidates and open shares; c s alone, where a normalisation follows

  // The weight's columns of candidates and gates, from the channel `begin` on.
  __device__ __forceinline__ Groups groups(i64 begin) const {
    const i64 channels = skipped.channels, of_c = first ? channels : 0, of_g = channels - of_c;
    return {{of_c + begin, of_g + begin}, {of_c + channels, of_g + channels}};
  }

  // What follows is for two neighbouring channels at a row; kEven says that the number of channels is even.
  // It has few branches: where rows are dealt with several at a time, what they do goes on side by side.

  // Adds the bias.
  template <bool kEven>
  __device__ __forceinline__ void biases(SumOf<T> (&c)[2], SumOf<T> (&g)[2], i64 f) const {
    const Groups columns = groups(f);
    if (!bias) return;
#pragma unroll
    for (int j = 0; j < 2; ++j)
      if (j < count_at<kEven>(f))
        c[j] += widen(bias[columns.begin[0] + j]), g[j] += widen(bias[columns.begin[1] + j]);
  }
  // What results are mixed with, as it lies in memory: nothing waits for it until it is used.
  struct Beside {
    Pair<T> input;
    Pair<SumOf<T>> projected;
    u8 counted, readable;
  };
  template <bool kEven>
  __device__ __forceinline__ Beside beside(i64 row, i64 f) const {
    const i64 channels = skipped.channels, place = row * channels + f;
    const bool pair = kEven || channels % 2 == 0, skips = y && skip != kNone;
    Beside found{{}, {}, 1, 1};
    if (counted) found.counted = counted[row];
    if (skips && skipped.projected)
      found.projected = pair_at(skipped.projected + place, count_at<kEven>(f), pair);
    if (skips && !skipped.projected) found.input = pair_at(skipped.input + place, count_at<kEven>(f), pair);
    if (skips && skipped.mask) found.readable = skipped.mask[row];
    return found;
  }
  // Writes the results, of sums with their bias, if they are `wanted`.
  template <bool kEven>
  __device__ __forceinline__ void write(i64 row, i64 f, const SumOf<T> (&c)[2], const SumOf<T> (&g)[2],
                                        const SumOf<T> (&factor)[2], const Beside& beside,
                                        bool wanted) const {
    using Sum = SumOf<T>;
    const i64 channels = skipped.channels, place = row * channels + f, of_parts = place + row * channels;
    const int count = count_at<kEven>(f);
    const bool pair = kEven || channels % 2 == 0;
    Sum opens[2], keeps[2], mix[2], out[2], candidate[2];
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      sigmoid(g[j] * factor[j], opens[j], keeps[j]);
      mix[j] = c[j] * opens[j];
      const Sum own = number_of<T>(beside.input, j), readable = beside.readable ? own : 0;
      const Sum x = skipped.projected ? number_of<Sum>(beside.projected, j) : readable;
      out[j] = skip == kGated ? fused(x, keeps[j], mix[j]) : x + mix[j];
      candidate[j] = c[j];
      if (!beside.counted) out[j] = mix[j] = opens[j] = candidate[j] = 0;
    }
    if (y && wanted) store_pair<T>(y + place, out, count, pair);
    if (mixed && wanted) store_pair<Sum>(mixed + place, mix, count, pair);
    if (!parts || !wanted) return;
    store_pair<Sum>(parts + of_parts, candidate, count, pair);
    store_pair<Sum>(parts + of_parts + channels, opens, count, pair);
  }

 private:
  template <bool kEven>
  __device__ __forceinline__ int count_at(i64 f) const {
    return kEven || f + 1 < skipped.channels ? 2 : 1;
  }
};

// Two neighbouring channels of a lane; kEven says that their number is even.
template <class T, int kN, bool kEven>
class GateColumns {
 public:
  using Sum = SumOf<T>;
  static constexpr int kAcross = kN;
  using Beside = typename Gate<T>::Beside;

  __device__ __forceinline__ GateColumns(const Gate<T>& gate, i64 f)
      : gate_(gate), within_(f < gate.skipped.channels), f_(within_ ? f : 0) {
    gate.template biases<kEven>(of_c_, of_g_, f_);
  }
  __device__ __forceinline__ static Groups groups(const Gate<T>& gate, i64 begin) {
    return gate.groups(begin);
  }

  __device__ __forceinline__ Beside read(i64 row) const { return gate_.template beside<kEven>(row, f_); }
  // Of rows kStep apart, from `top` on, behind which there are `left`.
  template <int kStep, int kCount>
  __device__ __forceinline__ void write(i64 top, i64 left, const Pair<Sum> (&c)[kCount],
                                        const Pair<Sum> (&g)[kCount], const Beside (&beside)[kCount]) const {
    Sum factor[kCount][2];
#pragma unroll
    for (int r = 0; r < kCount; ++r) factor[r][0] = factor[r][1] = static_cast<Sum>(gate_.dropout.sign);
    if (gate_.dropout.threshold)
#pragma unroll
      for (int r = 0; r < kCount; ++r) gate_.dropout.factors(factor[r], top + r * kStep, f_);
#pragma unroll
    for (int r = 0; r < kCount; ++r) {
      const Sum with_c[2] = {c[r].at[0] + of_c_[0], c[r].at[1] + of_c_[1]};
      const Sum with_g[2] = {g[r].at[0] + of_g_[0], g[r].at[1] + of_g_[1]};
      const bool wanted = within_ && r * kStep < left;
      gate_.template write<kEven>(top + r * kStep, f_, with_c, with_g, factor[r], beside[r], wanted);
    }
  }

 private:
  const Gate<T> gate_;  // a reference would keep it in memory
  bool within_;
  i64 f_;  // where one must be read
  Sum of_c_[2] = {0, 0}, of_g_[2] = {0, 0};
};

}  // namespace kx::conv

#define KX_GATE_PARAMETERS                                                                              \
  kx::i64 channels, const KX_T *bias, const kx::u8 *counted, kx::i64 skip, kx::i64 first,               \
      const KX_T *skipped, const kx::SumOf<KX_T>*projected, const kx::u8 *skip_mask, kx::u64 threshold, \
      kx::u64 key, double kept, double sign, KX_T *y, kx::SumOf<KX_T>*parts, kx::SumOf<KX_T>*mixed
#define KX_GATE                               \
  {bias,                                      \
   counted,                                   \
   static_cast<kx::conv::Skip>(skip),         \
   first != 0,                                \
   {skipped, projected, skip_mask, channels}, \
   {threshold, key, kept, sign},              \
   y,                                         \
   parts,                                     \
   mixed}
