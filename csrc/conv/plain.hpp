// What stands beside gated convolutions: one without a gate, and pooling over time.
#pragma once

#include <cstdint>

#include "conv/layer.hpp"

namespace kxfast::conv {

enum class Ending : int { none, relu, relu_pair_sum };

// A convolution without a gate; arrays row-major, null where there is none.
template <class T>
struct Plain {
  const T *weight, *bias;  // (taps, in, columns), (columns)
  int64_t taps, in, columns, dilation, left;
  Ending ending;
  int64_t pool;  // the largest of as many neighbouring positions; those that are left over are dropped

  int64_t out() const { return ending == Ending::relu_pair_sum ? columns / 2 : columns; }
};

// y (batch, length / pool, out); padding is read as 0.
template <class T>
void dilated(const Plain<T>& plain, const Input<T>& input, T* y);

// out (batch, channels): the largest or the mean of real positions, 0 where there are none.
template <class T>
void pooled(Pool way, const Input<T>& input, int64_t channels, T* out);

// Mean with weights softmax(act(x hidden + bias) output) over real positions, 0 where there are none.
template <class T>
struct Attention {
  const T *hidden, *bias, *output;  // (channels, width), (width) or null, (width)
  int64_t channels, width;
  bool swish;
};
template <class T>
void attention_pooled(const Attention<T>& attention, const Input<T>& input, T* out);

}  // namespace kxfast::conv
