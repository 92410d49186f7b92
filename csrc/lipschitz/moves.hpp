// How a kernel moves over the input.
#pragma once

#include <cstdint>

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

}  // namespace kxfast::lipschitz
