// kxfast._native.words: reading, counting and cohesion.
#include "words/bindings.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <limits>

#include "words/reader.hpp"

namespace kxfast::words {
namespace {

using Tables = std::vector<std::pair<Codes, Numbers>>;

std::vector<TableView> views(const Tables& tables) {
  std::vector<TableView> made;
  for (const auto& [grams, counts] : tables) made.push_back({grams.data(), counts.data(), counts.size()});
  return made;
}

py::tuple count_all(const Codes& codes, int max_order, int64_t min_count, int threads, py::object report) {
  PythonJob job(codes.size(), std::move(report));
  Counted counted;
  job.run(
      [&] { counted = words::count_ngrams(codes.data(), codes.size(), max_order, min_count, threads, job); });
  return to_tables(std::move(counted));
}

py::tuple count_all_with_entropies(const Codes& codes, int max_order, int64_t min_count, int threads,
                                   py::object report) {
  PythonJob job(codes.size() * 2, std::move(report));
  Counted counted;
  std::vector<Entropies> entropies;
  job.run([&] {
    counted = words::count_with_entropies(codes.data(), codes.size(), max_order, min_count, threads, job,
                                          entropies);
  });
  py::list sides;
  for (auto& [left, right] : entropies) {
    const auto rows = static_cast<py::ssize_t>(left.size());
    auto left_side = kxfast::to_array(std::move(left), {rows});
    sides.append(py::make_tuple(std::move(left_side), kxfast::to_array(std::move(right), {rows})));
  }
  const py::tuple tables = to_tables(std::move(counted));
  return py::make_tuple(tables[0], tables[1], sides);
}

std::vector<std::pair<Array<double>, Array<double>>> entropies(const Codes& codes,
                                                               const std::vector<Codes>& grams, int threads) {
  std::vector<std::pair<Array<double>, Array<double>>> sides;
  std::vector<GramList> lists;
  for (const Codes& each : grams) {
    const py::ssize_t rows = each.shape(0);
    auto& [left, right] = sides.emplace_back(Array<double>(rows), Array<double>(rows));
    lists.push_back(
        {each.data(), rows, static_cast<int>(each.shape(1)), left.mutable_data(), right.mutable_data()});
  }
  PythonJob job(2 * codes.size(), py::none());
  job.run([&] { words::neighbor_entropy(codes.data(), codes.size(), lists, threads, job); });
  return sides;
}

void bind_reader(py::module_& m) {
  py::class_<Reader>(m, "Utf8Runs", "Bytes of UTF-8 to runs of accepted code points.")
      .def(py::init([](const Array<uint8_t>& accepted, bool join, bool bytes) {
             return std::make_unique<Reader>(accepted.data(), join, bytes);
           }),
           py::arg("accepted").noconvert(), py::arg("join"), py::arg("as_bytes"), py::keep_alive<1, 2>())
      .def("__len__", &Reader::size)
      .def(
          "feed",
          [](Reader& self, const py::bytes& data) {
            char* bytes;
            py::ssize_t size;
            if (PyBytes_AsStringAndSize(data.ptr(), &bytes, &size)) throw py::error_already_set();
            py::gil_scoped_release nogil;
            return self.feed(reinterpret_cast<const uint8_t*>(bytes), size);
          },
          py::arg("data"), "Read a chunk; the offset of the file's first bad byte, or -1.")
      .def("append", &Reader::append, py::arg("other"), py::call_guard<py::gil_scoped_release>(),
           "Add what another has read, behind a break.")
      .def("end_of_file", &Reader::end_of_file, "End a file; the offset of its first bad byte, or -1.")
      .def(
          "take_runs",
          [](Reader& self) {
            Buffer<uint32_t> codes = self.take_runs();
            const auto size = static_cast<py::ssize_t>(codes.size());
            return kxfast::to_array(std::move(codes), {size});
          },
          "The code points up to the last break.")
      .def(
          "take_all",
          [](Reader& self) {
            const auto size = static_cast<py::ssize_t>(self.size());
            uint32_t* codes = self.release();
            py::capsule owner(codes ? codes : std::malloc(4), [](void* memory) { std::free(memory); });
            return Codes({size}, static_cast<const uint32_t*>(owner.get_pointer()), owner);
          },
          "All code points.");
}

// Counts of words, and their least ratios: of a word longer than the tables that of its weakest window.
py::tuple word_ratios(const Tables& tables, int64_t total, const WordArrays& listed) {
  const Strings words = strings(listed);
  Numbers counts(words.count);
  Array<double> ratios(words.count);
  int64_t* count = counts.mutable_data();
  double* ratio = ratios.mutable_data();
  PythonJob job(0, py::none());
  job.run([&, grams = views(tables)]() mutable {
    const Cohesion cohesion(std::move(grams), total, job);
    in_stretches(words.count, job, [&](int64_t w) {
      const int64_t length = words.length(w), n = std::min<int64_t>(length, cohesion.orders());
      ratio[w] = std::numeric_limits<double>::quiet_NaN(), count[w] = 0;
      for (int64_t i = 0; i + n <= length; ++i) {
        const uint32_t row = cohesion.find(words.begin(w) + i, static_cast<int>(n));
        if (row == Cohesion::kNone) continue;
        if (n == length) count[w] = cohesion.table(static_cast<int>(n)).counts[row];
        const double least = n > 1 ? cohesion.least_ratio(static_cast<int>(n), row) : ratio[w];
        if (!(ratio[w] <= least)) ratio[w] = least;
      }
    });
  });
  return py::make_tuple(counts, ratios);
}

Array<double> ratios_of(const Tables& tables, int64_t total, int n) {
  Array<double> ratios(tables[static_cast<size_t>(n - 1)].second.size());
  double* ratio = ratios.mutable_data();
  PythonJob job(0, py::none());
  job.run([&, grams = views(tables), rows = ratios.size()]() mutable {
    const Cohesion cohesion(std::move(grams), total, job);
    in_stretches(rows, job, [&](int64_t row) { ratio[row] = cohesion.least_ratio(n, row); });
  });
  return ratios;
}

// Runs keep(cohesion, job) on the tables' cohesion.
template <class Keep>
py::tuple kept_of(const Tables& tables, int64_t total, Keep&& keep) {
  Words kept;
  PythonJob job(0, py::none());
  job.run([&, grams = views(tables)]() mutable { kept = keep(Cohesion(std::move(grams), total, job), job); });
  return to_words(std::move(kept));
}

void bind_counting(py::module_& m) {
  m.def("word_ratios", &word_ratios, py::arg("tables"), py::arg("total"), py::arg("words"),
        "Counts of words and their least ratios.");
  m.def("count_ngrams", &count_all, py::arg("codes").noconvert(), py::arg("max_order"), py::arg("min_count"),
        py::arg("threads"), py::arg("report"),
        "Tables (grams (G, n), counts) of the orders 1 .. max_order, and the total of 1-grams.");
  m.def("count_with_entropies", &count_all_with_entropies, py::arg("codes").noconvert(), py::arg("max_order"),
        py::arg("min_count"), py::arg("threads"), py::arg("report"),
        "The same, and the entropies left and right of each n-gram by order.");
  m.def("neighbor_entropy", &entropies, py::arg("codes").noconvert(), py::arg("grams"), py::arg("threads"),
        "Entropies of the characters left and right of each gram, for arrays of sorted (G, n) grams.");
  m.def("cohesion", &ratios_of, py::arg("tables"), py::arg("total"), py::arg("n"),
        "Least ratio over all splits of each n-gram of one order.");
  m.def(
      "kept_ngrams",
      [](const Tables& tables, int64_t total, const std::vector<double>& min_ratio, bool above) {
        return kept_of(tables, total, [&](const Cohesion& all, Job& job) {
          return kept_ngrams(all, min_ratio, above, job);
        });
      },
      py::arg("tables"), py::arg("total"), py::arg("min_ratio"), py::arg("above"),
      "n-grams whose least ratio is at least (or above) the bound of their length.");
  m.def(
      "kept_pairs",
      [](const Tables& tables, double min_proba, double min_pmi) {
        return kept_of(tables, 0, [&](const Cohesion& all, Job& job) {
          return kept_pairs(all, min_proba, min_pmi, job);
        });
      },
      py::arg("tables"), py::arg("min_proba"), py::arg("min_pmi"),
      "Pairs of probability and PMI above the bounds.");
  m.def(
      "without_redundant",
      [](const WordArrays& words, const Numbers& counts, double threshold) {
        kxfast::PythonJob job(0, py::none());
        Counts left;
        job.run([&] { left = without_redundant(strings(words), counts.data(), threshold, job); });
        return to_counts(std::move(left));
      },
      py::arg("words"), py::arg("counts"), py::arg("threshold"),
      "The lexicon without the words that their parts explain.");
}

}  // namespace
}  // namespace kxfast::words

KXFAST_BINDINGS(words) {
  using namespace kxfast::words;
  bind_counting(m);
  bind_reader(m);
  bind_runs(m);
  bind_segmenter(m);
}
