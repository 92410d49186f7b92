// A layer with its Python arrays, and calls with it.
#pragma once

#include <optional>

#include "conv/packed.hpp"
#include "core/python.hpp"

namespace kxfast::conv {

// Arrays of bfloat16 come as their bits.
template <class T>
using Bits = std::conditional_t<std::is_same_v<T, Bfloat16>, uint16_t, T>;
template <class T>
using Numbers = Array<Bits<T>>;
template <class T>
using Maybe = std::optional<Numbers<T>>;

template <class T>
const T* pointer(const Numbers<T>& array) {
  return reinterpret_cast<const T*>(array.data());
}
template <class T>
const T* pointer(const Maybe<T>& array) {
  return array ? pointer<T>(*array) : nullptr;
}
template <class T>
T* target(Maybe<T>& array) {
  return array ? reinterpret_cast<T*>(array->mutable_data()) : nullptr;
}

inline Skip skip_of(const std::string& name) {
  return name == "gated" ? Skip::gated : (name == "add" ? Skip::add : Skip::none);
}

// A step beyond every sequence, in place of one so large that sums of steps overflow.
inline int64_t step_of(int64_t dilation) {
  return std::min(dilation, int64_t{1} << 40);
}

// A layer and the arrays that keep its pointers alive.
template <class T>
struct HeldLayer {
  Numbers<T> weight;
  Maybe<Wide<T>> bias;
  Maybe<T> shortcut, shortcut_bias, gamma, beta;
  std::shared_ptr<Packed<T>> packed;
  Layer<T> fields;

  HeldLayer(Numbers<T> weight_, Maybe<Wide<T>> bias_, int64_t dilation, bool causal, const std::string& skip,
            bool gate_first, bool mask_input, Maybe<T> shortcut_, Maybe<T> shortcut_bias_, Maybe<T> gamma_,
            Maybe<T> beta_, double alpha, std::shared_ptr<Packed<T>> packed_)
      : weight(std::move(weight_)),
        bias(std::move(bias_)),
        shortcut(std::move(shortcut_)),
        shortcut_bias(std::move(shortcut_bias_)),
        gamma(std::move(gamma_)),
        beta(std::move(beta_)),
        packed(std::move(packed_)) {
    const int64_t step = step_of(dilation), reach = (weight.shape(0) - 1) * step;
    fields = {pointer<T>(weight),
              pointer<Wide<T>>(bias),
              weight.shape(0),
              weight.shape(1),
              weight.shape(2) / 2,
              step,
              causal ? reach : reach / 2,
              skip_of(skip),
              gate_first,
              mask_input,
              pointer<T>(shortcut),
              pointer<T>(shortcut_bias),
              pointer<T>(gamma),
              pointer<T>(beta),
              static_cast<Wide<T>>(alpha),
              0,
              0,
              packed.get()};
  }
  Layer<T> dropping(double rate, uint64_t seed) const {
    Layer<T> layer = fields;
    layer.drop = rate, layer.seed = seed;
    return layer;
  }
};

// Sequences (B, L, D) in any layout whose last axis is in one piece: Python has seen to it.
template <class T>
using Sequences = py::array_t<T>;

template <class T>
Input<T> input(const Sequences<Bits<T>>& x, const Maybe<bool>& mask, int64_t first = 0) {
  const auto step = [&](int axis) { return x.strides(axis) / static_cast<int64_t>(sizeof(T)); };
  return {reinterpret_cast<const T*>(x.data()),
          pointer<bool>(mask),
          x.shape(0),
          x.shape(1),
          step(1),
          step(0),
          first};
}

template <class T>
py::tuple forward_held(const Sequences<Bits<T>>& x, const HeldLayer<T>& held, const Maybe<bool>& mask,
                       double drop, uint64_t seed, int64_t first, const Maybe<T>& out, bool keep) {
  const Layer<T> layer = held.dropping(drop, seed);
  const Input<T> in = input<T>(x, mask, first);
  Maybe<T> y = out ? *out : new_array<Bits<T>>({in.batch, in.length, layer.out});
  Maybe<Wide<T>> parts;
  if (keep) parts = new_array<Wide<T>>({in.batch, in.length, 2 * layer.out});
  {
    T* to = target<T>(y);
    Wide<T>* kept = target<Wide<T>>(parts);
    py::gil_scoped_release nogil;
    forward(layer, in, to, kept);
  }
  return py::make_tuple(y, parts);
}

// An array to be filled, as large as one there may be.
template <class To, class From>
std::optional<Array<To>> alike(const std::optional<Array<From>>& array) {
  if (!array) return std::nullopt;
  return new_array<To>(std::vector<py::ssize_t>(array->shape(), array->shape() + array->ndim()));
}

template <class T>
py::tuple backward_held(const Numbers<T>& dy, const Sequences<Bits<T>>& x, const HeldLayer<T>& held,
                        const Maybe<bool>& mask, double drop, uint64_t seed, int64_t first,
                        const Maybe<Wide<T>>& parts) {
  using W = Wide<T>;
  const Layer<T> layer = held.dropping(drop, seed);
  Maybe<T> dx = new_array<Bits<T>>({x.shape(0), x.shape(1), x.shape(2)});
  Maybe<W> dweight = alike<W>(Maybe<T>(held.weight)), dbias = alike<W>(held.bias);
  Maybe<W> dshortcut = alike<W>(held.shortcut), dshortcut_bias = alike<W>(held.shortcut_bias);
  Maybe<W> dgamma = alike<W>(held.gamma), dbeta = alike<W>(held.beta);
  W dalpha = 0;
  const Gradients<T> gradients{target<T>(dx),
                               target<W>(dweight),
                               target<W>(dbias),
                               target<W>(dshortcut),
                               target<W>(dshortcut_bias),
                               target<W>(dgamma),
                               target<W>(dbeta),
                               &dalpha};
  Input<T> in = input<T>(x, mask, first);
  in.parts = pointer<W>(parts);
  {
    py::gil_scoped_release nogil;
    backward(layer, in, pointer<T>(dy), gradients);
  }
  return py::make_tuple(dx, dweight, dbias, dshortcut, dshortcut_bias, dgamma, dbeta, dalpha);
}

}  // namespace kxfast::conv
