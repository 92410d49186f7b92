// kxfast._native.cooccurrence
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "cooccurrence/count.hpp"
#include "cooccurrence/pmi.hpp"
#include "cooccurrence/tokens.hpp"
#include "cooccurrence/train.hpp"
#include "core/python.hpp"

namespace {

using namespace kxfast;

py::tuple pairs(const Array<int64_t>& ids, int64_t vocabulary_size, int64_t window,
                const std::string& weighting, const std::string& direction) {
  using cooccurrence::Direction;
  const Direction side = direction == "left"    ? Direction::left
                         : direction == "right" ? Direction::right
                                                : Direction::symmetric;
  PythonJob job(ids.size(), py::none());
  cooccurrence::Matrix matrix;
  const bool harmonic = weighting == "harmonic";
  job.run([&] {
    matrix =
        cooccurrence::count_pairs(ids.data(), ids.size(), vocabulary_size, window, harmonic, side, 0, job);
  });
  const auto cells = static_cast<py::ssize_t>(matrix.indices.size());
  Array<int64_t> indptr(static_cast<py::ssize_t>(matrix.indptr.size()), matrix.indptr.data());
  py::object data = harmonic ? py::object(to_array(std::move(matrix.weighted), {cells}))
                             : py::object(to_array(std::move(matrix.whole), {cells}));
  return py::make_tuple(indptr, to_array(std::move(matrix.indices), {cells}), data);
}

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

using cooccurrence::BadByte;
using cooccurrence::Tokenizer;

// None, or (offset, value) of a byte that is not UTF-8.
py::object to_python(BadByte bad) {
  if (bad.offset < 0) return py::none();
  return py::make_tuple(bad.offset, bad.value);
}

// The UTF-8 form that a Python string keeps of itself.
std::string_view utf8(const py::handle& text) {
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (!data) throw py::error_already_set();
  return {data, static_cast<size_t>(size)};
}

Array<int64_t> take_numbers(Tokenizer& self) {
  Array<int64_t> out(static_cast<py::ssize_t>(self.numbers.size()), self.numbers.data());
  self.numbers = std::vector<int64_t>();
  return out;
}

std::vector<py::str> words_of(const Tokenizer& self) {
  std::vector<py::str> out;
  out.reserve(static_cast<size_t>(self.words()));
  for (int64_t number = 0; number < self.words(); ++number) out.emplace_back(std::string(self.word(number)));
  return out;
}

void bind_tokenizer(py::module_& m) {
  py::class_<Tokenizer>(m, "Tokenizer", "Text to word numbers, in the order in which words first come.")
      .def(py::init<>())
      .def(
          "feed",
          [](Tokenizer& self, const py::bytes& data) {
            const std::string_view bytes = data;
            BadByte bad;
            {
              py::gil_scoped_release nogil;
              bad = self.feed(bytes.data(), static_cast<int64_t>(bytes.size()));
            }
            return to_python(bad);
          },
          py::arg("data"),
          "Take the next bytes of a file; None, or (offset, value) of a byte that is not UTF-8.")
      .def(
          "finish", [](Tokenizer& self) { return to_python(self.finish()); }, "End a file; as feed.")
      .def(
          "add_document", [](Tokenizer& self, const py::str& text) { self.document(utf8(text)); },
          py::arg("text"), "Take a document that is a string.")
      .def(
          "add_tokens",
          [](Tokenizer& self, const py::list& tokens) {
            for (const py::handle& each : tokens) self.token(utf8(each));
            self.end_document();
          },
          py::arg("tokens"), "Take a document that is a list of strings.")
      .def("take_numbers", &take_numbers,
           "The numbers of all tokens since the last call, -1 after each line.")
      .def("words", &words_of, "The words by number.");
}

}  // namespace

KXFAST_BINDINGS(cooccurrence) {
  m.def("pairs", &pairs, py::arg("ids").noconvert(), py::arg("vocabulary_size"), py::arg("window"),
        py::arg("weighting"), py::arg("direction"),
        "Counts of ordered pairs as (indptr, indices, data), columns of each row in order.");
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
  bind_tokenizer(m);
}
