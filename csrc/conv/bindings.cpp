// kxfast._native.conv
#include <pybind11/stl.h>

#include <optional>

#include "conv/match.hpp"
#include "conv/packed.hpp"
#include "conv/plain.hpp"
#include "core/python.hpp"

namespace {

using namespace kxfast;
using conv::Gradients;
using conv::Input;
using conv::Layer;
using conv::Packed;
using conv::Skip;

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

Skip skip_of(const std::string& name) {
  return name == "gated" ? Skip::gated : (name == "add" ? Skip::add : Skip::none);
}

// A step beyond every sequence, in place of one so large that sums of steps overflow.
int64_t step_of(int64_t dilation) {
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
py::tuple forward(const Sequences<Bits<T>>& x, const HeldLayer<T>& held, const Maybe<bool>& mask, double drop,
                  uint64_t seed, int64_t first, const Maybe<T>& out, bool keep) {
  const Layer<T> layer = held.dropping(drop, seed);
  const Input<T> in = input<T>(x, mask, first);
  Maybe<T> y = out ? *out : new_array<Bits<T>>({in.batch, in.length, layer.out});
  Maybe<Wide<T>> parts;
  if (keep) parts = new_array<Wide<T>>({in.batch, in.length, 2 * layer.out});
  {
    T* to = target<T>(y);
    Wide<T>* kept = target<Wide<T>>(parts);
    py::gil_scoped_release nogil;
    conv::forward(layer, in, to, kept);
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
py::tuple backward(const Numbers<T>& dy, const Sequences<Bits<T>>& x, const HeldLayer<T>& held,
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
    conv::backward(layer, in, pointer<T>(dy), gradients);
  }
  return py::make_tuple(dx, dweight, dbias, dshortcut, dshortcut_bias, dgamma, dbeta, dalpha);
}

template <class T>
std::shared_ptr<Packed<T>> pack(const HeldLayer<T>& held) {
  py::gil_scoped_release nogil;
  return std::make_shared<Packed<T>>(held.fields, conv::tiling<T>());
}

template <class T>
void bind(py::module_& m, const char* name, const char* packed) {
  using Held = HeldLayer<T>;
  py::class_<Packed<T>, std::shared_ptr<Packed<T>>>(m, packed, "A layer's weight in the order of kernels.");
  py::class_<Held>(m, name, "A layer with its arrays; `packed` is used in place of its weight.")
      .def(py::init<Numbers<T>, Maybe<Wide<T>>, int64_t, bool, const std::string&, bool, bool, Maybe<T>,
                    Maybe<T>, Maybe<T>, Maybe<T>, double, std::shared_ptr<Packed<T>>>(),
           py::arg("weight").noconvert(), py::arg("bias").noconvert(), py::arg("dilation"), py::arg("causal"),
           py::arg("skip"), py::arg("gate_first"), py::arg("mask_input"), py::arg("shortcut").noconvert(),
           py::arg("shortcut_bias").noconvert(), py::arg("gamma").noconvert(), py::arg("beta").noconvert(),
           py::arg("alpha"), py::arg("packed").none(true))
      .def("pack", &pack<T>, "Return the weight in the order of kernels: a copy.");
  m.def("forward", &forward<T>, py::arg("x").noconvert(), py::arg("layer"), py::arg("mask").noconvert(),
        py::arg("drop"), py::arg("seed"), py::arg("first"), py::arg("out").noconvert(), py::arg("keep"),
        "One layer, into `out` if given; candidates and open shares too, or None. Bfloat16 by its bits.");
  m.def(
      "backward", &backward<T>, py::arg("dy").noconvert(), py::arg("x").noconvert(), py::arg("layer"),
      py::arg("mask").noconvert(), py::arg("drop"), py::arg("seed"), py::arg("first"),
      py::arg("parts").noconvert(),
      "Gradients for x, weight, bias, shortcut and its bias, gamma, beta, alpha; None where there is none.");
}

template <class T>
Array<T> dilated(const Sequences<T>& x, const Array<T>& weight, const Maybe<T>& bias, const Maybe<bool>& mask,
                 int64_t dilation, bool causal, const std::string& ending, int64_t pool,
                 const Maybe<T>& out) {
  using conv::Ending;
  const int64_t step = step_of(dilation), reach = (weight.shape(0) - 1) * step;
  const conv::Plain<T> plain{
      weight.data(),
      pointer<T>(bias),
      weight.shape(0),
      weight.shape(1),
      weight.shape(2),
      step,
      causal ? reach : reach / 2,
      ending == "relu" ? Ending::relu : (ending == "relu_pair_sum" ? Ending::relu_pair_sum : Ending::none),
      pool};
  const Input<T> in = input<T>(x, mask);
  Array<T> y = out ? *out : new_array<T>({in.batch, in.length / pool, plain.out()});
  T* to = y.mutable_data();
  py::gil_scoped_release nogil;
  conv::dilated(plain, in, to);
  return y;
}

template <class T>
Array<T> pooled(const Sequences<T>& x, const Maybe<bool>& mask, bool largest) {
  Array<T> made = new_array<T>({x.shape(0), x.shape(2)});
  const Input<T> in = input<T>(x, mask);
  T* to = made.mutable_data();
  const int64_t channels = x.shape(2);
  py::gil_scoped_release nogil;
  conv::pooled(largest ? conv::Pool::largest : conv::Pool::mean, in, channels, to);
  return made;
}

template <class T>
Array<T> attention_pooled(const Sequences<T>& x, const Array<T>& hidden, const Array<T>& output,
                          const Maybe<bool>& mask, bool swish, const Maybe<T>& bias) {
  Array<T> made = new_array<T>({x.shape(0), x.shape(2)});
  const conv::Attention<T> attention{hidden.data(),   pointer<T>(bias), output.data(),
                                     hidden.shape(0), hidden.shape(1),  swish};
  const Input<T> in = input<T>(x, mask);
  T* to = made.mutable_data();
  py::gil_scoped_release nogil;
  conv::attention_pooled(attention, in, to);
  return made;
}

template <class T>
void bind_plain(py::module_& m, const std::string& type) {
  m.def(("dilated_" + type).c_str(), &dilated<T>, py::arg("x").noconvert(), py::arg("weight").noconvert(),
        py::arg("bias").noconvert(), py::arg("mask").noconvert(), py::arg("dilation"), py::arg("causal"),
        py::arg("ending"), py::arg("pool"), py::arg("out").noconvert(),
        "One convolution without a gate, into `out` if given.");
  m.def(("pooled_" + type).c_str(), &pooled<T>, py::arg("x").noconvert(), py::arg("mask").noconvert(),
        py::arg("largest"), "The largest or the mean of each channel over real positions.");
  m.def(("attention_pooled_" + type).c_str(), &attention_pooled<T>, py::arg("x").noconvert(),
        py::arg("hidden").noconvert(), py::arg("output").noconvert(), py::arg("mask").noconvert(),
        py::arg("swish"), py::arg("bias").noconvert(),
        "Mean over real positions with the weights of attention pooling.");
}

Array<double> match(const Array<int64_t>& question, const Array<int64_t>& passage, int64_t tokens) {
  const int64_t length = passage.size();
  Array<double> made = new_array<double>({length, 3});
  double* out = made.mutable_data();
  PythonJob job(length, py::none());
  job.run([&] {
    conv::match_features(question.data(), question.size(), passage.data(), length, tokens, out, job);
  });
  return made;
}

}  // namespace

KXFAST_BINDINGS(conv) {
  m.def("match_features", &match, py::arg("question").noconvert(), py::arg("passage").noconvert(),
        py::arg("tokens"), "(L, 3): token match, Jaccard similarity and relative edit distance of windows.");
  bind_plain<float>(m, "float32");
  bind_plain<double>(m, "float64");
  bind<float>(m, "LayerFloat32", "PackedFloat32");
  bind<double>(m, "LayerFloat64", "PackedFloat64");
  bind<Bfloat16>(m, "LayerBfloat16", "PackedBfloat16");
}
