// The training step and its gradient: kxfast._native.lipschitz.spectral_normalize, ..._backward, state_step
//
// A call has a list of arrays for each of its arguments, and 64 small layers are 200 arrays and more: they
// are looked at once, here. Lists with arrays of several types, or in pieces, give None; Python converts
// them.
#include <cmath>

#include "lipschitz/bindings.hpp"
#include "lipschitz/block.hpp"
#include "lipschitz/normalize.hpp"
#include "lipschitz/norms.hpp"

namespace kxfast::lipschitz {
namespace {

// Whether this is an array of T in one piece. Most have the very object that describes the type to NumPy;
// asking NumPy about it took longer than a step of a small layer.
template <class T>
bool is_array(PyObject* item, const py::dtype& type) {
  if (Py_TYPE(item) != py::detail::npy_api::get().PyArray_Type_ ||
      py::detail::array_proxy(item)->descr != type.ptr())
    return Array<T>::check_(item);
  return py::detail::array_proxy(item)->flags & py::array::c_style;
}

// The arrays of a list or tuple, kept alive, if the kernels can work on all of them.
template <class T>
class Arrays {
 public:
  explicit Arrays(const py::object& list) {
    if (!PyList_Check(list.ptr()) && !PyTuple_Check(list.ptr())) throw py::type_error("not a list of arrays");
    const auto size = PySequence_Fast_GET_SIZE(list.ptr());
    PyObject** items = PySequence_Fast_ITEMS(list.ptr());
    arrays_.reserve(static_cast<size_t>(size));
    const py::dtype type = py::dtype::of<T>();
    for (Py_ssize_t i = 0; i < size; ++i) {
      if (!is_array<T>(items[i], type)) return;
      auto array = py::reinterpret_borrow<Array<T>>(items[i]);
      if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) return;
      arrays_.push_back(std::move(array));
    }
    usable_ = true;
  }
  bool usable() const { return usable_; }
  size_t size() const { return arrays_.size(); }
  // Whether what is written to may be so was checked in Python.
  T* data(size_t i) const { return const_cast<T*>(arrays_[i].data()); }
  int64_t rows(size_t i) const { return arrays_[i].shape(0); }
  int64_t cols(size_t i) const { return arrays_[i].shape(1); }

 private:
  std::vector<Array<T>> arrays_;
  bool usable_ = false;
};

// Whether a list holds one such array for each weight, as NumPy makes them by itself: float32, in one piece,
// writeable.
bool usual(const py::object& list, const py::object& weights, int rank, int axis) {
  constexpr int kFlags = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_ |
                         py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  PyTypeObject* array = py::detail::npy_api::get().PyArray_Type_;
  if (!PyList_CheckExact(list.ptr()) || PyList_GET_SIZE(list.ptr()) != PyList_GET_SIZE(weights.ptr()))
    return false;
  const py::dtype type = py::dtype::of<float>();
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list.ptr()); ++i) {
    PyObject *item = PyList_GET_ITEM(list.ptr(), i), *weight = PyList_GET_ITEM(weights.ptr(), i);
    if (Py_TYPE(item) != array || Py_TYPE(weight) != array || !is_array<float>(item, type)) return false;
    const auto *found = py::detail::array_proxy(item), *given = py::detail::array_proxy(weight);
    if ((found->flags & kFlags) != kFlags || found->nd != rank || given->nd != 2) return false;
    for (int k = 0; k < rank; ++k)
      if (found->dimensions[k] != given->dimensions[k + axis]) return false;
  }
  return true;
}

// New arrays like the weights, as a list and as where layers write.
template <class T>
py::list like(const Arrays<T>& weights, std::vector<Layer<T>>& layers) {
  py::list made(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    auto array = new_array<T>({weights.rows(i), weights.cols(i)});
    layers[i].out = array.mutable_data();
    made[i] = std::move(array);
  }
  return made;
}

// Weights with their vectors; what is written to, and that it may be, is the caller's matter.
template <class T>
std::vector<Layer<T>> layers_of(const Arrays<T>& weights, const Arrays<T>& us, const Arrays<T>& vs) {
  std::vector<Layer<T>> layers(weights.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    Layer<T>& each = layers[i];
    each.w = weights.data(i), each.rows = weights.rows(i), each.cols = weights.cols(i);
    each.u = us.data(i), each.v = vs.data(i);
  }
  return layers;
}

