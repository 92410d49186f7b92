// Second derivatives of maps made of layers: the gradients of <p, g(x)> + q'J(x) t that training a residual
// block asks for, and the vector q of its log-determinant.
//
// Values and tangents run forward through the layers together, and what they meet on the way back are their
// adjoints: the tangent's feeds the value's through the second derivative of the activations. What a layer's
// weight saw is handed out as arrays, channels last, so that its gradient is one product of tall matrices,
// which NumPy's BLAS does. Convolutions are nearly all of the time. Slopes are not kept as `Network::Point`
// keeps them: the value before an activation gives both derivatives.
#include <algorithm>
#include <cmath>

#include "core/threads.hpp"
#include "lipschitz/kernels.hpp"
#include "lipschitz/network.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr int64_t kPiece = 1 << 12;

template <class T>
Buffer<T> copied(const T* from, int64_t size) {
  Buffer<T> to(static_cast<size_t>(size));
  std::copy(from, from + size, to.begin());
  return to;
}

// f''(z), given y = f(z) and slope = f'(z).
template <class T>
T curvature(Curve curve, T z, T y, T slope) {
  switch (curve) {
    case Curve::tanh:
      return -2 * y * slope;
    case Curve::elu:
      return z > 0 ? T{0} : slope;
    case Curve::softplus:
      return slope * (1 - slope);
    case Curve::sigmoid:
      return slope * (1 - 2 * y);
    case Curve::lipswish: {
      const T s = 1 / (1 + std::exp(-z));
      return s * (1 - s) * (2 + z * (1 - 2 * s)) / static_cast<T>(1.1);
    }
    case Curve::relu:
    case Curve::leaky_relu:
      break;
  }
  return 0;
}

template <class T, class Body>
void in_pieces(int64_t size, Body&& body) {
  const auto task = [&](int64_t i) { body(i * kPiece, std::min(size, (i + 1) * kPiece)); };
  parallel_for((size + kPiece - 1) / kPiece, task, size < (1 << 15) ? 1 : 0);
}

// y = f(z) and slope = f'(z); of sorting the slope says where a pair was exchanged.
template <class T>
void activation(int curve, const Buffer<T>& z, Buffer<T>& y, Buffer<T>& slope) {
  const auto kernel = KXFAST_PICK(void (*)(Curve, const T*, int64_t, T*, T*), activate);
  y = Buffer<T>(z.size()), slope = Buffer<T>(z.size());
  in_pieces<T>(static_cast<int64_t>(z.size()), [&](int64_t begin, int64_t end) {
    const T* from = z.data();
    T *to = y.data(), *d = slope.data();
    if (curve != kSorting)
      return kernel(static_cast<Curve>(curve), from + begin, end - begin, to + begin, d + begin);
    for (int64_t i = begin; i < end; i += 2) {
      const bool swap = from[i] < from[i + 1];
      to[i] = from[i + swap], to[i + 1] = from[i + 1 - swap];
      d[i] = d[i + 1] = static_cast<T>(swap);
    }
  });
}

template <class T>
void times_slope(int curve, const Buffer<T>& slope, Buffer<T>& x) {
  in_pieces<T>(static_cast<int64_t>(x.size()), [&](int64_t begin, int64_t end) {
    const T* d = slope.data();
    T* to = x.data();
    if (curve != kSorting) {
      for (int64_t i = begin; i < end; ++i) to[i] *= d[i];
      return;
    }
    for (int64_t i = begin; i < end; i += 2)
      if (d[i] != T{0}) std::swap(to[i], to[i + 1]);
  });
}

}  // namespace

template <class T>
Buffer<T> Network<T>::neumann(const Point& point, const T* probe, int64_t batch, int64_t terms,
                              Job& job) const {
  Buffer<T> sum = copied(probe, inputs() * batch), w = copied(probe, inputs() * batch);
  for (int64_t k = 1; k <= terms && job.advance(0); ++k) {
    w = pull(point, w.data(), batch);
    T* to = sum.data();
    const T *from = w.data(), sign = k % 2 ? T{-1} : T{1};
    for (int64_t i = 0; i < inputs() * batch; ++i) to[i] += sign * from[i];
  }
  return sum;
}

template <class T>
typename Network<T>::Traces Network<T>::trace(const T* x, const T* tangent, const T* to_value,
                                              const T* to_tangent, int64_t batch, Job& job) const {
  const size_t count = layers_.size();
  std::vector<Buffer<T>> values(count + 1), tangents(count + 1), slopes(count);
  values[0] = copied(x, inputs() * batch), tangents[0] = copied(tangent, inputs() * batch);
  for (size_t i = 0; i < count && job.advance(0); ++i) {
    const Layer& layer = layers_[i];
    if (layer.convolution) {
      const auto size = static_cast<size_t>(layer.outputs * batch);
      values[i + 1] = Buffer<T>(size), tangents[i + 1] = Buffer<T>(size);
      const T* bias = layer.bias.size() ? layer.bias.data() : nullptr;
      layer.convolution->forward(values[i].data(), bias, values[i + 1].data(), batch);
      layer.convolution->forward(tangents[i].data(), nullptr, tangents[i + 1].data(), batch);
    } else {
      activation(layer.curve, values[i], values[i + 1], slopes[i]);
      tangents[i + 1] = copied(tangents[i].data(), static_cast<int64_t>(tangents[i].size()));
      times_slope(layer.curve, slopes[i], tangents[i + 1]);
    }
  }
  Traces made;
  Buffer<T> h = copied(to_value, outputs() * batch), t = copied(to_tangent, outputs() * batch);
  for (size_t i = count; i-- > 0 && job.advance(0);) {
    const Layer& layer = layers_[i];
    if (layer.convolution) {
      Buffer<T> below(static_cast<size_t>(layer.inputs * batch)), under(below.size());
      layer.convolution->transposed(h.data(), below.data(), batch);
      layer.convolution->transposed(t.data(), under.data(), batch);
      made.layers.push_back({{}, {}, std::move(h), std::move(t)});
      h = std::move(below), t = std::move(under);
      continue;
    }
    times_slope(layer.curve, slopes[i], h);
    if (layer.curve != kSorting)
      in_pieces<T>(static_cast<int64_t>(h.size()), [&](int64_t begin, int64_t end) {
        const T *z = values[i].data(), *y = values[i + 1].data(), *d = slopes[i].data();
        const T *push = tangents[i].data(), *back = t.data();
        T* to = h.data();
        for (int64_t k = begin; k < end; ++k)
          to[k] += curvature(static_cast<Curve>(layer.curve), z[k], y[k], d[k]) * push[k] * back[k];
      });
    times_slope(layer.curve, slopes[i], t);
  }
  made.to_input = std::move(h);
  std::reverse(made.layers.begin(), made.layers.end());
  for (size_t i = 0, k = 0; i < count && k < made.layers.size(); ++i)  // activations above have read them
    if (layers_[i].convolution)
      made.layers[k].value = std::move(values[i]), made.layers[k++].tangent = std::move(tangents[i]);
  return made;
}

#define KXFAST_INSTANTIATE(T)                                                                             \
  template Buffer<T> Network<T>::neumann(const Point&, const T*, int64_t, int64_t, Job&) const;           \
  template typename Network<T>::Traces Network<T>::trace(const T*, const T*, const T*, const T*, int64_t, \
                                                         Job&) const;
KXFAST_INSTANTIATE(float)
KXFAST_INSTANTIATE(double)
#undef KXFAST_INSTANTIATE

}  // namespace kxfast::lipschitz
