// Weights in the order in which kernels read them.
#pragma once

#include <cstring>

#include "conv/blocks.hpp"
#include "conv/layer.hpp"

namespace kxfast::conv {

// Panels of candidates and gates, side by side; kTogether channels in of a column stand together. For few
// rows full panels are read where they are, if each channel stands alone.
template <class T>
class GatedWeight {
 public:
  GatedWeight(const Layer<T>& layer, const Tiling& tiling, int64_t rows)
      : panels(Panels::gated(tiling, layer.out)), layer_(layer), depth_(layer.taps * layer.in) {
    constexpr int64_t kFew = 256, kWide = 512;  // a stride of 4 KB falls into one set of the cache
    if (kTogether<T> == 1 && rows <= kFew && layer.out < kWide)
      while (in_place_ < panels.count() && panels.width(in_place_) == panels.padded(in_place_)) ++in_place_;
    if (in_place_ == panels.count()) return;
    packed_ = Buffer<T>(static_cast<size_t>(2 * depth_ * (panels.padded_total() - panels.first(in_place_))));
    const int64_t pieces = (depth_ + kPiece - 1) / kPiece;
    const auto pack = [&](int64_t i) { this->pack(in_place_ + i / pieces, i % pieces * kPiece); };
    parallel_for((panels.count() - in_place_) * pieces, pack, packed_.size() < (size_t{1} << 15) ? 1 : 0);
  }

  // Points a block at panel p.
  void point(int64_t p, GatedBlock<T>& block) const {
    const int64_t first = panels.first(p);
    const int64_t c = layer_.candidates() + first, g = layer_.gates() + first;
    block.candidate_bias = layer_.bias ? layer_.bias + c : nullptr;
    block.gate_bias = layer_.bias ? layer_.bias + g : nullptr;
    block.width = panels.width(p);
    if (p >= in_place_) {
      block.candidate = packed_.data() + 2 * depth_ * (first - panels.first(in_place_));
      block.gate = block.candidate + kTogether<T> * panels.padded(p);
      block.step = 2 * kTogether<T> * panels.padded(p);
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
    T* to = packed_.data() + 2 * (depth_ * (first - panels.first(in_place_)) + begin * padded);
    constexpr int64_t kEach = kTogether<T>;
    for (int64_t k = begin; k < end; k += kEach)
      for (const int64_t column : {layer_.candidates(), layer_.gates()}) {
        const T* from = layer_.weight + k * 2 * layer_.out + column + first;
        interleave(from, from + (kEach - 1) * 2 * layer_.out, width, to);
        to += kEach * width;
        std::fill(to, to + kEach * (padded - width), T{0});
        to += kEach * (padded - width);
      }
  }

  static void interleave(const T* a, const T* b, int64_t count, T* to) {
    if constexpr (kTogether<T> == 1) {
      std::copy(a, a + count, to);
    } else {
      for (int64_t n = 0; n < count; ++n) {
        const uint32_t pair = a[n].bits | uint32_t{b[n].bits} << 16;
        std::memcpy(to + 2 * n, &pair, 4);
      }
    }
  }

  const Layer<T>& layer_;
  const int64_t depth_;
  int64_t in_place_ = 0;  // panels before this one are read in place
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
        square_(tiling.lanes),
        transpose_(KXFAST_PICK(Transpose, transpose)),
        packed_(static_cast<size_t>(depth_ * panels.padded_total())) {
    const int64_t pieces = (depth_ + kPiece - 1) / kPiece;
    const auto pack = [&](int64_t i) {
      for (int64_t k = i % pieces * kPiece; k < std::min(depth_, (i % pieces + 1) * kPiece); k += square_)
        this->pack(i / pieces, k);
    };
    parallel_for(panels.count() * pieces, pack, packed_.size() < (size_t{1} << 14) ? 1 : 0);
  }

  const T* panel(int64_t p) const { return packed_.data() + depth_ * panels.first(p); }

  const Panels panels;

 private:
  static constexpr int64_t kPiece = 64;
  using Transpose = void (*)(const T*, int64_t, T*, int64_t);

  // Squares of one register by one register: rows and columns of a transposed matrix are far apart on one
  // side.
  void pack(int64_t p, int64_t k) {
    const int64_t padded = panels.padded(p), width = panels.width(p), end = std::min(k + square_, depth_);
    T* to = packed_.data() + depth_ * panels.first(p);
    const T* from = from_ + panels.first(p) * step_;
    const int64_t begin = offset(k);
    const bool run = end == k + square_ && begin >= 0 && offset(end - 1) - begin == square_ - 1;
    int64_t n = 0;
    for (; run && n + square_ <= width; n += square_)
      transpose_(from + begin + n * step_, step_, to + k * padded + n, padded);
    for (; n < padded; ++n)
      for (int64_t i = k; i < end; ++i)
        to[i * padded + n] = n < width && offset(i) >= 0 ? from[offset(i) + n * step_] : T{0};
  }
  int64_t offset(int64_t k) const { return offset_[static_cast<size_t>(k)]; }

  const T* from_;
  Buffer<int64_t> offset_;
  const int64_t depth_, step_, square_;
  const Transpose transpose_;
  Buffer<T> packed_;
};

}  // namespace kxfast::conv
