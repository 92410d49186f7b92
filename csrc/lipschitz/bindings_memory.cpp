// The training step on tensors of a framework: kxfast._native.lipschitz.spectral_normalize_of,
// ..._gradients_of
//
// 64 small layers are 192 tensors, and 128 results; as arrays, one by one, they cost more than the step
// itself. Lists with tensors of several types, on devices or in pieces give None; who calls takes another
// way.
#include <functional>
#include <numeric>

#include "core/tensors.hpp"
#include "lipschitz/bindings.hpp"
#include "lipschitz/normalize.hpp"

namespace kxfast::lipschitz {
namespace {

using dlpack::Tensor;

bool of_rows(const Tensor& x, int64_t rows) {
  return x.rank == 1 && x.shape[0] == rows;
}

int64_t entries(const Tensor& x) {
  return std::accumulate(x.shape, x.shape + x.rank, int64_t{1}, std::multiplies<int64_t>());
}

bool alike(const Tensor& a, const Tensor& b) {
  return a.rank == b.rank && std::equal(a.shape, a.shape + a.rank, b.shape);
}

// Weights (m, ...) as matrices, and where each writes.
template <class T>
std::optional<std::vector<Layer<T>>> layers_of(const dlpack::Table& table, const py::object& weights,
                                               const py::object& outs) {
  const auto ws = dlpack::tensors<T>(table, weights), targets = dlpack::tensors<T>(table, outs);
  if (!ws || !targets || ws->size() != targets->size()) return std::nullopt;
  std::vector<Layer<T>> layers(ws->size());
  for (size_t i = 0; i < layers.size(); ++i) {
    const Tensor& w = (*ws)[i];
    if (w.rank < 2 || !alike(w, (*targets)[i])) return std::nullopt;
    Layer<T>& each = layers[i];
    each.w = static_cast<const T*>(w.data), each.out = static_cast<T*>((*targets)[i].data);
    each.rows = w.shape[0];
    each.cols = std::accumulate(w.shape + 1, w.shape + w.rank, int64_t{1}, std::multiplies<int64_t>());
  }
  return layers;
}

template <class T>
py::object step(const dlpack::Table& table, const py::object& weights, const py::object& us,
                const py::object& vs, const py::object& outs, double coeff, int64_t n_iter, bool hard) {
  auto layers = layers_of<T>(table, weights, outs);
  const auto u = dlpack::tensors<T>(table, us), v = dlpack::tensors<T>(table, vs);
  if (!layers || !u || !v || u->size() != layers->size() || v->size() != layers->size()) return py::none();
  const auto count = static_cast<py::ssize_t>(layers->size());
  Array<int64_t> shapes({count, py::ssize_t{2}});
  for (size_t i = 0; i < layers->size(); ++i) {
    Layer<T>& each = (*layers)[i];
    if (!of_rows((*u)[i], each.rows) || !of_rows((*v)[i], each.cols)) return py::none();
    each.u = static_cast<T*>((*u)[i].data), each.v = static_cast<T*>((*v)[i].data);
    shapes.mutable_data()[2 * i] = each.rows, shapes.mutable_data()[2 * i + 1] = each.cols;
  }
  Array<T> state(static_cast<py::ssize_t>(state_size(*layers)));
  Array<double> sigmas(count);
  T* kept = state.mutable_data();
  bool finite = false;
  PythonJob job(0, py::none());
  job.run([&] { finite = normalize_layers(*layers, coeff, n_iter, hard, kept, job); });
  for (size_t i = 0; i < layers->size(); ++i) sigmas.mutable_data()[i] = (*layers)[i].sigma;
  return finite ? py::object(py::make_tuple(sigmas, shapes, state)) : py::none();
}

template <class T>
bool gradients(const dlpack::Table& table, const py::object& grads, const py::object& weights,
               const py::object& outs, const Array<double>& sigmas, const Array<int64_t>& shapes,
               const py::object& vectors, double coeff, bool hard) {
  auto layers = layers_of<T>(table, weights, outs);
  const auto given = dlpack::tensors<T>(table, grads);
  if (!layers || !given || given->size() != layers->size()) return false;
  if (shapes.size() != 2 * sigmas.size() || static_cast<size_t>(sigmas.size()) != given->size()) return false;
  T* kept = vectors.cast<Array<T>>().mutable_data();
  for (size_t i = 0; i < layers->size(); ++i) {
    Layer<T>& each = (*layers)[i];
    const Tensor& grad = (*given)[i];
    const int64_t* shape = shapes.data() + 2 * i;
    if (each.rows != shape[0] || each.cols != shape[1] || entries(grad) != each.rows * each.cols)
      return false;
    each.grad = static_cast<const T*>(grad.data), each.sigma = sigmas.data()[i];
    each.u = kept, each.v = kept + each.rows;
    kept = each.v + each.cols;
  }
  {
    py::gil_scoped_release nogil;
    normalize_gradients(*layers, coeff, hard, 0);
  }
  return std::all_of(layers->begin(), layers->end(),
                     [](const Layer<T>& each) { return std::isfinite(each.inner); });
}

}  // namespace

void bind_memory(py::module_& m) {
  m.def(
      "spectral_normalize_of",
      [](const py::object& capsule, bool wide, const py::object& weights, const py::object& us,
         const py::object& vs, const py::object& outs, double coeff, int64_t n_iter,
         bool hard) -> py::object {
        const dlpack::Table* table = dlpack::table(capsule);
        if (!table) return py::none();
        return (wide ? step<double> : step<float>)(*table, weights, us, vs, outs, coeff, n_iter, hard);
      },
      py::arg("capsule"), py::arg("wide"), py::arg("weights"), py::arg("us"), py::arg("vs"), py::arg("outs"),
      py::arg("coeff"), py::arg("n_iter"), py::arg("hard"),
      "Sigmas, shapes (layers, 2), and u and v of each layer after the step; None, nothing done: see the "
      "file.");
  m.def(
      "spectral_normalize_gradients_of",
      [](const py::object& capsule, bool wide, const py::object& grads, const py::object& weights,
         const py::object& outs, const Array<double>& sigmas, const Array<int64_t>& shapes,
         const py::object& vectors, double coeff, bool hard) {
        const dlpack::Table* table = dlpack::table(capsule);
        const auto run = wide ? gradients<double> : gradients<float>;
        return table && run(*table, grads, weights, outs, sigmas, shapes, vectors, coeff, hard);
      },
      py::arg("capsule"), py::arg("wide"), py::arg("grads"), py::arg("weights"), py::arg("outs"),
      py::arg("sigmas").noconvert(), py::arg("shapes").noconvert(), py::arg("vectors"), py::arg("coeff"),
      py::arg("hard"), "Whether `outs` are set, and all products of a weight and its gradient finite.");
}

}  // namespace kxfast::lipschitz
