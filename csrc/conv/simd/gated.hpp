// A block of a gated convolution on register tiles, for kernels that end in different ways (gated.cpp).
#pragma once

#include "conv/simd/tile.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

// One register of candidates and gates of one row.
template <class T>
struct Gated {
  Vector<Wide<T>> candidate, opens, keeps, scale;
};

// What a gate's logit is multiplied by.
template <class T>
KXFAST_INLINE Vector<Wide<T>> scale(const GatedBlock<T>& block, int64_t row, int64_t at, int64_t count) {
  const Vector<Wide<T>> sign = all(block.sign);
  return block.scale ? sign * load(block.scale + block.number[row] * block.channels + at, count) : sign;
}

template <class T>
KXFAST_INLINE Gated<T> open(const GatedBlock<T>& block, Vector<Wide<T>> c, Vector<Wide<T>> g, int64_t row,
                            int64_t at, int64_t count) {
  Gated<T> result;
  if (block.candidate_bias) {
    c += load(block.candidate_bias + at, count);
    g += load(block.gate_bias + at, count);
  }
  result.scale = scale(block, row, at, count);
  result.candidate = c;
  sigmoids<Wide<T>>(g * result.scale, result.opens, result.keeps);
  return result;
}

struct Forward {
  template <class T>
  static KXFAST_INLINE void finish(const GatedBlock<T>& block, const Gated<T>& s, int64_t row, int64_t at,
                                   int64_t count, int64_t) {
    if (block.y) {
      Vector<Wide<T>> y = s.candidate * s.opens;
      if (block.skip != Skip::none) {
        const Vector<Wide<T>> x = load(block.skipped[row] + block.skipped_offset + at, count);
        y = block.skip == Skip::gated ? fma(x, s.keeps, y) : x + y;
      }
      store(block.y + block.number[row] * block.channels + at, y, count);
    }
    if (!block.kept) return;
    Wide<T>* kept = block.kept + 2 * block.number[row] * block.channels + at;
    store(kept, s.candidate, count);
    store(kept + block.channels, s.opens, count);
  }
};

// The same from what a forward pass has kept.
template <class T>
KXFAST_INLINE Gated<T> reopen(const GatedBlock<T>& block, int64_t row, int64_t at, int64_t count) {
  const Wide<T>* parts = block.parts + 2 * block.number[row] * block.channels + at;
  const Vector<Wide<T>> opens = load(parts + block.channels, count);
  return {load(parts, count), opens, all(Wide<T>{1}) - opens, scale(block, row, at, count)};
}

// Gradients of one register of candidates and gates; what is handed to the skipped input is stored at once.
template <class T>
struct Opened {
  Vector<Wide<T>> candidate, gate;
};
template <class T>
KXFAST_INLINE Opened<T> gradient(const GatedBlock<T>& block, const Gated<T>& s, int64_t row, int64_t at,
                                 int64_t count) {
  const Vector<Wide<T>> dy = load(block.dy + block.number[row] * block.channels + at, count);
  Vector<Wide<T>> other = s.candidate;
  if (block.skip == Skip::gated) other -= load(block.skipped[row] + block.skipped_offset + at, count);
  if (block.dskip)
    store(block.dskip + block.number[row] * block.dskip_stride + at,
          block.skip == Skip::gated ? dy * s.keeps : dy, count);
  return {dy * s.opens, dy * other * s.opens * s.keeps * s.scale};
}

constexpr int64_t kAhead = 8;  // rows

// Fetches what a row reads and writes: a panel takes too little of each row for the processor to foresee it.
template <class T>
KXFAST_INLINE void fetch(const GatedBlock<T>& block, int64_t row, int64_t at, int64_t gates) {
  const int64_t number = block.number[row];
  __builtin_prefetch(block.parts + 2 * number * block.channels + at);
  __builtin_prefetch(block.parts + (2 * number + 1) * block.channels + at);
  __builtin_prefetch(block.dy + number * block.channels + at);
  __builtin_prefetch(block.dz + number * block.dz_stride + at, 1);
  __builtin_prefetch(block.dz + number * block.dz_stride + gates + at, 1);
  if (block.skipped) __builtin_prefetch(block.skipped[row] + block.skipped_offset + at);
  if (block.dskip) __builtin_prefetch(block.dskip + number * block.dskip_stride + at, 1);
}

