// kxfast._native.conv
#include <pybind11/stl.h>

#include <optional>

#include "conv/common.hpp"
#include "conv/match.hpp"
#include "core/python.hpp"

namespace {

using namespace kxfast;
using conv::Gradients;
using conv::Input;
using conv::Layer;
using conv::Packed;
using conv::Skip;

template <class T>
using Maybe = std::optional<Array<T>>;

template <class T>
const T* pointer(const Maybe<T>& array) {
  return array ? array->data() : nullptr;
}

Skip skip_of(const std::string& name) {
  return name == "gated" ? Skip::gated : (name == "add" ? Skip::add : Skip::none);
}

// A layer and the arrays that keep its pointers alive.
template <class T>
struct HeldLayer {
  Array<T> weight;
  Maybe<T> bias, shortcut, shortcut_bias, gamma, beta;
  std::shared_ptr<Packed<T>> packed;
  Layer<T> fields;

  HeldLayer(Array<T> weight_, Maybe<T> bias_, int64_t dilation, bool causal, const std::string& skip,
            bool gate_first, bool mask_input, Maybe<T> shortcut_, Maybe<T> shortcut_bias_, Maybe<T> gamma_,
            Maybe<T> beta_, double alpha, std::shared_ptr<Packed<T>> packed_)
      : weight(std::move(weight_)),
        bias(std::move(bias_)),
        shortcut(std::move(shortcut_)),
        shortcut_bias(std::move(shortcut_bias_)),
        gamma(std::move(gamma_)),
        beta(std::move(beta_)),
        packed(std::move(packed_)) {
    const int64_t reach = (weight.shape(0) - 1) * dilation;
    fields = {weight.data(),
              pointer(bias),
              weight.shape(0),
              weight.shape(1),
              weight.shape(2) / 2,
              dilation,
              causal ? reach : reach / 2,
              skip_of(skip),
              gate_first,
              mask_input,
              pointer(shortcut),
              pointer(shortcut_bias),
              pointer(gamma),
              pointer(beta),
              static_cast<T>(alpha),
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

template <class T>
Input<T> input(const Array<T>& x, const Maybe<bool>& mask) {
  return {x.data(), pointer(mask), x.shape(0), x.shape(1)};
}

template <class T>
T* target(Maybe<T>& array) {
  return array ? array->mutable_data() : nullptr;
}

template <class T>
py::tuple forward(const Array<T>& x, const HeldLayer<T>& held, const Maybe<bool>& mask, double drop,
                  uint64_t seed, const Maybe<T>& out, bool keep) {
  const Layer<T> layer = held.dropping(drop, seed);
  const Input<T> in = input(x, mask);
  Array<T> y = out ? *out : new_array<T>({in.batch, in.length, layer.out});
  Maybe<T> parts;
  if (keep) parts = new_array<T>({in.batch, in.length, 2 * layer.out});
  {
    T *to = y.mutable_data(), *kept = target(parts);
    py::gil_scoped_release nogil;
    conv::forward(layer, in, to, kept);
  }
  return py::make_tuple(y, parts);
}

#ifdef KXFAST_X86
// Arrays of bfloat16 come as their bits.
py::tuple forward_bfloat16(const Array<uint16_t>& x, const Array<uint16_t>& weight, const Maybe<float>& bias,
                           int64_t dilation, bool causal, const std::string& skip, bool gate_first,
                           bool mask_input, const Maybe<bool>& mask, double drop, uint64_t seed, bool keep) {
  const auto bits = [](const Array<uint16_t>& array) {
    return reinterpret_cast<const Bfloat16*>(array.data());
  };
  const int64_t reach = (weight.shape(0) - 1) * dilation, out = weight.shape(2) / 2;
  Layer<Bfloat16> layer{};
  layer.weight = bits(weight), layer.bias = pointer(bias);
  layer.taps = weight.shape(0), layer.in = weight.shape(1), layer.out = out;
  layer.dilation = dilation, layer.left = causal ? reach : reach / 2;
  layer.skip = skip_of(skip), layer.gate_first = gate_first, layer.mask_input = mask_input;
  layer.drop = drop, layer.seed = seed;
  const Input<Bfloat16> in{bits(x), pointer(mask), x.shape(0), x.shape(1)};
  Array<uint16_t> y = new_array<uint16_t>({in.batch, in.length, out});
  Maybe<float> parts;
  if (keep) parts = new_array<float>({in.batch, in.length, 2 * out});
  {
    auto* to = reinterpret_cast<Bfloat16*>(y.mutable_data());
    float* kept = target(parts);
    py::gil_scoped_release nogil;
    conv::forward(layer, in, to, kept);
  }
  return py::make_tuple(y, parts);
}
#endif

template <class T>
Maybe<T> alike(const Maybe<T>& array) {
  if (!array) return std::nullopt;
  return new_array<T>(std::vector<py::ssize_t>(array->shape(), array->shape() + array->ndim()));
}

template <class T>
py::tuple backward(const Array<T>& dy, const Array<T>& x, const HeldLayer<T>& held, const Maybe<bool>& mask,
                   double drop, uint64_t seed, const Maybe<T>& parts) {
  const Layer<T> layer = held.dropping(drop, seed);
  Maybe<T> dx = alike<T>(x), dweight = alike<T>(held.weight), dbias = alike(held.bias);
  Maybe<T> dshortcut = alike(held.shortcut), dshortcut_bias = alike(held.shortcut_bias);
  Maybe<T> dgamma = alike(held.gamma), dbeta = alike(held.beta);
  T dalpha = 0;
  const Gradients<T> gradients{
      target(dx),     target(dweight), target(dbias), target(dshortcut), target(dshortcut_bias),
      target(dgamma), target(dbeta),   &dalpha};
  Input<T> in = input(x, mask);
  in.parts = pointer(parts);
  {
    py::gil_scoped_release nogil;
    conv::backward(layer, in, dy.data(), gradients);
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
      .def(py::init<Array<T>, Maybe<T>, int64_t, bool, const std::string&, bool, bool, Maybe<T>, Maybe<T>,
                    Maybe<T>, Maybe<T>, double, std::shared_ptr<Packed<T>>>(),
           py::arg("weight").noconvert(), py::arg("bias").noconvert(), py::arg("dilation"), py::arg("causal"),
           py::arg("skip"), py::arg("gate_first"), py::arg("mask_input"), py::arg("shortcut").noconvert(),
           py::arg("shortcut_bias").noconvert(), py::arg("gamma").noconvert(), py::arg("beta").noconvert(),
           py::arg("alpha"), py::arg("packed").none(true) = nullptr)
      .def("pack", &pack<T>, "Return the weight in the order of kernels: a copy.");
  m.def("forward", &forward<T>, py::arg("x").noconvert(), py::arg("layer"), py::arg("mask").noconvert(),
        py::arg("drop"), py::arg("seed"), py::arg("out").noconvert(), py::arg("keep"),
        "One dilated gated convolution, into `out` if given; candidates and open shares too, or None.");
  m.def(
      "backward", &backward<T>, py::arg("dy").noconvert(), py::arg("x").noconvert(), py::arg("layer"),
      py::arg("mask").noconvert(), py::arg("drop"), py::arg("seed"), py::arg("parts").noconvert(),
      "Gradients for x, weight, bias, shortcut and its bias, gamma, beta, alpha; None where there is none.");
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
#ifdef KXFAST_X86
  m.def(
      "forward_bfloat16", &forward_bfloat16, py::arg("x").noconvert(), py::arg("weight").noconvert(),
      py::arg("bias").noconvert(), py::arg("dilation"), py::arg("causal"), py::arg("skip"),
      py::arg("gate_first"), py::arg("mask_input"), py::arg("mask").noconvert(), py::arg("drop"),
      py::arg("seed"), py::arg("keep"),
      "The same on the bits of bfloat16 where core.bf16_products() and channels in are even; bias and parts "
      "in float32.");
#endif
  bind<float>(m, "LayerFloat32", "PackedFloat32");
  bind<double>(m, "LayerFloat64", "PackedFloat64");
}
