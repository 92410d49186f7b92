// The training step of spectral normalisation.
#pragma once

#include <algorithm>
#include <vector>

#include "core/job.hpp"
#include "core/threads.hpp"

namespace kxfast::lipschitz {

// body(i) for layers of so many entries: they are the tasks, unless one is most of the work; its rows are,
// then.
template <class Body>
void each_layer(const std::vector<int64_t>& sizes, Body&& body) {
  int64_t most = 0, all = 0;
  for (const int64_t size : sizes) most = std::max(most, size), all += size;
  const auto one = [&](int64_t i) { body(static_cast<size_t>(i)); };
  const auto count = static_cast<int64_t>(sizes.size());
  if (2 * most > all)
    for (int64_t i = 0; i < count; ++i) one(i);
  else
    parallel_for(count, one, all < (1 << 16) ? 1 : 0);
}

// `n_iter` times u = W v / |W v|, v = W'u / |W'u|, from v = start on; returns |W'u|, or without iterations
// u'W v. `next`: room for a v.
template <class T>
double normalize_step(const T* w, int64_t rows, int64_t cols, const T* start, T* u, T* v, T* next,
                      int64_t n_iter, Job& job);

// out = factor * w
template <class T>
void scale(const T* w, int64_t size, T factor, T* out);

// out = g / divisor - slope <g, w> / divisor^2 u v', for w / divisor; returns <g, w>, or 0 without a slope,
// where w, u and v are not read.
template <class T>
double normalize_gradient(const T* g, const T* w, int64_t rows, int64_t cols, const T* u, const T* v,
                          double divisor, double slope, T* out);

// A layer on its way through a step, or through the gradient of one.
template <class T>
struct Layer {
  const T* w = nullptr;
  int64_t rows = 0, cols = 0;
  T *u = nullptr, *v = nullptr;
  T* out =
      nullptr;  // the scaled weight, which may be w itself, or the weight's gradient; null: none is wanted
  const T* grad = nullptr;
  double sigma = 0;
  double factor = 1, inner = 0;  // what a step multiplies by; <grad, w>
};

// How many entries the vectors of all layers have.
template <class T>
int64_t state_size(const std::vector<Layer<T>>& layers);

// The step of each layer, whose vectors come to `state` at first, u and v of the first, of the second and so
// on. Where it returns true, all norms are finite and u and v are set; else they, and weights, are as they
// were.
template <class T>
bool normalize_layers(std::vector<Layer<T>>& layers, double coeff, int64_t n_iter, bool hard, T* state,
                      Job& job);

// The gradient of each layer for the weight from `grad`, that of the scaled weight, and <grad, w>; `extra` is
// added to divisors.
template <class T>
void normalize_gradients(std::vector<Layer<T>>& layers, double coeff, bool hard, double extra);

}  // namespace kxfast::lipschitz
