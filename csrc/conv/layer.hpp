// The stem conv below Python: one layer of dilated gated convolution and its gradients.
#pragma once

#include <cstdint>

#include "conv/kernels.hpp"

namespace kxfast::conv {

template <class T>
struct Packed;

// Row-major arrays, but for x; null where there is none.
template <class T>
struct Layer {
  const T* weight;      // (taps, in, 2 out)
  const Wide<T>* bias;  // (2 out)
  int64_t taps, in, out, dilation, left;
  Skip skip;
  bool gate_first, mask_input;
  const T *shortcut, *shortcut_bias;  // (in, out), (out)
  const T *gamma, *beta;
  Wide<T> alpha;
  double drop;
  uint64_t seed;
  const Packed<T>* packed;  // of the weight; used in place of it

  int64_t candidates() const { return gate_first ? out : 0; }  // first column of candidates
  int64_t gates() const { return gate_first ? 0 : out; }
  Wide<T> sign() const { return skip == Skip::gated && gate_first ? -1 : 1; }
};

template <class T>
struct Input {
  const T* x;        // (batch, length, in), channels in one piece
  const bool* mask;  // (batch, length) or null
  int64_t batch, length;
  int64_t row, sequence;           // elements of x from one position, one sequence, to the next
  int64_t first = 0;               // number of row 0 in the whole batch
  const Wide<T>* parts = nullptr;  // (batch, length, 2 out): what the forward pass has kept; or null

  int64_t extra() const { return sequence - length * row; }  // elements between sequences, beyond their rows
};

template <class T>
struct Gradients {
  T* dx;
  Wide<T>*dweight, *dbias, *dshortcut, *dshortcut_bias, *dgamma, *dbeta, *dalpha;
};

// `kept` (batch, length, 2 out) takes candidates and the open shares of gates, for `backward`; or null.
// A layer in Bfloat16 needs half_products(), an even `in`, and no shortcut and no gamma.
template <class T>
void forward(const Layer<T>& layer, const Input<T>& input, T* y, Wide<T>* kept);
template <class T>
void backward(const Layer<T>& layer, const Input<T>& input, const T* dy, const Gradients<T>& gradients);

}  // namespace kxfast::conv
