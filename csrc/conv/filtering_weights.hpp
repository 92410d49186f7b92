// Values of weights at the points of minimal filtering (filtering.hpp), in panels as products read them.
#pragma once

#include "conv/filtering.hpp"

namespace kxfast::conv {

using FilterWeight = void (*)(const FilterBlock&);
using WeightTaps = void (*)(const TapsBlock&);

// Panels of candidates and gates, side by side, for forward: (points, in, 2 padded).
class Straight {
 public:
  explicit Straight(const Layer<float>& layer)
      : panels(Panels::gated(tiling<float>(), layer.out)), depth(kPoints * layer.in * 2), layer_(layer) {}

  int64_t pieces() const { return (layer_.in + kPiece - 1) / kPiece; }
  void make(int64_t p, int64_t piece, float* to) const {
    const int64_t row = 2 * layer_.out, first = piece * kPiece, padded = panels.padded(p), step = 2 * padded;
    FilterBlock block{
        nullptr, layer_.in * row,  row, std::min(kPiece, layer_.in - first), panels.width(p), padded,
        nullptr, layer_.in * step, step};
    for (const int64_t half : {0, 1}) {
      const int64_t column = (half ? layer_.gates() : layer_.candidates()) + panels.first(p);
      block.weight = layer_.weight + first * row + column;
      block.to = to + first * step + half * padded;
      filter_(block);
    }
  }

  const Panels panels;
  const int64_t depth;  // floats for each channel out

 private:
  static constexpr int64_t kPiece = 32;
  const Layer<float> layer_;
  const FilterWeight filter_ = KXFAST_PICK(FilterWeight, filter_weight);
};

// Panels of the transposed weight, for the gradient of the input: for each run of columns of dz, whose
// weights stay in the L2 cache, (points, columns, padded).
class Transposed {
 public:
  static constexpr int64_t kRun = 512;

  // `gated`: the panels of dz.
  Transposed(const Layer<float>& layer, const Panels& gated)
      : panels(Panels::linear(tiling<float>(), layer.in)),
        columns(2 * gated.padded_total()),
        depth(kPoints * columns),
        layer_(layer),
        square_(tiling<float>().lanes),
        offset_(static_cast<size_t>(columns)) {
    Layer<float> one = layer;
    one.taps = 1;
    offset_ = transposed_rows(one, gated);
  }

  int64_t pieces() const { return columns / square_; }  // gated panels are whole registers
  // Squares of one register by one register.
  void make(int64_t p, int64_t piece, float* to) const {
    const int64_t row = 2 * layer_.out, tap = layer_.in * row, width = panels.width(p),
                  padded = panels.padded(p);
    const int64_t column = piece * square_, first = column / kRun * kRun;
    const int64_t point = std::min(kRun, columns - first) * padded;
    const int64_t* offset = offset_.data() + column;
    const float* from = layer_.weight + panels.first(p) * row;
    to += kPoints * first * padded + (column - first) * padded;
    int64_t n = 0;
    if (offset[0] >= 0 && offset[square_ - 1] - offset[0] == square_ - 1)
      for (; n + square_ <= width; n += square_)
        turn_({from + offset[0] + n * row, tap, row, square_, square_, square_, to + n, point, padded});
    for (; n < padded; ++n)
      for (int64_t i = 0; i < square_; ++i) {
        const bool there = n < width && offset[i] >= 0;
        const float* w = from + n * row + offset[i];
        const float a = there ? w[0] : 0, b = there ? w[tap] : 0, c = there ? w[2 * tap] : 0;
        const float values[kPoints] = {a, ((a + c) + b) * 0.5f, ((a + c) - b) * 0.5f, c};
        for (int64_t j = 0; j < kPoints; ++j) to[j * point + i * padded + n] = values[j];
      }
  }

  const Panels panels;
  const int64_t columns, depth;

 private:
  const Layer<float> layer_;
  const int64_t square_;
  Buffer<int64_t> offset_;  // of columns of dz in a row of the weight, -1 for zeros
  const FilterWeight turn_ = KXFAST_PICK(FilterWeight, filter_turned);
};

// All panels of one of them, for many rows and to be kept.
template <class Kind>
class PointWeight {
 public:
  template <class... Given>
  explicit PointWeight(Given&&... given)
      : kind(given...), all_(static_cast<size_t>(kind.depth * kind.panels.padded_total())) {
    const int64_t pieces = kind.pieces();
    const auto task = [&](int64_t i) {
      const int64_t p = i / pieces;
      kind.make(p, i % pieces, all_.data() + kind.depth * kind.panels.first(p));
    };
    parallel_for(kind.panels.count() * pieces, task);
  }
  const float* panel(int64_t p) const { return all_.data() + kind.depth * kind.panels.first(p); }

  const Kind kind;

 private:
  Buffer<float> all_;
};

}  // namespace kxfast::conv
