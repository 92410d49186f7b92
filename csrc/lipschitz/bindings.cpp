// kxfast._native.lipschitz
#include "lipschitz/bindings.hpp"

#include <new>

#include "lipschitz/digits.hpp"
#include "lipschitz/norms.hpp"

namespace kxfast::lipschitz {
namespace {

template <class T>
py::tuple power_iteration(const Array<T>& weight, const Array<T>& u0, const Array<T>& v0, int64_t n_iter,
                          T eps) {
  Array<T> u(u0.size(), u0.data()), v(v0.size(), v0.data());
  T sigma, *us = u.mutable_data(), *vs = v.mutable_data();
  PythonJob job(0, py::none());
  job.run([&] {
    sigma =
        lipschitz::power_iteration(weight.data(), weight.shape(0), weight.shape(1), us, vs, n_iter, eps, job);
  });
  return py::make_tuple(sigma, u, v);
}

template <class T>
py::tuple spectral_norm(const Array<T>& a, double tol, int upper, double delta,
                        const std::optional<Array<double>>& start, uint64_t seed) {
  const int64_t count = a.shape(0), m = a.shape(1), n = a.shape(2);
  Array<double> lower(count), top(count), u({count, m}), v({count, n});
  Array<int64_t> steps(count);
  const Wanted wanted{tol, static_cast<Upper>(upper), delta};
  double *low = lower.mutable_data(), *high = top.mutable_data(), *us = u.mutable_data(),
         *vs = v.mutable_data();
  int64_t* taken = steps.mutable_data();
  PythonJob job(count, py::none());
  const auto one = [&](int64_t i) {
    const Ends ends =
        lipschitz::spectral_norm(a.data() + i * m * n, m, n, wanted, start ? start->data() + i * n : nullptr,
                                 Stream(seed, static_cast<uint64_t>(i)), job, us + i * m, vs + i * n);
    low[i] = ends.lower, high[i] = ends.upper, taken[i] = ends.steps;
  };
  run_each(job, count, one);
  return py::make_tuple(lower, top, steps, u, v);
}

// The upper triangle of the Gram matrix of 2^-exponent A, and what is apart and wrong at most.
template <class T>
py::tuple digit_gram(const Array<T>& a, int exponent, double largest, int64_t digits, int stages) {
  const int64_t rows = a.shape(0), cols = a.shape(1), size = std::min(rows, cols);
  PythonJob job(0, py::none());
  Digits planes(a.data(), rows, cols, exponent, largest, digits, job);
  Gram found;
  for (int stage = 0; stage < stages; ++stage) planes.add(stage, found, job);
  Array<double> made({size, size});
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = 0; j < size; ++j)
      made.mutable_at(i, j) = j < i ? 0.0 : found.entries[static_cast<size_t>(i * found.stride + j)];
  return py::make_tuple(made, found.apart, found.error * found.frobenius);
}

template <class T>
void bind_matrices(py::module_& m) {
  m.def("power_iteration", &power_iteration<T>, py::arg("weight").noconvert(), py::arg("u").noconvert(),
        py::arg("v").noconvert(), py::arg("n_iter"), py::arg("eps"),
        "n_iter steps v = normalize(W'u), u = normalize(W v); returns (u'Wv, u, v).");
  m.def("spectral_norm", &spectral_norm<T>, py::arg("a").noconvert(), py::arg("tol"), py::arg("upper"),
        py::arg("delta"), py::arg("start").noconvert(), py::arg("seed"),
        "Lower and upper ends, steps, u and v of each of a stack; upper: 0 none, 1 proof, 2 random.");
  m.def("digit_gram", &digit_gram<T>, py::arg("a").noconvert(), py::arg("exponent"), py::arg("largest"),
        py::arg("digits"), py::arg("stages"),
        "For tests: the upper triangle of the Gram matrix in digits, what is apart and what is wrong.");
}

}  // namespace
}  // namespace kxfast::lipschitz

KXFAST_BINDINGS(lipschitz) {
  kxfast::lipschitz::bind_matrices<float>(m);
  kxfast::lipschitz::bind_matrices<double>(m);
  kxfast::lipschitz::bind_conv(m);
  kxfast::lipschitz::bind_training(m);
  kxfast::lipschitz::bind_memory(m);
  kxfast::lipschitz::bind_network(m);
}
