// kxfast._native.cooccurrence
#include "cooccurrence/bindings.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "cooccurrence/pmi.hpp"
#include "cooccurrence/train.hpp"
#include "core/python.hpp"

namespace {

using namespace kxfast;

template <class Index, class Count>
py::tuple pmi(const std::tuple<Array<Index>, Array<Index>, Array<Count>>& matrix,
              const std::optional<Array<int64_t>>& counts, bool positive, double shift, double smoothing,
              bool normalized) {
  const auto& [indptr, indices, data] = matrix;
  const cooccurrence::Counts<Index, Count> x{indptr.data(), indices.data(), data.data(), indptr.size() - 1};
  const int64_t* words = counts ? counts->data() : nullptr;
  cooccurrence::PmiMatrix out;
  {
    py::gil_scoped_release nogil;
    out = cooccurrence::pmi(x, words, {positive, normalized, shift, smoothing}, 0);
  }
  const auto cells = static_cast<py::ssize_t>(out.data.size());
  Array<int64_t> pointer(static_cast<py::ssize_t>(out.indptr.size()), out.indptr.data());
  return py::make_tuple(pointer, to_array(std::move(out.indices), {cells}),
                        to_array(std::move(out.data), {cells}));
}

using Step = double (*)(const cooccurrence::Records&, int64_t, int64_t, const cooccurrence::Model&, double,
                        double*);

Step train_step() {
  using namespace cooccurrence;
  return KXFAST_PICK(Step, train_records);
}

Array<double> copy_of(const Array<double>& x) {
  return Array<double>({x.shape(0), x.shape(1)}, x.data());
}

py::tuple train_pmi(const Array<int64_t>& rows, const Array<int64_t>& columns, const Array<double>& values,
                    const Array<double>& weights, const Array<double>& vectors,
                    const std::optional<Array<double>>& contexts, int64_t epochs, double eta) {
  Array<double> v = copy_of(vectors), c = contexts ? copy_of(*contexts) : v, costs(epochs);
  const int64_t records = rows.size(), dim = vectors.shape(1);
  PythonJob job(records * epochs, py::none());
  double *v_data = v.mutable_data(), *c_data = c.mutable_data(), *cost = costs.mutable_data();
  job.run([&] {
    Buffer<double> seen_v(static_cast<size_t>(v.size())), moves(static_cast<size_t>(2 * dim));
    Buffer<double> seen_c(static_cast<size_t>(contexts ? c.size() : 0));
    std::fill(seen_v.begin(), seen_v.end(), 1.0);
    std::fill(seen_c.begin(), seen_c.end(), 1.0);
    const cooccurrence::Records all{rows.data(), columns.data(), values.data(), weights.data()};
    const cooccurrence::Model model{v_data, c_data, seen_v.data(), contexts ? seen_c.data() : seen_v.data(),
                                    dim};
    const Step step = train_step();
    constexpr int64_t kChunk = 4096;
    for (int64_t epoch = 0; epoch < epochs; ++epoch) {
      cost[epoch] = 0;
      for (int64_t at = 0; at < records; at += kChunk) {
        const int64_t end = std::min(records, at + kChunk);
        cost[epoch] += step(all, at, end, model, eta, moves.data());
        if (!job.advance(end - at)) return;
      }
    }
  });
  return py::make_tuple(v, contexts ? py::object(c) : py::none(), costs);
}

}  // namespace

KXFAST_BINDINGS(cooccurrence) {
  const auto bind_pmi = [&m](auto function) {
    m.def("pmi", function, py::arg("matrix").noconvert(), py::arg("counts").noconvert(), py::arg("positive"),
          py::arg("shift"), py::arg("smoothing"), py::arg("normalized"),
          "PMI of a matrix of counts, both as (indptr, indices, data).");
  };
  bind_pmi(&pmi<int32_t, int64_t>);
  bind_pmi(&pmi<int32_t, double>);
  bind_pmi(&pmi<int64_t, int64_t>);
  bind_pmi(&pmi<int64_t, double>);
  m.def("train_pmi", &train_pmi, py::arg("rows").noconvert(), py::arg("columns").noconvert(),
        py::arg("values").noconvert(), py::arg("weights").noconvert(), py::arg("vectors").noconvert(),
        py::arg("contexts").noconvert(), py::arg("epochs"), py::arg("eta"),
        "AdaGrad on the records in their order; vectors, contexts, and the cost of each epoch.");
  cooccurrence::bind_counting(m);
}
