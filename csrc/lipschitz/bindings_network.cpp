// Maps made of layers: kxfast._native.lipschitz.Network*
#include "lipschitz/bindings.hpp"
#include "lipschitz/network.hpp"

namespace kxfast::lipschitz {
namespace {

// The numbers of an array of either type, as T.
template <class T>
class Numbers {
 public:
  explicit Numbers(const py::array& array) {
    if (Array<T>::check_(array)) {
      data_ = static_cast<const T*>(array.data());
      return;
    }
    using Other = std::conditional_t<std::is_same_v<T, float>, double, float>;
    const auto given = array.cast<Array<Other>>();
    made_ = Buffer<T>(static_cast<size_t>(given.size()));
    std::transform(given.data(), given.data() + given.size(), made_.begin(),
                   [](Other x) { return static_cast<T>(x); });
    data_ = made_.data();
  }
  const T* data() const { return data_; }

 private:
  const T* data_;
  Buffer<T> made_;
};

template <class T>
Network<T> network_of(const py::list& layers, bool filtered, bool forward) {
  Network<T> network;
  for (const py::handle& each : layers) {
    const auto parts = each.cast<py::tuple>();
    if (parts.size() == 2) {  // an activation: number and size
      network.add(parts[0].cast<int>(), parts[1].cast<int64_t>());
      continue;
    }
    const auto weight = parts[0].cast<py::array>();
    const auto bias = parts[1].cast<std::optional<py::array>>();
    std::optional<Numbers<T>> biases;
    if (bias) biases.emplace(*bias);
    network.add(Numbers<T>(weight).data(), bias ? biases->data() : nullptr,
                moves_of(weight, parts[2].cast<py::tuple>()), filtered, forward);
  }
  return network;
}

template <class T>
Array<T> shaped(Buffer<T>&& values, int64_t batch) {
  const auto size = static_cast<py::ssize_t>(values.size());
  return to_array(std::move(values), {batch, batch ? size / batch : 0});
}

template <class T>
Array<T> forward(const Network<T>& self, const Array<T>& x) {
  Buffer<T> y;
  {
    py::gil_scoped_release nogil;
    y = self.forward(x.data(), x.shape(0));
  }
  return shaped(std::move(y), x.shape(0));
}

template <class T, bool PUSH>
Array<T> derivative(const Network<T>& self, const Array<T>& x, const Array<T>& direction) {
  Buffer<T> y;
  {
    py::gil_scoped_release nogil;
    typename Network<T>::Point point;
    self.forward(x.data(), x.shape(0), &point);
    y = PUSH ? self.push(point, direction.data(), x.shape(0))
             : self.pull(point, direction.data(), x.shape(0));
  }
  return shaped(std::move(y), x.shape(0));
}

// body(first, count) for groups of samples that go through all steps of a call without waiting for one
// another (threads that met after each layer were 1.4 times as slow); few samples are one group, whose
// products threads share. What becomes of a sample depends on no other. Groups of 32 on one thread lost up to
// 15 %: they read the weights more often, and have more remnants of tiles.
template <class Body>
void in_groups(PythonJob& job, int64_t batch, Body&& body) {
  constexpr int64_t kMost = 128, kLeast = 8;
  const int64_t threads = num_threads(), rounds = (batch + kMost * threads - 1) / (kMost * threads);
  const int64_t groups = batch < kLeast * rounds * threads ? 1 : rounds * threads;
  run_each(job, groups, [&](int64_t i) {
    const int64_t first = i * batch / groups;
    body(first, (i + 1) * batch / groups - first);
  });
}

template <class T>
Array<double> series(const Network<T>& self, const Array<T>& x, const Array<T>& probes,
                     const Array<double>& factors) {
  Array<double> estimates({probes.shape(0), x.shape(0)});
  double* to = estimates.mutable_data();
  const int64_t batch = x.shape(0), size = x.shape(1);
  PythonJob job(0, py::none());
  in_groups(job, batch, [&](int64_t first, int64_t count) {
    self.series(x.data() + first * size, count, probes.data() + first * size, probes.shape(0), batch,
                factors.data(), factors.shape(1), to + first, job);
  });
  return estimates;
}

template <class T>
Array<T> jacobian(const Network<T>& self, const Array<T>& x) {
  Buffer<T> all;
  PythonJob job(0, py::none());
  job.run([&] { all = self.jacobian(x.data(), x.shape(0), job); });
  return to_array(std::move(all), {x.shape(0), self.outputs(), self.inputs()});
}

template <class T>
Array<T> neumann(const Network<T>& self, const Array<T>& x, const Array<T>& probe, int64_t terms) {
  Buffer<T> sum;
  PythonJob job(0, py::none());
  job.run([&] {
    typename Network<T>::Point point;
    self.forward(x.data(), x.shape(0), &point);
    sum = self.neumann(point, probe.data(), x.shape(0), terms, job);
  });
  return shaped(std::move(sum), x.shape(0));
}

template <class T>
py::tuple trace(const Network<T>& self, const Array<T>& x, const Array<T>& tangent, const Array<T>& to_value,
                const Array<T>& to_tangent) {
  typename Network<T>::Traces made;
  const int64_t batch = x.shape(0);
  PythonJob job(0, py::none());
  job.run(
      [&] { made = self.trace(x.data(), tangent.data(), to_value.data(), to_tangent.data(), batch, job); });
  py::list layers;
  for (auto& [value, push, to, back] : made.layers)
    layers.append(py::make_tuple(shaped(std::move(value), batch), shaped(std::move(push), batch),
                                 shaped(std::move(to), batch), shaped(std::move(back), batch)));
  return py::make_tuple(shaped(std::move(made.to_input), batch), layers);
}

py::tuple inverse(const Network<double>& self, const Network<float>& coarse, const Array<double>& y,
                  double lipschitz, double tol, int64_t max_steps, int64_t window) {
  const int64_t batch = y.shape(0), size = y.shape(1);
  Array<double> x({y.shape(0), y.shape(1)}), bounds(batch);
  Array<int64_t> steps(batch);
  Array<bool> converged(batch);
  const Solved out{x.mutable_data(), steps.mutable_data(), bounds.mutable_data(), converged.mutable_data()};
  PythonJob job(0, py::none());
  in_groups(job, batch, [&](int64_t first, int64_t count) {
    residual_inverse(coarse, self, y.data() + first * size, count, lipschitz, tol, max_steps, window, job,
                     {out.x + first * size, out.steps + first, out.bounds + first, out.converged + first});
  });
  return py::make_tuple(x, steps, bounds, converged);
}

template <class T>
py::class_<Network<T>> bind(py::module_& m, const char* name) {
  py::class_<Network<T>> network(m, name,
                                 "Layers, packed; arrays are (batch, pixels * channels), channels last.");
  network.def(py::init(&network_of<T>), py::arg("layers"), py::arg("filtered"), py::arg("forward"))
      .def("forward", &forward<T>, py::arg("x").noconvert(), "The output of each sample.")
      .def("jvp", &derivative<T, true>, py::arg("x").noconvert(), py::arg("tangent").noconvert(), "J t at x.")
      .def("vjp", &derivative<T, false>, py::arg("x").noconvert(), py::arg("cotangent").noconvert(),
           "J'g at x.")
      .def("jacobian", &jacobian<T>, py::arg("x").noconvert(), "(batch, outputs, inputs).")
      .def("series", &series<T>, py::arg("x").noconvert(), py::arg("probes").noconvert(),
           py::arg("factors").noconvert(), "sum_k (-1)^(k+1) factors[probe, k] / k e'J^k e, (probes, batch).")
      .def("neumann", &neumann<T>, py::arg("x").noconvert(), py::arg("probe").noconvert(), py::arg("terms"),
           "e' sum_k (-J)^k.")
      .def("trace", &trace<T>, py::arg("x").noconvert(), py::arg("tangent").noconvert(),
           py::arg("to_value").noconvert(), py::arg("to_tangent").noconvert(),
           "Gradients for x, and what each weight met: (value, tangent, to_value, to_tangent).");
  return network;
}

}  // namespace

void bind_network(py::module_& m) {
  bind<float>(m, "NetworkFloat32");
  bind<double>(m, "NetworkFloat64")
      .def("residual_inverse", &inverse, py::arg("coarse"), py::arg("y").noconvert(), py::arg("lipschitz"),
           py::arg("tol"), py::arg("max_steps"), py::arg("window"),
           "x, steps, error bounds and flags; lipschitz < 0: not known.");
}

}  // namespace kxfast::lipschitz
