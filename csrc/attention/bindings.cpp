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

template <class T>
Sizes sizes(const Array<T>& q, const Array<T>& k, const Array<T>& v) {
  return {q.shape(0), q.shape(1), k.shape(1), q.shape(2), k.shape(2), q.shape(3), v.shape(3)};
}

// The mask is an array of booleans, an array of intervals (…, 4) or None.
struct Masks {
  explicit Masks(const py::object& mask) {
    if (mask.is_none()) return;
    if (py::isinstance<Array<bool>>(mask))
      booleans = mask.cast<Array<bool>>();
    else
      intervals = mask.cast<Array<int32_t>>();
  }
  Pattern pattern(int64_t k_len) const { return Pattern(broadcast(booleans), broadcast(intervals), k_len); }
  std::optional<Array<bool>> booleans;
  std::optional<Array<int32_t>> intervals;
};

template <class T>
py::tuple attend(const Array<T>& q, const Array<T>& k, const Array<T>& v, const py::object& mask,
                 const std::optional<Array<T>>& bias, T scale, std::optional<Array<T>> out) {
  const Sizes n = sizes(q, k, v);
  if (!out) out = Array<T>({n.batch, n.heads, n.q_len, n.dv});
  Array<T> lse({n.batch, n.heads, n.q_len});
  const Masks masks(mask);
  T *out_data = out->mutable_data(), *lse_data = lse.mutable_data();
  {
    py::gil_scoped_release nogil;
    const Pattern pattern = masks.pattern(n.k_len);
    forward<T>({n, q.data(), k.data(), v.data(), &pattern, broadcast(bias), scale}, out_data, lse_data);
  }
  return py::make_tuple(*out, lse);
}

template <class T>
void bind(py::module_& m) {
  m.def("scaled_dot_product_attention", &attend<T>, py::arg("q").noconvert(), py::arg("k").noconvert(),
        py::arg("v").noconvert(), py::arg("mask"), py::arg("bias").noconvert(), py::arg("scale"),
        py::arg("out").noconvert(), "softmax((q k' + bias) scale) v over allowed keys; returns (out, lse).");
}

}  // namespace

KXFAST_BINDINGS(attention) {
  bind<float>(m);
  bind<double>(m);
}
