#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>

#include "core/python.hpp"
#include "linear/linear.hpp"

namespace kxfast::linear {
namespace {

using Strided = py::array_t<float>;

Matrix matrix_of(const Strided& x) {
  constexpr auto kSize = static_cast<int64_t>(sizeof(float));
  const Matrix made{x.data(), x.shape(0), x.shape(1), x.strides(0) / kSize, x.strides(1) / kSize};
  if (made.down != 1 && made.along != 1) throw std::invalid_argument("rows or columns must be in one piece");
  return made;
}

Array<float> product(const Strided& a, const Strided& b, const std::optional<Array<float>>& bias) {
  const Matrix left = matrix_of(a), right = matrix_of(b);
  Array<float> out = new_array<float>({left.rows, right.rows});
  float* to = out.mutable_data();
  const float* added = bias ? bias->data() : nullptr;
  py::gil_scoped_release nogil;
  multiply(left, right, added, to);
  return out;
}

}  // namespace

KXFAST_BINDINGS(linear) {
  m.def("product", &product, py::arg("a").noconvert(), py::arg("b").noconvert(),
        py::arg("bias").noconvert().none(true),
        "a b' + bias of matrices whose rows or columns are in one piece, none of size 0, in tiles of "
        "bfloat16.");
}

}  // namespace kxfast::linear
