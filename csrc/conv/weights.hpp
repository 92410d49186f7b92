// Weights in the order in which kernels read them.
#pragma once

#include "conv/blocks.hpp"
#include "conv/layer.hpp"

namespace kxfast::conv {

// Panels of candidates and gates, side by side. For few rows they are read where they are.
template <class T>
class GatedWeight {
 public:
  GatedWeight(const Layer<T>& layer, const Tiling& tiling, int64_t rows)
      : panels(Panels::gated(tiling, layer.out)), layer_(layer), depth_(layer.taps * layer.in) {
    constexpr int64_t kFew = 256, kWide = 512;  // a stride of 4 KB falls into one set of the cache
    const bool whole = layer.out % tiling.lanes == 0;
    if (whole && rows <= kFew && layer.out < kWide) return;
    packed_ = Buffer<T>(static_cast<size_t>(2 * depth_ * panels.padded_total()));
    const int64_t pieces = (depth_ + kPiece - 1) / kPiece;
    const auto pack = [&](int64_t i) { this->pack(i / pieces, i % pieces * kPiece); };
    parallel_for(panels.count() * pieces, pack, packed_.size() < (size_t{1} << 15) ? 1 : 0);
  }

  // Points a block at panel p.
  void point(int64_t p, GatedBlock<T>& block) const {
    const int64_t first = panels.first(p);
    const int64_t c = layer_.candidates() + first, g = layer_.gates() + first;
    block.candidate_bias = layer_.bias ? layer_.bias + c : nullptr;
    block.gate_bias = layer_.bias ? layer_.bias + g : nullptr;
    block.width = panels.width(p);
    if (packed_.size()) {
      block.candidate = packed_.data() + 2 * depth_ * first;
      block.gate = block.candidate + panels.padded(p);
      block.step = 2 * panels.padded(p);
    } else {
      block.candidate = layer_.weight + c;
      block.gate = layer_.weight + g;
      block.step = 2 * layer_.out;
    }
  }

  const Panels panels;

 private:
  static constexpr int64_t kPiece = 128;

  void pack(int64_t p, int64_t begin) {
    const int64_t first = panels.first(p), width = panels.width(p), padded = panels.padded(p);
    const int64_t end = std::min(begin + kPiece, depth_);
    T* to = packed_.data() + 2 * (depth_ * first + begin * padded);
    for (int64_t k = begin; k < end; ++k)
      for (const int64_t column : {layer_.candidates(), layer_.gates()}) {
        const T* from = layer_.weight + k * 2 * layer_.out + column + first;
        std::copy(from, from + width, to);
        std::fill(to + width, to + padded, T{0});
        to += padded;
      }
  }

  const Layer<T>& layer_;
  const int64_t depth_;
  Buffer<T> packed_;
};

// Panels of a matrix whose row k begins at offset[k] (-1: zeros) and whose columns are `step` apart.
template <class T>
class LinearWeight {
 public:
  LinearWeight(const T* from, Buffer<int64_t> offset, int64_t step, int64_t columns, const Tiling& tiling)
      : panels(Panels::linear(tiling, columns)),
        from_(from),
        offset_(std::move(offset)),
        depth_(static_cast<int64_t>(offset_.size())),
        step_(step),
        packed_(static_cast<size_t>(depth_ * panels.padded_total())) {
    const int64_t pieces = (depth_ + kPiece - 1) / kPiece;
    const auto pack = [&](int64_t i) {
      for (int64_t k = i % pieces * kPiece; k < std::min(depth_, (i % pieces + 1) * kPiece); k += kSquare)
        this->pack(i / pieces, k);
    };
    parallel_for(panels.count() * pieces, pack, packed_.size() < (size_t{1} << 14) ? 1 : 0);
  }

  const T* panel(int64_t p) const { return packed_.data() + depth_ * panels.first(p); }

  const Panels panels;

 private:
  static constexpr int64_t kPiece = 64, kSquare = 16;

  // Small squares: rows and columns of a transposed matrix are far apart on one side.
  void pack(int64_t p, int64_t k) {
    const int64_t padded = panels.padded(p), width = panels.width(p), end = std::min(k + kSquare, depth_);
    T* to = packed_.data() + depth_ * panels.first(p);
    const T* from = from_ + panels.first(p) * step_;
    for (int64_t n = 0; n < padded; ++n)
      for (int64_t i = k; i < end; ++i) {
        const int64_t offset = offset_[static_cast<size_t>(i)];
        to[i * padded + n] = n < width && offset >= 0 ? from[offset + n * step_] : T{0};
      }
  }

  const T* from_;
  Buffer<int64_t> offset_;
  const int64_t depth_, step_;
  Buffer<T> packed_;
};

}  // namespace kxfast::conv
