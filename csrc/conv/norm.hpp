// The normalisation over channels of variant D, row by row, around the gated kernels.
#pragma once

#include "conv/blocks.hpp"
#include "conv/layer.hpp"

namespace kxfast::conv {

// y = skip + alpha (normal(y) gamma + beta)
template <class T>
void normalize(const Layer<T>& layer, const Rows& rows, const T* const* skip, T* y);

// dz holds candidates and open shares of all panels and becomes the gradient of both; `scale` by row number
// or null.
template <class T>
void normalize_backward(const Layer<T>& layer, const Rows& rows, const Panels& panels, const T* scale,
                        const T* dy, T* dz, int64_t dz_stride, const Gradients<T>& gradients);

}  // namespace kxfast::conv
