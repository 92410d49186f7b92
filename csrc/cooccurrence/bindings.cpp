// kxfast._native.cooccurrence
#include "cooccurrence/bindings.hpp"

#include <pybind11/stl.h>

#include <optional>
#include <tuple>
#include <vector>

#include "cooccurrence/pmi.hpp"
#include "cooccurrence/product.hpp"
#include "cooccurrence/trainer.hpp"
#include "core/python.hpp"

namespace {

using namespace kxfast;

template <class Index, class Count>
py::tuple pmi(const std::tuple<Array<Index>, Array<Index>, Array<Count>>& matrix,
              const std::optional<Array<int64_t>>& counts, bool positive, double shift, double smoothing,
              bool normalized, int threads) {
  const auto& [indptr, indices, data] = matrix;
  const cooccurrence::Counts<Index, Count> x{indptr.data(), indices.data(), data.data(), indptr.size() - 1};
  const int64_t* words = counts ? counts->data() : nullptr;
  cooccurrence::PmiMatrix out;
  {
    py::gil_scoped_release nogil;
    out = cooccurrence::pmi(x, words, {positive, normalized, shift, smoothing}, threads);
  }
  const auto cells = static_cast<py::ssize_t>(out.indptr.back());
  Array<int64_t> pointer(static_cast<py::ssize_t>(out.indptr.size()), out.indptr.data());
  return py::make_tuple(pointer, to_array(std::move(out.indices), {cells}),
                        to_array(std::move(out.data), {cells}));
}

template <class Real>
cooccurrence::Trainer<Real> trainer(const Array<int32_t>& rows, const Array<int32_t>& columns,
                                    const Array<double>& values, const Array<double>& weights,
                                    const Array<int64_t>& order, const std::vector<int64_t>& tasks,
                                    const std::vector<int64_t>& rounds, const Array<Real>& vectors,
                                    const std::optional<Array<Real>>& contexts, double eta, int threads) {
  const cooccurrence::Pairs pairs{rows.data(),    columns.data(), values.data(),
                                  weights.data(), order.data(),   order.size()};
  const Real* other = contexts ? contexts->data() : nullptr;
  py::gil_scoped_release nogil;
  return {pairs, {tasks, rounds}, vectors.data(), other, vectors.shape(0), vectors.shape(1), eta, threads};
}

template <class Real>
void bind_trainer(py::module_& m, const char* name) {
  using Trainer = cooccurrence::Trainer<Real>;
  py::class_<Trainer>(m, name, "AdaGrad on pairs of words, in tasks that share no word in a round.")
      .def(py::init(&trainer<Real>), py::arg("rows"), py::arg("columns"), py::arg("values"),
           py::arg("weights"), py::arg("order"), py::arg("tasks"), py::arg("rounds"), py::arg("vectors"),
           py::arg("contexts"), py::arg("eta"), py::arg("threads"))
      .def(
          "epoch",
          [](Trainer& self, const py::object& progress) {
            PythonJob job(self.size(), progress);
            double cost = 0;
            job.run([&] { cost = self.epoch(job); });
            return cost;
          },
          py::arg("progress"), "Visit all pairs once; their cost.")
      .def(
          "vectors",
          [](const Trainer& self, bool contexts) {
            Array<Real> out({self.words(), self.dim()});
            self.get(contexts, out.mutable_data());
            return out;
          },
          py::arg("contexts"), "The vectors of the words, or as contexts.");
}

template <class Real>
Array<Real> multiplied(const Array<int32_t>& indptr, const Array<int32_t>& indices, const Array<Real>& data,
                       const Array<Real>& dense, int threads) {
  Array<Real> out({indptr.size() - 1, dense.shape(1)});
  const cooccurrence::SparseRows<Real> rows{indptr.data(), indices.data(), data.data()};
  Real* to = out.mutable_data();
  PythonJob job(0, py::none());
  job.run([&] {
    cooccurrence::multiply(rows, indptr.size() - 1, dense.data(), dense.shape(1), to, threads, job);
  });
  return out;
}

}  // namespace

KXFAST_BINDINGS(cooccurrence) {
  const auto bind_pmi = [&m](auto function) {
    m.def("pmi", function, py::arg("matrix").noconvert(), py::arg("counts").noconvert(), py::arg("positive"),
          py::arg("shift"), py::arg("smoothing"), py::arg("normalized"), py::arg("threads"),
          "PMI of a matrix of counts, both as (indptr, indices, data).");
  };
  bind_pmi(&pmi<int32_t, int64_t>);
  bind_pmi(&pmi<int32_t, double>);
  bind_pmi(&pmi<int64_t, int64_t>);
  bind_pmi(&pmi<int64_t, double>);
  bind_trainer<float>(m, "FloatTrainer");
  bind_trainer<double>(m, "DoubleTrainer");
  const auto bind_product = [&m](const char* name, auto function) {
    m.def(name, function, py::arg("indptr").noconvert(), py::arg("indices").noconvert(),
          py::arg("data").noconvert(), py::arg("dense").noconvert(), py::arg("threads"),
          "A matrix in rows times a dense one.");
  };
  bind_product("multiplied_floats", &multiplied<float>);
  bind_product("multiplied_doubles", &multiplied<double>);
  cooccurrence::bind_counting(m);
}
