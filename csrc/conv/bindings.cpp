// kxfast._native.conv
#include <pybind11/stl.h>

#include <optional>

#include "conv/match.hpp"
#include "conv/plain.hpp"
#include "conv/usual.hpp"

namespace {

using namespace kxfast;
using conv::Bits;
using conv::HeldLayer;
using conv::Input;
using conv::input;
using conv::Maybe;
using conv::Numbers;
using conv::Packed;
using conv::pointer;
using conv::Sequences;

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
  m.def("forward", &conv::forward_held<T>, py::arg("x").noconvert(), py::arg("layer"),
        py::arg("mask").noconvert(), py::arg("drop"), py::arg("seed"), py::arg("first"),
        py::arg("out").noconvert(), py::arg("keep"),
        "One layer, into `out` if given; candidates and open shares too, or None. Bfloat16 by its bits.");
  m.def(
      "backward", &conv::backward_held<T>, py::arg("dy").noconvert(), py::arg("x").noconvert(),
      py::arg("layer"), py::arg("mask").noconvert(), py::arg("drop"), py::arg("seed"), py::arg("first"),
      py::arg("parts").noconvert(),
      "Gradients for x, weight, bias, shortcut and its bias, gamma, beta, alpha; None where there is none.");
}

template <class T>
Array<T> dilated(const Sequences<T>& x, const Array<T>& weight, const Maybe<T>& bias, const Maybe<bool>& mask,
                 int64_t dilation, bool causal, const std::string& ending, int64_t pool,
                 const Maybe<T>& out) {
  using conv::Ending;
  const int64_t step = conv::step_of(dilation), reach = (weight.shape(0) - 1) * step;
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
  m.def("forward_at_once", &conv::forward_at_once, py::arg("x"), py::arg("weight"), py::arg("bias"),
        py::arg("mask"), py::arg("dilation"), py::arg("skip"), py::arg("gate"), py::arg("padding"),
        py::arg("keep"),
        "One layer of usual arguments, with what `forward` keeps if `keep`; None for others.");
  m.def("backward_at_once", &conv::backward_at_once, py::arg("dy"), py::arg("x"), py::arg("weight"),
        py::arg("bias"), py::arg("mask"), py::arg("dilation"), py::arg("skip"), py::arg("gate"),
        py::arg("padding"), py::arg("parts"),
        "Gradients for x, weight and bias of a layer of usual arguments; None for others.");
}