template <class T>
py::object spectral_normalize(const py::object& weights, const py::object& us, const py::object& vs,
                              double coeff, int64_t n_iter, bool hard, bool scaled, const py::object& outs) {
  const Arrays<T> a(weights), b(us), c(vs);
  std::optional<Arrays<T>> d;
  if (!outs.is_none()) d.emplace(outs);
  if (!(a.usable() && b.usable() && c.usable() && (!d || d->usable()))) return py::none();
  std::vector<Layer<T>> layers = layers_of(a, b, c);
  py::object made = py::none();
  if (d)
    for (size_t i = 0; i < layers.size(); ++i) layers[i].out = d->data(i);
  else if (scaled)
    made = like(a, layers);
  Array<double> factors(static_cast<py::ssize_t>(layers.size())), sigmas(factors.size());
  Buffer<T> state(static_cast<size_t>(state_size(layers)));
  PythonJob job(0, py::none());
  job.run([&] { normalize_layers(layers, coeff, n_iter, hard, state.data(), job); });
  for (size_t i = 0; i < layers.size(); ++i) {
    factors.mutable_data()[i] = layers[i].factor;
    sigmas.mutable_data()[i] = layers[i].sigma;
  }
  return py::make_tuple(factors, sigmas, made);
}

// Lists of usual arrays, and for results or none.
bool usual_layers(const py::object& weights, const py::object& us, const py::object& vs,
                  const py::object& like) {
  return PyList_CheckExact(weights.ptr()) && usual(weights, weights, 2, 0) && usual(us, weights, 1, 0) &&
         usual(vs, weights, 1, 1) && (like.is_none() || usual(like, weights, 2, 0));
}

// A whole call of usual arrays and options: after 8 MB of weights and results Python's own code is no longer
// in the caches (16 layers of 256 x 256 on one thread of a Xeon: 5 % of a step, alternated by hand).
py::object spectral_normalize_at_once(const py::object& weights, const py::object& us, const py::object& vs,
                                      const py::object& coeff, const py::object& n_iter,
                                      const py::object& mode, const py::object& out) {
  if (!usual_layers(weights, us, vs, out) || PyList_GET_SIZE(weights.ptr()) == 0) return py::none();
  if (!PyFloat_CheckExact(coeff.ptr()) || !PyLong_CheckExact(n_iter.ptr())) return py::none();
  int overflow = 0;
  const int64_t steps = PyLong_AsLongLongAndOverflow(n_iter.ptr(), &overflow);
  const double wanted = PyFloat_AS_DOUBLE(coeff.ptr());
  const int way = word(mode, {"soft", "hard", "scale_only"});
  if (overflow != 0 || steps < 0 || !(wanted > 0) || std::isinf(wanted) || way > 2) return py::none();
  const bool scaled = way < 2;
  const py::object target = scaled ? out : py::none();
  const py::tuple found = spectral_normalize<float>(weights, us, vs, wanted, steps, way == 1, scaled, target);
  const auto sigmas = py::reinterpret_borrow<Array<double>>(found[1]);
  for (py::ssize_t i = 0; i < sigmas.size(); ++i)
    if (!std::isfinite(sigmas.data()[i]))
      return py::none();  // nothing has changed: Python says what is wrong
  if (!scaled) return py::make_tuple(found[0], sigmas);
  if (target.is_none()) return py::make_tuple(found[2], sigmas);
  return py::make_tuple(py::reinterpret_steal<py::object>(PyList_GetSlice(target.ptr(), 0, PY_SSIZE_T_MAX)),
                        sigmas);
}

template <class T>
py::object spectral_normalize_backward(const py::object& grads, const py::object& weights,
                                       const py::object& us, const py::object& vs,
                                       const Array<double>& sigmas, double coeff, bool hard, double extra) {
  const Arrays<T> g(grads), w(weights), u(us), v(vs);
  if (!(g.usable() && w.usable() && u.usable() && v.usable())) return py::none();
  std::vector<Layer<T>> layers = layers_of(w, u, v);
  const py::list made = like(w, layers);
  for (size_t i = 0; i < layers.size(); ++i) layers[i].grad = g.data(i), layers[i].sigma = sigmas.data()[i];
  {
    py::gil_scoped_release nogil;
    normalize_gradients(layers, coeff, hard, extra);
  }
  Array<double> inners(static_cast<py::ssize_t>(layers.size()));
  for (size_t i = 0; i < layers.size(); ++i) inners.mutable_data()[i] = layers[i].inner;
  return py::make_tuple(made, inners);
}

// A layer of either type on its way through a step of its state.
struct Followed {
  const float* floats = nullptr;
  const double* doubles = nullptr;
  int64_t rows = 0, cols = 0, rank = 0;
  double *block = nullptr, *best = nullptr, *u = nullptr, *v = nullptr;
  Ends ends{0, 0, 0};

