// A convolution (cross-correlation) and its transpose as products of gathered rows.
#pragma once

#include <vector>

#include "conv/weights.hpp"
#include "core/workspace.hpp"

namespace kxfast::lipschitz {

// One or two spatial dimensions (the first of size 1 where there is one); weight (groups * outputs, inputs,
// kernel[0], kernel[1]).
struct Moves {
  int64_t size[2], kernel[2], stride[2], padding[2], dilation[2], out[2];
  int64_t groups, inputs, outputs;  // channels of a group
  bool circular;

  int64_t taps() const { return kernel[0] * kernel[1]; }
  int64_t pixels() const { return size[0] * size[1]; }
  int64_t out_pixels() const { return out[0] * out[1]; }
  int64_t rows() const { return out_pixels() * groups * outputs; }
  int64_t cols() const { return pixels() * groups * inputs; }
};

// Arrays have channels last: x (batch, pixels, groups * inputs), y (batch, out pixels, groups * outputs).
template <class T>
class Convolution {
 public:
  Convolution(const T* weight, const Moves& moves);
  void forward(const T* x, const T* bias, T* y, int64_t batch) const;
  void transposed(const T* y, T* x, int64_t batch) const;
  const Moves moves;

 private:
  // Rows that have the same taps: of each its number, and for each tap the row it meets (-1: none).
  struct Part {
    std::vector<int64_t> number, meets;  // meets[tap * number.size() + i]
    std::vector<int64_t> taps;           // numbers in the kernel
  };
  struct Side {
    std::vector<Part> parts;
    std::vector<conv::LinearWeight<T>> weights;  // of each part and group
    int64_t from_rows, from_channels, to_rows, to_channels;
  };
  Side forward_side() const;
  Side back_side() const;
  void pack(Side& side, const T* weight, bool back) const;
  void run(const Side& side, const T* from, const T* bias, T* to, int64_t batch) const;

  Side forward_, back_;
};

}  // namespace kxfast::lipschitz
