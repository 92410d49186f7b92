// Convolutions: kxfast._native.lipschitz.conv_*
#include "lipschitz/bindings.hpp"
#include "lipschitz/circular.hpp"
#include "lipschitz/conv_norm.hpp"

namespace kxfast::lipschitz {

using Pair = std::array<int64_t, 2>;

Moves moves_of(const py::array& weight, const py::tuple& given) {
  const auto [size, stride, padding, dilation, out, groups, circular] =
      given.cast<std::tuple<Pair, Pair, Pair, Pair, Pair, int64_t, bool>>();
  Moves m{};
  for (size_t d = 0; d < 2; ++d) {
    m.size[d] = size[d], m.stride[d] = stride[d], m.padding[d] = padding[d];
    m.dilation[d] = dilation[d], m.out[d] = out[d];
    m.kernel[d] = weight.shape(static_cast<py::ssize_t>(d) + 2);
  }
  m.groups = groups, m.inputs = weight.shape(1), m.outputs = weight.shape(0) / groups, m.circular = circular;
  return m;
}

namespace {

py::tuple lanczos(const Array<double>& weight, const py::tuple& geometry, double tol, int upper, double delta,
                  uint64_t seed) {
  const Moves moves = moves_of(weight, geometry);
  Array<double> v = new_array<double>({moves.pixels(), moves.groups * moves.inputs});
  double* to = v.mutable_data();
  Found found{};
  PythonJob job(0, py::none());
  job.run([&] {
    found = conv_lanczos(weight.data(), moves, {tol, static_cast<Upper>(upper), delta}, seed, job, to);
  });
  return py::make_tuple(found.value, found.top, found.steps, v);
}

py::tuple ends(const Array<double>& weight, const py::tuple& geometry, double top, double margin,
               const Array<double>& start) {
  const Moves moves = moves_of(weight, geometry);
  Array<double> u = new_array<double>({moves.out_pixels(), moves.groups * moves.outputs});
  Array<double> v = new_array<double>({moves.pixels(), moves.groups * moves.inputs});
  std::copy(start.data(), start.data() + start.size(), v.mutable_data());
  double *us = u.mutable_data(), *vs = v.mutable_data();
  Ends found{};
  {
    py::gil_scoped_release nogil;
    found = conv_ends(weight.data(), moves, top, margin, us, vs);
  }
  return py::make_tuple(found.lower, found.upper, u, v);
}

py::tuple circular(const Array<double>& matrices, const Array<int64_t>& places, const Pair& sides,
                   const Pair& twist, double value, double tol, double rise, double limit, uint64_t seed) {
  const Torus torus{{sides[0], sides[1]}, {twist[0], twist[1]}, matrices.shape(0), matrices.shape(1),
                    matrices.shape(2),    matrices.shape(3),    places.data(),     matrices.data()};
  Peak peak;
  PythonJob job(0, py::none());
  job.run([&] { peak = circular_norm(torus, {value, tol, rise, limit}, seed, job); });
  const auto n = static_cast<py::ssize_t>(peak.vector.size() / 2);
  return py::make_tuple(peak.top, py::make_tuple(peak.frequency[0], peak.frequency[1]), peak.group,
                        Array<double>({py::ssize_t{2}, n}, peak.vector.data()));
}

Array<double> values(const Array<double>& matrices, const Array<int64_t>& places, const Pair& sides) {
  const Torus torus{
      {sides[0], sides[1]}, {0, 0},        matrices.shape(0), matrices.shape(1), matrices.shape(2),
      matrices.shape(3),    places.data(), matrices.data()};
  std::vector<double> found;
  PythonJob job(0, py::none());
  job.run([&] { found = circular_values(torus, job); });
  return Array<double>(static_cast<py::ssize_t>(found.size()), found.data());
}

template <class T>
py::tuple conv_power_iteration(const Array<T>& weight, const py::tuple& geometry, const Array<T>& u0,
                               const Array<T>& v0, int64_t n_iter, T eps) {
  const Moves moves = moves_of(weight, geometry);
  Array<T> u = new_array<T>({moves.out_pixels(), moves.groups * moves.outputs});
  Array<T> v = new_array<T>({moves.pixels(), moves.groups * moves.inputs});
  std::copy(u0.data(), u0.data() + u0.size(), u.mutable_data());
  if (n_iter == 0) std::copy(v0.data(), v0.data() + v0.size(), v.mutable_data());  // else it is not read
  T *us = u.mutable_data(), *vs = v.mutable_data(), sigma;
  PythonJob job(0, py::none());
  job.run([&] {
    const Convolution<T> convolution(weight.data(), moves, true);
    Buffer<T> product(static_cast<size_t>(moves.rows()));
    T size = 0;
    for (int64_t step = 0; step < n_iter && job.advance(0); ++step) {
      convolution.transposed(us, vs, 1);
      normalize(vs, moves.cols(), eps);
      convolution.forward(vs, nullptr, us, 1);
      size = normalize(us, moves.rows(), eps);
    }
    sigma = size * (size / std::max(size, eps));  // u' A v without another convolution
    if (n_iter == 0) {
      convolution.forward(vs, nullptr, product.data(), 1);
      double sum = 0;
      for (int64_t i = 0; i < moves.rows(); ++i)
        sum += static_cast<double>(us[i]) * static_cast<double>(product[static_cast<size_t>(i)]);
      sigma = static_cast<T>(sum);
    }
  });
  return py::make_tuple(sigma, u, v);
}

template <class T>
void bind_power_iteration(py::module_& m) {
  m.def("conv_power_iteration", &conv_power_iteration<T>, py::arg("weight").noconvert(), py::arg("geometry"),
        py::arg("u").noconvert(), py::arg("v").noconvert(), py::arg("n_iter"), py::arg("eps"),
        "Power iteration with a convolution; vectors have channels last.");
}

}  // namespace

void bind_conv(py::module_& m) {
  m.def("conv_lanczos", &lanczos, py::arg("weight").noconvert(), py::arg("geometry"), py::arg("tol"),
        py::arg("upper"), py::arg("delta"), py::arg("seed"),
        "Ritz value, random upper end, steps and vector.");
  m.def("conv_ends", &ends, py::arg("weight").noconvert(), py::arg("geometry"), py::arg("top"),
        py::arg("margin"), py::arg("v").noconvert(), "Lower and upper end at a vector, and u and v.");
  m.def("circular_norm", &circular, py::arg("matrices").noconvert(), py::arg("places").noconvert(),
        py::arg("sides"), py::arg("twist"), py::arg("value"), py::arg("tol"), py::arg("rise"),
        py::arg("limit"), py::arg("seed"),
        "Proven upper end; frequency, group and vector of the largest norm seen.");
  m.def("circular_values", &values, py::arg("matrices").noconvert(), py::arg("places").noconvert(),
        py::arg("sides"), "All singular values, descending.");
  bind_power_iteration<float>(m);
  bind_power_iteration<double>(m);
}

}  // namespace kxfast::lipschitz