  template <class T>
  void step(const T* w, const Wanted& wanted, Stream random, Job& job) {
    if (rank) block_step(w, rows, cols, rank, block, best);
    ends = spectral_norm(w, rows, cols, wanted, block, random, job, u, v);
  }
};

py::list state_step(const py::list& weights, const py::list& blocks, double tol, int upper, uint64_t seed) {
  std::vector<Followed> layers;
  std::vector<int64_t> sizes;
  py::list made;
  for (size_t i = 0; i < weights.size(); ++i) {
    Followed layer;
    if (Array<float>::check_(weights[i]))
      layer.floats = weights[i].cast<Array<float>>().data();
    else
      layer.doubles = weights[i].cast<Array<double>>().data();
    const auto weight = weights[i].cast<py::array>();
    const auto block = blocks[i].cast<Array<double>>();
    layer.rows = weight.shape(0), layer.cols = weight.shape(1), layer.rank = block.shape(0);
    Array<double> moved({layer.rank, layer.cols}, block.data()), best(layer.rows), u(layer.rows),
        v(layer.cols);
    layer.block = moved.mutable_data(), layer.best = best.mutable_data();
    layer.u = u.mutable_data(), layer.v = v.mutable_data();
    made.append(py::make_tuple(moved, best, u, v));
    layers.push_back(layer);
    sizes.push_back(weight.size());
  }
  const Wanted wanted{tol, static_cast<Upper>(upper), 0};
  PythonJob job(0, py::none());
  job.run([&] {
    each_layer(sizes, [&](size_t i) {
      if (!job.advance(0)) return;
      const Stream random(seed, i);
      Followed& each = layers[i];
      each.floats ? each.step(each.floats, wanted, random, job)
                  : each.step(each.doubles, wanted, random, job);
    });
  });
  py::list found;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Ends& ends = layers[i].ends;
    found.append(py::make_tuple(py::make_tuple(ends.lower, ends.upper, ends.steps), made[i]));
  }
  return found;
}

// f(T{}) for the type of the first array of a list; float64 for a list without one.
template <class Body>
py::object by_type(const py::object& list, Body&& body) {
  const bool any = PySequence_Fast_GET_SIZE(list.ptr()) > 0;
  return any && Array<float>::check_(PySequence_Fast_GET_ITEM(list.ptr(), 0)) ? body(float{})
                                                                              : body(double{});
}

}  // namespace

void bind_training(py::module_& m) {
  m.def("state_step", &state_step, py::arg("weights"), py::arg("blocks"), py::arg("tol"), py::arg("upper"),
        py::arg("seed"),
        "For each layer ((lower, upper, steps), (new block, its best output, u, v)); blocks (rank, n).");
  m.def("usual_layers", &usual_layers, py::arg("weights"), py::arg("us"), py::arg("vs"), py::arg("like"),
        "Whether these are lists of float32 arrays, in one piece and writeable, of shapes that match.");
  m.def(
      "spectral_normalize_at_once", &spectral_normalize_at_once, py::arg("weights"), py::arg("us"),
      py::arg("vs"), py::arg("coeff"), py::arg("n_iter"), py::arg("mode"), py::arg("out"),
      "What the public function of that name returns, for usual arguments; None for others and for errors.");
  m.def(
      "spectral_normalize",
      [](const py::list& weights, const py::object& us, const py::object& vs, double coeff, int64_t n_iter,
         bool hard, bool scaled, const py::object& outs) {
        return by_type(weights, [&](auto type) {
          return spectral_normalize<decltype(type)>(weights, us, vs, coeff, n_iter, hard, scaled, outs);
        });
      },
      py::arg("weights"), py::arg("us"), py::arg("vs"), py::arg("coeff"), py::arg("n_iter"), py::arg("hard"),
      py::arg("scaled"), py::arg("outs"),
      "Factors, sigmas and new arrays; lists of arrays are updated if all sigmas are finite. None: convert "
      "them.");
  m.def(
      "spectral_normalize_backward",
      [](const py::object& grads, const py::list& weights, const py::object& us, const py::object& vs,
         const Array<double>& sigmas, double coeff, bool hard, double extra) {
        return by_type(weights, [&](auto type) {
          return spectral_normalize_backward<decltype(type)>(grads, weights, us, vs, sigmas, coeff, hard,
                                                             extra);
        });
      },
      py::arg("grads"), py::arg("weights"), py::arg("us"), py::arg("vs"), py::arg("sigmas").noconvert(),
      py::arg("coeff"), py::arg("hard"), py::arg("extra"),
      "Gradients for the weights, and the inner products of each with its gradient. None: convert the "
      "lists.");
}

}  // namespace kxfast::lipschitz
