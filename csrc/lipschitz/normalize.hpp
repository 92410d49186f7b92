// The training step of spectral normalisation.
#pragma once

#include "core/job.hpp"

namespace kxfast::lipschitz {

// `n_iter` times u = W v / |W v|, v = W'u / |W'u|, in place; returns |W'u|, or u'W v without iterations.
template <class T>
double normalize_step(const T* w, int64_t rows, int64_t cols, T* u, T* v, int64_t n_iter, Job& job);

// out = factor * w
template <class T>
void scale(const T* w, int64_t size, T factor, T* out);

// out = g / divisor - slope <g, w> / divisor^2 u v', for w / divisor; returns <g, w>, or 0 without a slope,
// where w, u and v are not read.
template <class T>
double normalize_gradient(const T* g, const T* w, int64_t rows, int64_t cols, const T* u, const T* v,
                          double divisor, double slope, T* out);

}  // namespace kxfast::lipschitz
