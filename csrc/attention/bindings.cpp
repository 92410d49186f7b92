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

// What NumPy has for a type: the bits of bfloat16.
template <class T>
struct ElementOf {
  using Type = T;
};
template <>
struct ElementOf<Bfloat16> {
  using Type = uint16_t;
};
template <class T>
using Element = typename ElementOf<T>::Type;

// Heads (B, H, L, D) in any layout whose last axis is in one piece: Python has seen to it.
template <class T>
using Heads4 = py::array_t<T>;

template <class T>
Place<const T> place(const Heads4<Element<T>>& x) {
  const auto step = [&](int axis) { return x.strides(axis) / static_cast<int64_t>(sizeof(T)); };
  return {reinterpret_cast<const T*>(x.data()), step(0), step(1), step(2)};
}
template <class T>
Place<T> place(Heads4<Element<T>>& x) {
  const Place<const T> found = place<T>(static_cast<const Heads4<Element<T>>&>(x));
  return {reinterpret_cast<T*>(x.mutable_data()), found.batch, found.head, found.row};
}

// A new array (batch, heads, rows, columns), laid out as `like`: heads inside of rows, or rows inside of
// heads.
template <class E>
Heads4<E> laid_out(const Heads4<E>& like, std::vector<py::ssize_t> shape) {
  if (like.strides(1) >= like.strides(2)) return new_array<E>(std::move(shape));
  const Array<E> rows = new_array<E>({shape[0], shape[2], shape[1], shape[3]});
  return rows.attr("transpose")(0, 2, 1, 3).template cast<Heads4<E>>();
}

template <class E>
Sizes sizes(const Heads4<E>& q, const Heads4<E>& k, const Heads4<E>& v) {
  return {q.shape(0), q.shape(1), k.shape(1), q.shape(2), k.shape(2), q.shape(3), v.shape(3)};
}

template <class T, class E = Element<T>>
py::object attend(const Heads4<E>& q, const Heads4<E>& k, const Heads4<E>& v, const Allowed& allowed,
                  const std::optional<Array<Wide<T>>>& bias, Wide<T> scale, std::optional<Heads4<E>> out) {
  const Sizes n = sizes(q, k, v);
  if (!out) out = laid_out(q, {n.batch, n.heads, n.q_len, n.dv});
  Array<Wide<T>> lse({n.batch, n.heads, n.q_len});
  const Place<T> to = place<T>(*out);
  Wide<T>* lse_data = lse.mutable_data();
  bool good;
  {
    py::gil_scoped_release nogil;
    const Pattern pattern = allowed.pattern(n.k_len);
    good = forward<T>(
        {n, place<T>(q), place<T>(k), place<T>(v), &pattern, broadcast(bias), scale, allowed.places()}, to,
        lse_data);
  }
  if (!good) return py::none();
  return py::make_tuple(*out, lse);
}

template <class T, class E = Element<T>>
py::object gradients(const Heads4<E>& grad, const Heads4<E>& q, const Heads4<E>& k, const Heads4<E>& v,
                     const Heads4<E>& out, const Array<Wide<T>>& lse, const Allowed& allowed,
                     const std::optional<Array<Wide<T>>>& bias, Wide<T> scale, bool need_dbias) {
  const Sizes n = sizes(q, k, v);
  Heads4<E> dq = laid_out(q, {n.batch, n.heads, n.q_len, n.d}),
            dk = laid_out(k, {n.batch, n.key_heads, n.k_len, n.d}),
            dv = laid_out(v, {n.batch, n.key_heads, n.k_len, n.dv});
  std::optional<Array<Wide<T>>> dbias;
  if (need_dbias)
    dbias = py::module_::import("numpy")
                .attr("zeros")(py::make_tuple(n.batch, n.heads, n.q_len, n.k_len), py::dtype::of<Wide<T>>())
                .template cast<Array<Wide<T>>>();
  const Gradients<T> made{place<T>(dq), place<T>(dk), place<T>(dv), dbias ? dbias->mutable_data() : nullptr};
  bool good;
  {
    py::gil_scoped_release nogil;
    const Pattern pattern = allowed.pattern(n.k_len);
    good = backward<T>(
        {n, place<T>(q), place<T>(k), place<T>(v), &pattern, broadcast(bias), scale, allowed.places()},
        {place<T>(grad), place<T>(out), lse.data()}, made);
  }
  if (!good) return py::none();
  return py::make_tuple(dq, dk, dv, dbias);
}

template <class T>
void bind(py::module_& m) {
  m.def("scaled_dot_product_attention", &attend<T>, py::arg("q").noconvert(), py::arg("k").noconvert(),
        py::arg("v").noconvert(), py::arg("allowed"), py::arg("bias").noconvert(), py::arg("scale"),
        py::arg("out").noconvert(),
        "softmax((q k' + bias) scale) v over allowed keys; returns (out, lse).\n"
        "Bits of bfloat16, with a bias in float, need core.half_products(); None for them: use float.");
  m.def("scaled_dot_product_attention_backward", &gradients<T>, py::arg("grad").noconvert(),
        py::arg("q").noconvert(), py::arg("k").noconvert(), py::arg("v").noconvert(),
        py::arg("out").noconvert(), py::arg("lse").noconvert(), py::arg("allowed"),
        py::arg("bias").noconvert(), py::arg("scale"), py::arg("need_dbias"),
        "Gradients (dq, dk, dv, dbias); dbias for each pair, or None.\n"
        "Bits of bfloat16 need core.half_products(); None for them: use float.");
}

}  // namespace

KXFAST_BINDINGS(attention) {
  py::class_<Allowed>(m, "Allowed", "Which keys queries may attend to; nothing: all.")
      .def(py::init<std::optional<Array<bool>>, std::optional<Array<int32_t>>,
                    std::optional<Array<int64_t>>>(),
           py::arg("mask").noconvert(), py::arg("intervals").noconvert(), py::arg("order").noconvert());
  bind<float>(m);
  bind<double>(m);
  bind<Bfloat16>(m);
}
