// The two micro-kernels of attention.
//
// Both micro-kernels keep a block of sums in registers, kGroup rows by up to kWide vectors (6 x 4 of 32
// vector registers with AVX-512, 6 x 2 of 16 otherwise), and take one step of the sum at a time: kWide loads,
// kGroup broadcasts, and a fused multiply-add for each pair, so arithmetic is the limit and loads are not: 95
// % of the rate of multiply-adds alone from the first level cache, 88 % where vectors lie across two lines.
#pragma once

#include "attention/simd/exp2.hpp"

namespace kxfast::attention::KXFAST_ISA {
namespace {

// s[i][0 ...] = sum over k of row[i][k] panel[k][0 ...], for NV vectors; s and panel have rows of a tile.
template <int NV, class T>
inline void scores_of(const T* const* row, const T* panel, int64_t d, T* s) {
  using V = typename Lanes<T>::Vector;
  constexpr int kWidth = Lanes<T>::kWidth;
  V c[kGroup][NV] = {};
  for (int64_t k = 0; k < d; ++k, panel += kTile) {
    V b[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) b[j] = load(panel + j * kWidth);
#pragma GCC unroll 6
    for (int i = 0; i < kGroup; ++i) {
      const V a = all(row[i][k]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) c[i][j] = fused(a, b[j], c[i][j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kGroup; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) store(s + i * kTile + j * kWidth, c[i][j]);
}

// The vectors from `from` to `to` of a group's rows of a tile.
template <class T>
inline void scores(const T* const* row, const T* panel, int64_t d, int from, int to, T* s) {
  constexpr int kWidth = Lanes<T>::kWidth;
  for (; from + kWide <= to; from += kWide)
    scores_of<kWide>(row, panel + from * kWidth, d, s + from * kWidth);
  panel += from * kWidth, s += from * kWidth;
  if (to - from == 1) scores_of<1>(row, panel, d, s);
  if constexpr (kWide > 2) {
    if (to - from == 2) scores_of<2>(row, panel, d, s);
    if (to - from == 3) scores_of<3>(row, panel, d, s);
  }
}

// c[i][0 ...] += sum over k of a[i kRow + k kStep] b[k][0 ...], for MR rows and NV vectors. Sums begin at 0,
// not at c: rounding errors grow with the longest chain, and over many tiles that would be the tiles' chains
// end to end.
template <int MR, int NV, int kRow, int kStep, class T>
inline void add_block(const T* a, const T* b, int64_t b_row, int64_t depth, T* c, int64_t c_row) {
  using V = typename Lanes<T>::Vector;
  constexpr int kWidth = Lanes<T>::kWidth;
  V sum[MR][NV] = {};
  for (int64_t k = 0; k < depth; ++k, a += kStep, b += b_row) {
    V v[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) v[j] = load(b + j * kWidth);
#pragma GCC unroll 6
    for (int i = 0; i < MR; ++i) {
      const V x = all(a[i * kRow]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = fused(x, v[j], sum[i][j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      T* to = c + i * c_row + j * kWidth;
      store(to, load(to) + sum[i][j]);
    }
}

template <int MR, int kRow, int kStep, class T>
inline void add_rows(const T* a, const T* b, int64_t b_row, int64_t depth, T* c, int64_t c_row,
                     int64_t columns) {
  constexpr int kWidth = Lanes<T>::kWidth;
  int64_t j = 0;
  for (; j + kWide * kWidth <= columns; j += kWide * kWidth)
    add_block<MR, kWide, kRow, kStep>(a, b + j, b_row, depth, c + j, c_row);
  for (; j < columns; j += kWidth) add_block<MR, 1, kRow, kStep>(a, b + j, b_row, depth, c + j, c_row);
}

// The same sums, bit for bit, without the terms whose weight, laid out as a is, is 0: 0 NaN would be NaN.
template <int MR, int kRow, int kStep, class T>
void add_selected(const T* a, const T* b, int64_t b_row, int64_t depth, T* c, int64_t c_row, int64_t columns,
                  const T* weight) {
  for (int i = 0; i < MR; ++i)
    for (int64_t j = 0; j < columns; j += Lanes<T>::kWidth) {
      typename Lanes<T>::Vector sum = {};
      for (int64_t k = 0; k < depth; ++k) {
        const int64_t at = i * kRow + k * kStep;
        if (weight[at] != 0) sum = fused(all(a[at]), load(b + k * b_row + j), sum);
      }
      T* to = c + i * c_row + j;
      store(to, load(to) + sum);
    }
}

}  // namespace
}  // namespace kxfast::attention::KXFAST_ISA
