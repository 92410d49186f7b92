// kxfast._native.words
#include <pybind11/stl.h>

#include <memory>

#include "core/python.hpp"
#include "words/discover.hpp"
#include "words/ngrams.hpp"
#include "words/segment.hpp"

namespace {

using namespace kxfast;
using Codes = Array<uint32_t>;
using Numbers = Array<int64_t>;

// Moves a vector into a NumPy array.
template <class T>
Array<T> to_array(std::vector<T>&& vector, std::vector<py::ssize_t> shape) {
  auto owned = std::make_unique<std::vector<T>>(std::move(vector));
  T* data = owned->data();
  py::capsule owner(owned.release(), [](void* memory) { delete static_cast<std::vector<T>*>(memory); });
  return Array<T>(std::move(shape), data, owner);
}

template <class T>
Array<T> to_array(std::vector<T>&& vector) {
  const auto size = static_cast<py::ssize_t>(vector.size());
  return to_array(std::move(vector), {size});
}

py::tuple count_ngrams(const Codes& codes, int max_order, int64_t min_count, int threads) {
  PythonJob job(codes.size(), py::none());
  words::Counted counted;
  job.run([&] {
    counted = words::count_ngrams(codes.data(), codes.size(), max_order, min_count, threads, job);
    if (!job.stopped()) words::to_code_points(counted, threads, job);
  });
  py::list tables;
  for (size_t n = 1; n <= counted.tables.size(); ++n) {
    words::Table& table = counted.tables[n - 1];
    const auto rows = static_cast<py::ssize_t>(table.counts.size());
    auto grams = kxfast::to_array(std::move(table.grams), {rows, static_cast<py::ssize_t>(n)});
    tables.append(py::make_tuple(std::move(grams), kxfast::to_array(std::move(table.counts), {rows})));
  }
  return py::make_tuple(tables, counted.total);
}

py::tuple neighbor_entropy(const Codes& codes, const Codes& grams, int threads) {
  const py::ssize_t rows = grams.shape(0);
  Array<double> left(rows), right(rows);
  double *l = left.mutable_data(), *r = right.mutable_data();
  PythonJob job(2 * codes.size(), py::none());
  job.run([&] {
    words::neighbor_entropy(codes.data(), codes.size(), grams.data(), rows, static_cast<int>(grams.shape(1)),
                            l, r, threads, job);
  });
  return py::make_tuple(left, right);
}

py::tuple discover(const Codes& codes, const words::Rules& rules, int threads) {
  PythonJob job(codes.size(), py::none());
  words::Discovered found;
  job.run([&] { found = words::discover(codes.data(), codes.size(), rules, threads, job); });
  return py::make_tuple(to_array(std::move(found.codes)), to_array(std::move(found.offsets)),
                        to_array(std::move(found.counts)));
}

void bind_segmenter(py::module_& m) {
  using words::Segmenter;
  py::class_<Segmenter>(m, "Segmenter", "Words with their scores, ready to cut.")
      .def(py::init([](const Codes& codes, const Numbers& offsets, const Array<double>& scores,
                       double unknown, const std::string& tie, bool jieba) {
             return std::make_unique<Segmenter>(codes.data(), offsets.data(), scores.data(), scores.size(),
                                                unknown, tie == "longest_first", jieba);
           }),
           py::arg("codes").noconvert(), py::arg("offsets").noconvert(), py::arg("scores").noconvert(),
           py::arg("unknown"), py::arg("tie"), py::arg("jieba"))
      .def(
          "segment",
          [](const Segmenter& self, const Codes& codes, const Numbers& offsets, int threads) {
            PythonJob job(codes.size(), py::none());
            words::Tokens tokens;
            job.run([&] {
              tokens = self.segment(codes.data(), offsets.data(), offsets.size() - 1, threads, job);
            });
            return py::make_tuple(to_array(std::move(tokens.ends)), to_array(std::move(tokens.ids)),
                                  to_array(std::move(tokens.first)));
          },
          py::arg("codes").noconvert(), py::arg("offsets").noconvert(), py::arg("threads"),
          "Token ends, word ids (-1: none) and first tokens of the documents codes[offsets[i] : offsets[i + "
          "1]].")
      .def(
          "sample",
          [](const Segmenter& self, const Codes& codes, double alpha, uint64_t seed) {
            return to_array(self.sample(codes.data(), codes.size(), alpha, seed));
          },
          py::arg("codes").noconvert(), py::arg("alpha"), py::arg("seed"),
          "Token ends of a path drawn at random.");
}

}  // namespace

KXFAST_BINDINGS(words) {
  m.def("count_ngrams", &count_ngrams, py::arg("codes").noconvert(), py::arg("max_order"),
        py::arg("min_count"), py::arg("threads"),
        "Tables (grams (G, n), counts) of the orders 1 .. max_order, and the total of 1-grams.");
  m.def("neighbor_entropy", &neighbor_entropy, py::arg("codes").noconvert(), py::arg("grams").noconvert(),
        py::arg("threads"),
        "Entropies of the characters left and right of each gram, a row of sorted (G, n) grams.");
  const auto add_discover = [&m](const char* name, bool strict) {
    m.def(
        name,
        [strict](const Codes& codes, int max_length, int64_t min_count, std::vector<double> min_ratio,
                 int threads) {
          return discover(codes, {max_length, min_count, std::move(min_ratio), strict}, threads);
        },
        py::arg("codes").noconvert(), py::arg("max_length"), py::arg("min_count"), py::arg("min_ratio"),
        py::arg("threads"), "Words as codes, offsets and counts.");
  };
  add_discover("discover_cut", false);
  add_discover("discover_strict", true);
  bind_segmenter(m);
}
