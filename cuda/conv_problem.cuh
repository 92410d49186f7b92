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

// Two neighbouring numbers of a row, of which `count` are there; as one where `pair` says that they may be.
template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T at[2];
};
template <class T>
__device__ __forceinline__ void load_pair(SumOf<T> (&to)[2], const T* from, int count, bool pair) {
  if (pair) {
    const Pair<T> both = *reinterpret_cast<const Pair<T>*>(from);
    to[0] = widen(both.at[0]), to[1] = widen(both.at[1]);
  } else {
    to[0] = widen(from[0]), to[1] = count > 1 ? widen(from[1]) : 0;
  }
}
template <class T>
__device__ __forceinline__ void store_pair(T* to, const SumOf<T> (&from)[2], int count, bool pair) {
  Pair<T> both;
  narrow(both.at[0], from[0]), narrow(both.at[1], from[1]);
  if (pair) {
    *reinterpret_cast<Pair<T>*>(to) = both;
  } else {
    to[0] = both.at[0];
    if (count > 1) to[1] = both.at[1];
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

  // The results of two neighbouring columns at a row, but those beyond the last one.
  __device__ __forceinline__ void finish(i64 row, i64 at, const SumOf<T> (&sums)[2]) const {
    if (at >= columns) return;
    const i64 place = row * columns + at;
    const int count = at + 1 < columns ? 2 : 1;
    const bool pair = columns % 2 == 0;
    SumOf<T> x[2] = {sums[0], sums[1]};
    for (int j = 0; j < count; ++j) {
      if (bias) x[j] += widen(bias[at + j]);
      if (added) x[j] += added[place + j];
      if (kept && !kept[row]) x[j] = 0;
    }
    if (out) store_pair<T>(out + place, x, count, pair);
    if (sums_out) store_pair<SumOf<T>>(sums_out + place, x, count, pair);
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
