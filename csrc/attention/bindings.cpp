// kxfast._native.attention
#include <pybind11/stl.h>

#include <optional>

#include "attention/problem.hpp"
#include "core/python.hpp"

namespace {

using namespace kxfast;
using namespace kxfast::attention;

template <class T>
Broadcast<T> broadcast(const std::optional<Array<T>>& array) {
  Broadcast<T> made;
  if (!array) return made;
  made.data = array->data();
  for (int axis = 0; axis < 4; ++axis) made.size[axis] = array->shape(axis);
  return made;
}

// Which keys queries may attend to, as Python hands it over: booleans (B, H, Lq, Lk), or starts and stops of
// two intervals (B, 1, Lq, 4), whose queries and keys may be taken in an order (B, L); 1 in place of B, H,
// Lq: all.
struct Allowed {
  std::optional<Array<bool>> mask;
  std::optional<Array<int32_t>> intervals;
  std::optional<Array<int64_t>> order;

  Pattern pattern(int64_t k_len) const {
    if (!intervals) return Pattern(broadcast(mask), k_len);
    Broadcast<Interval> made;
    made.data = reinterpret_cast<const Interval*>(intervals->data());
    for (int axis = 0; axis < 3; ++axis) made.size[axis] = intervals->shape(axis);
    made.size[3] = 2;
    return Pattern(made);
  }
  Order places() const {
    if (!order) return {};
    return {order->data(), order->shape(0) == 1 ? 0 : order->shape(1)};
  }
};

template <class T>
Sizes sizes(const Array<T>& q, const Array<T>& k, const Array<T>& v) {
  return {q.shape(0), q.shape(1), k.shape(1), q.shape(2), k.shape(2), q.shape(3), v.shape(3)};
}

template <class T>
py::tuple attend(const Array<T>& q, const Array<T>& k, const Array<T>& v, const Allowed& allowed,
                 const std::optional<Array<T>>& bias, T scale, std::optional<Array<T>> out) {
  const Sizes n = sizes(q, k, v);
  if (!out) out = new_array<T>({n.batch, n.heads, n.q_len, n.dv});
  Array<T> lse({n.batch, n.heads, n.q_len});
  T *out_data = out->mutable_data(), *lse_data = lse.mutable_data();
  {
    py::gil_scoped_release nogil;
    const Pattern pattern = allowed.pattern(n.k_len);
    forward<T>({n, q.data(), k.data(), v.data(), &pattern, broadcast(bias), scale, allowed.places()},
               out_data, lse_data);
  }
  return py::make_tuple(*out, lse);
}

template <class T>
py::tuple gradients(const Array<T>& grad, const Array<T>& q, const Array<T>& k, const Array<T>& v,
                    const Array<T>& out, const Array<T>& lse, const Allowed& allowed,
                    const std::optional<Array<T>>& bias, T scale, bool need_dbias) {
  const Sizes n = sizes(q, k, v);
  Array<T> dq = new_array<T>({n.batch, n.heads, n.q_len, n.d}),
           dk = new_array<T>({n.batch, n.key_heads, n.k_len, n.d}),
           dv = new_array<T>({n.batch, n.key_heads, n.k_len, n.dv});
  std::optional<Array<T>> dbias;
  if (need_dbias)
    dbias = py::module_::import("numpy")
                .attr("zeros")(py::make_tuple(n.batch, n.heads, n.q_len, n.k_len), py::dtype::of<T>())
                .template cast<Array<T>>();
  const Gradients<T> made{dq.mutable_data(), dk.mutable_data(), dv.mutable_data(),
                          dbias ? dbias->mutable_data() : nullptr};
  {
    py::gil_scoped_release nogil;
    const Pattern pattern = allowed.pattern(n.k_len);
    backward<T>({n, q.data(), k.data(), v.data(), &pattern, broadcast(bias), scale, allowed.places()},
                {grad.data(), out.data(), lse.data()}, made);
  }
  return py::make_tuple(dq, dk, dv, dbias);
}

template <class T>
void bind(py::module_& m) {
  m.def("scaled_dot_product_attention", &attend<T>, py::arg("q").noconvert(), py::arg("k").noconvert(),
        py::arg("v").noconvert(), py::arg("allowed"), py::arg("bias").noconvert(), py::arg("scale"),
        py::arg("out").noconvert(), "softmax((q k' + bias) scale) v over allowed keys; returns (out, lse).");
  m.def("scaled_dot_product_attention_backward", &gradients<T>, py::arg("grad").noconvert(),
        py::arg("q").noconvert(), py::arg("k").noconvert(), py::arg("v").noconvert(),
        py::arg("out").noconvert(), py::arg("lse").noconvert(), py::arg("allowed"),
        py::arg("bias").noconvert(), py::arg("scale"), py::arg("need_dbias"),
        "Gradients (dq, dk, dv, dbias); dbias for each pair, or None.");
}

}  // namespace

KXFAST_BINDINGS(attention) {
  py::class_<Allowed>(m, "Allowed", "Which keys queries may attend to; nothing: all.")
      .def(py::init<std::optional<Array<bool>>, std::optional<Array<int32_t>>,
                    std::optional<Array<int64_t>>>(),
           py::arg("mask").noconvert(), py::arg("intervals").noconvert(), py::arg("order").noconvert());
  bind<float>(m);
  bind<double>(m);
}
