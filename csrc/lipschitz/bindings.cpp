// kxfast._native.lipschitz
#include "core/python.hpp"
#include "lipschitz/kernels.hpp"

namespace {

using namespace kxfast;

template <class T>
py::tuple power_iteration(const Array<T>& weight, const Array<T>& u0, const Array<T>& v0, int64_t n_iter,
                          T eps) {
  Array<T> u(u0.size(), u0.data()), v(v0.size(), v0.data());
  T sigma;
  {
    py::gil_scoped_release nogil;
    sigma = lipschitz::power_iteration(weight.data(), weight.shape(0), weight.shape(1), u.mutable_data(),
                                       v.mutable_data(), n_iter, eps, 0);
  }
  return py::make_tuple(sigma, u, v);
}

template <class T>
void bind(py::module_& m) {
  m.def("power_iteration", &power_iteration<T>, py::arg("weight").noconvert(), py::arg("u").noconvert(),
        py::arg("v").noconvert(), py::arg("n_iter"), py::arg("eps"),
        "n_iter steps v = normalize(W'u), u = normalize(W v); returns (u'Wv, u, v).");
}

}  // namespace

KXFAST_BINDINGS(lipschitz) {
  bind<float>(m);
  bind<double>(m);
}