// body(block at a panel, where in dz the panel's gates begin) for all panels of a block that stands at the
// first.
template <int64_t NARROW, class T, class Body>
KXFAST_INLINE void by_panels(const GatedBlock<T>& block, Body&& body) {
  for (int64_t first = 0; first < block.channels; first += block.panel) {
    GatedBlock<T> panel = block;
    panel.width = block.channels - first < block.panel ? block.channels - first : block.panel;
    panel.skipped_offset = first;
    panel.parts += first;
    panel.dy += first;
    panel.dz += 2 * first;
    if (block.scale) panel.scale += first;
    if (block.dskip) panel.dskip += first;
    if (block.pairs) panel.pairs += 4 * first;
    body(panel, panel.width <= NARROW ? NARROW : block.panel);
  }
}

// Finishes a tile of some rows whose first channel is number `first` of the panel.
template <class Mode, class T, int ROWS, int VECTORS>
KXFAST_INLINE void finish(const GatedBlock<T>& block, const Tile<T, ROWS, 2 * VECTORS>& tile, int64_t row,
                          int64_t first, int64_t gates) {
  constexpr int kLanes = Lanes<Wide<T>>::kWidth;
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < VECTORS; ++j) {
      const int64_t at = first + j * kLanes, left = block.width - at;
      const int64_t count = left < kLanes ? left : kLanes;
      const Gated<T> s = open(block, tile.sum[i][j], tile.sum[i][j + VECTORS], row + i, at, count);
      Mode::finish(block, s, row + i, at, count, gates);
    }
}

template <class Mode, int VECTORS, bool FAR, class T>
KXFAST_INLINE void by_six(const GatedBlock<T>& block, int64_t begin) {
  by_tiles(block.in.count - begin, [&](int64_t i, auto rows) {
    constexpr int kRows = decltype(rows)::value;
    Tile<T, kRows, 2 * VECTORS> tile;
    tile.template multiply<FAR>(block.in, begin + i, block.candidate, block.gate, block.step);
    finish<Mode, T, kRows, VECTORS>(block, tile, begin + i, 0, VECTORS * Lanes<Wide<T>>::kWidth);
  });
}

// Weights that are read where they are come from the L2 cache at every tile: half of them, by twice the rows.
template <class Mode, class T>
void panel_in_place(const GatedBlock<T>& block) {
  constexpr int kRows = 12, kLanes = Lanes<T>::kWidth, kGates = kVectors * kLanes;
  int64_t row = 0;
  for (; row + kRows <= block.in.count; row += kRows)
    for (int64_t at = 0; at < kGates; at += kLanes) {
      Tile<T, kRows, 2> tile;
      tile.template multiply<true>(block.in, row, block.candidate + at, block.gate + at, block.step);
      finish<Mode, T, kRows, 1>(block, tile, row, at, kGates);
    }
  by_six<Mode, kVectors, true>(block, row);
}

template <class Mode, class T, int VECTORS>
void panel(const GatedBlock<T>& block) {
  if constexpr (VECTORS > 1 && std::is_same_v<T, Wide<T>>)
    if (block.step > 2 * VECTORS * Lanes<T>::kWidth) return panel_in_place<Mode>(block);
  by_six<Mode, VECTORS, false>(block, 0);
}

template <class Mode, class T>
void run(const GatedBlock<T>& block) {
  if (block.width <= Lanes<Wide<T>>::kWidth)
    panel<Mode, T, 1>(block);
  else
    panel<Mode, T, kVectors>(block);
}

}  // namespace
}  // namespace kxfast::conv::KXFAST_ISA
