// What a convolution is told: its input, the columns of its weight, and where results go that nothing but a
// bias is added to. The text defines KX_T, the type.
#pragma once

#include "numbers.cuh"

namespace kx::conv {

// What is convolved: rows of `deep` numbers, sequences of `length` rows one after another. Tap a reads the
// row step a + origin away, if it is in the same sequence and `readable`.
template <class T>
struct Input {
  const T* data;
  const u8* readable;
  i64 rows, length, deep, first_tap, end_tap, step, origin;

  __device__ __forceinline__ i64 shift(i64 tap) const { return step * tap + origin; }
  __device__ __forceinline__ bool whole() const { return deep % Chunk<T>::kCount == 0; }
};

// Two ranges of a weight's columns, one for each group of a tile.
struct Groups {
  i64 begin[2], end[2];
};

// Two neighbouring numbers as they lie in memory; halves in one register, so that nobody waits for them to be
// taken apart before they are used.
template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T at[2];
};
struct HalfPair {
  u32 bits;
};
template <>
struct Pair<BF16> : HalfPair {};
template <>
struct Pair<F16> : HalfPair {};

template <class T>
__device__ __forceinline__ Pair<T> pair_of(T low, T high) {
  if constexpr (Of<T>::kMatrix)
    return {{low.bits | static_cast<u32>(high.bits) << 16}};
  else
    return {{low, high}};
}
template <class T>
__device__ __forceinline__ SumOf<T> number_of(const Pair<T>& pair, int j) {
  if constexpr (Of<T>::kMatrix)
    return widen(T{static_cast<u16>(pair.bits >> 16 * j)});
  else
    return pair.at[j];
}

// Two neighbouring numbers of a row, of which `count` are there; as one where `pair` says that they may be.
template <class T>
__device__ __forceinline__ Pair<T> pair_at(const T* from, int count, bool pair) {
  if (pair) return *reinterpret_cast<const Pair<T>*>(from);
  return pair_of(from[0], count > 1 ? from[1] : T{});
}
template <class T>
__device__ __forceinline__ void store_pair(T* to, const SumOf<T> (&from)[2], int count, bool pair) {
  T low, high;
  narrow(low, from[0]), narrow(high, from[1]);
  if (pair) {
    *reinterpret_cast<Pair<T>*>(to) = pair_of(low, high);
  } else {
    to[0] = low;
    if (count > 1) to[1] = high;
  }
}

// What is done with the sums of a convolution without gates: out = sums + bias + added; 0 where `kept` says
// so. One of out and sums_out is there.
template <class T>
struct Plain {
  i64 columns;
  const T* bias;
  const SumOf<T>* added;
  const u8* kept;
  T* out;
  SumOf<T>* sums_out;

  // What follows is for two neighbouring columns at a row; kEven says that the number of columns is even.

  // Adds the bias.
  template <bool kEven>
  __device__ __forceinline__ void biases(SumOf<T> (&x)[2], i64 at) const {
    if (!bias) return;
#pragma unroll
    for (int j = 0; j < 2; ++j)
      if (j < count_at<kEven>(at)) x[j] += widen(bias[at + j]);
  }
  // What is added to the results, as it lies in memory: nothing waits for it until it is used.
  struct Beside {
    Pair<SumOf<T>> added;
    u8 kept;
  };
  template <bool kEven>
  __device__ __forceinline__ Beside beside(i64 row, i64 at) const {
    Beside found{{{0, 0}}, 1};
    if (kept) found.kept = kept[row];
    if (added) found.added = pair_at(added + row * columns + at, count_at<kEven>(at), pairs<kEven>());
    return found;
  }
  // Writes the results, of sums with their bias, if they are `wanted`.
  template <bool kEven>
  __device__ __forceinline__ void write(i64 row, i64 at, const SumOf<T> (&sums)[2], const Beside& beside,
                                        bool wanted) const {
    const i64 place = row * columns + at;
    const int count = count_at<kEven>(at);
    SumOf<T> x[2];
#pragma unroll
    for (int j = 0; j < 2; ++j) x[j] = beside.kept ? sums[j] + number_of<SumOf<T>>(beside.added, j) : 0;
    if (out && wanted) store_pair<T>(out + place, x, count, pairs<kEven>());
    if (sums_out && wanted) store_pair<SumOf<T>>(sums_out + place, x, count, pairs<kEven>());
  }

 private:
  template <bool kEven>
  __device__ __forceinline__ int count_at(i64 at) const {
    return kEven || at + 1 < columns ? 2 : 1;
  }
  template <bool kEven>
  __device__ __forceinline__ bool pairs() const {
    return kEven || columns % 2 == 0;
  }
};

}  // namespace kx::conv

#define KX_INPUT_PARAMETERS                                                                                \
  const KX_T *data, const kx::u8 *readable, kx::i64 rows, kx::i64 length, kx::i64 deep, kx::i64 first_tap, \
      kx::i64 end_tap, kx::i64 step, kx::i64 origin, const KX_T *weight
#define KX_INPUT {data, readable, rows, length, deep, first_tap, end_tap, step, origin}
#define KX_PLAIN_PARAMETERS                                                                                \
  KX_INPUT_PARAMETERS, kx::i64 columns, const KX_T *bias, const kx::SumOf<KX_T>*added, const kx::u8 *kept, \
      KX_T *out, kx::SumOf<KX_T>*sums_out
#define KX_PLAIN {columns, bias, added, kept, out, sums_out}
