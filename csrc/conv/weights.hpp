// Weights in the order in which kernels read them.
#pragma once

#include <cstring>

#include "conv/blocks.hpp"
#include "conv/layer.hpp"

namespace kxfast::conv {

// What brings two rows of elements that are multiplied together side by side; or copies one.
template <class T>
using Interleave = void (*)(const T*, const T*, int64_t, T*);
template <class T>
Interleave<T> interleaving() {
  return [](const T* a, const T*, int64_t count, T* to) { std::copy(a, a + count, to); };
}
template <>
inline Interleave<Bfloat16> interleaving() {
  return KXFAST_PICK_HALF(Interleave<Bfloat16>, interleave);
}

// Panels of candidates and gates, side by side; kTogether channels in of a column stand together. For few
// rows full panels are read where they are, if each channel stands alone.
template <class T>
class GatedWeight {
 public:
  GatedWeight(const Layer<T>& layer, const Tiling& tiling, int64_t rows)
      : panels(Panels::gated(tiling, layer.out)),
        candidates_(layer.weight + layer.candidates()),
        gates_(layer.weight + layer.gates()),
        stride_(2 * layer.out),
        depth_(layer.taps * layer.in) {
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
    block.width = panels.width(p);
    block.panel = 2 * depth_ * panels.size;
    if (p >= in_place_) {
      block.candidate = packed_.data() + 2 * depth_ * (first - panels.first(in_place_));
      block.gate = block.candidate + kTogether<T> * panels.padded(p);
      block.step = 2 * kTogether<T> * panels.padded(p);
    } else {
      block.candidate = candidates_ + first;
      block.gate = gates_ + first;
      block.step = stride_;
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
    const auto interleave = interleaving<T>();
    for (int64_t k = begin; k < end; k += kEach)
      for (const T* column : {candidates_, gates_}) {
        const T* from = column + k * stride_ + first;
        interleave(from, from + (kEach - 1) * stride_, width, to);
        to += kEach * width;
        std::fill(to, to + kEach * (padded - width), T{0});
        to += kEach * (padded - width);
      }
  }

  const T *candidates_, *gates_;  // the weight's own columns
  const int64_t stride_, depth_;
  int64_t in_place_ = 0;  // panels before this one are read in place
  Buffer<T> packed_;
};

// Panels of a matrix whose row k begins at offset[k] (-1: zeros, not for a step of 1) and whose columns are
// `step` apart.
template <class T>
class LinearWeight {
 public:
  LinearWeight(const T* from, Buffer<int64_t> offset, int64_t step, int64_t columns, const Tiling& tiling)
      : panels(Panels::linear(tiling, columns)),
        from_(from),
        offset_(std::move(offset)),
        depth_(static_cast<int64_t>(offset_.size())),
        step_(step),
        square_(KXFAST_PICK(Tiling (*)(Word), tiling)(Word{}).lanes),  // of the kernel that turns them
        transpose_(KXFAST_PICK(Transpose, transpose)),
        packed_(static_cast<size_t>(depth_ * panels.padded_total())) {
    const int64_t pieces = (depth_ + kPiece - 1) / kPiece, rows = square_ * kTogether<T>;
    const auto pack = [&](int64_t i) {
      for (int64_t k = i % pieces * kPiece; k < std::min(depth_, (i % pieces + 1) * kPiece); k += rows)
        this->pack(i / pieces, k);
    };
    parallel_for(panels.count() * pieces, pack, packed_.size() < (size_t{1} << 14) ? 1 : 0);
  }

  const T* panel(int64_t p) const { return packed_.data() + depth_ * panels.first(p); }

  const Panels panels;

 private:
  static constexpr int64_t kPiece = 64;
  using Word = Wide<T>;  // kTogether elements of a column
  using Transpose = void (*)(const Word*, int64_t, Word*, int64_t);

  // Squares of one register by one register: rows and columns of a transposed matrix are far apart on one
  // side. What stands together in a column stands together in the matrix too, if it begins at a whole word.
  void pack(int64_t p, int64_t k) {
    constexpr int64_t kEach = kTogether<T>;
    const int64_t padded = panels.padded(p), width = panels.width(p), rows = square_ * kEach;
    const int64_t end = std::min(k + rows, depth_), begin = offset(k);
    T* to = packed_.data() + depth_ * panels.first(p);
    const T* from = from_ + panels.first(p) * step_;
    if (kEach == 1 && step_ == 1) {
      for (int64_t i = k; i < end; ++i) {
        std::copy(from + offset(i), from + offset(i) + width, to + i * padded);
        std::fill(to + i * padded + width, to + (i + 1) * padded, T{0});
      }
      return;
    }
    const bool run =
        end == k + rows && begin >= 0 && begin % kEach == 0 && offset(end - 1) - begin == rows - 1;
    int64_t n = 0;
    for (; run && n + square_ <= width; n += square_)
      transpose_(reinterpret_cast<const Word*>(from + begin + n * step_), step_ / kEach,
                 reinterpret_cast<Word*>(to + k * padded + n * kEach), padded);
    for (; n < padded; ++n)
      for (int64_t i = k; i < end; ++i)
        to[(i - i % kEach) * padded + n * kEach + i % kEach] =
            n < width && offset(i) >= 0 ? from[offset(i) + n * step_] : T{0};
  }
  int64_t offset(int64_t k) const { return offset_[static_cast<size_t>(k)]; }

  const T* from_;
  Buffer<int64_t> offset_;
  const int64_t depth_, step_, square_;
  const Transpose transpose_;
  Buffer<T> packed_;
};

// Where the rows of the transposed weight begin, in the order of a row of dz (candidates and gates by panels)
// for each tap.
template <class T>
Buffer<int64_t> transposed_rows(const Layer<T>& layer, const Panels& panels) {
  const int64_t columns = 2 * panels.padded_total();
  Buffer<int64_t> offset(static_cast<size_t>(layer.taps * columns));
  for (int64_t a = 0; a < layer.taps; ++a)
    for (int64_t p = 0; p < panels.count(); ++p)
      for (int64_t j = 0, padded = panels.padded(p); j < 2 * padded; ++j) {
        const int64_t o = panels.first(p) + j % padded;
        const int64_t column = (j < padded ? layer.candidates() : layer.gates()) + o;
        offset[static_cast<size_t>(a * columns + 2 * panels.first(p) + j)] =
            o < layer.out ? a * layer.in * 2 * layer.out + column : -1;
      }
  return offset;
}

}  // namespace kxfast::conv
