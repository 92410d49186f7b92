// kxfast._native.cooccurrence: tokens, pairs, runs.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cooccurrence/bindings.hpp"
#include "cooccurrence/count.hpp"
#include "cooccurrence/merge.hpp"
#include "cooccurrence/tokens.hpp"
#include "core/python.hpp"

namespace kxfast::cooccurrence {
namespace {

using Numbers = std::vector<Array<int32_t>>;
using Run = std::vector<Array<uint8_t>>;
using Ranks = std::optional<Array<int32_t>>;

Array<uint8_t> to_numpy(Bytes&& bytes) {
  const auto size = static_cast<py::ssize_t>(bytes.size());
  uint8_t* data = bytes.release();
  if (!data) return Array<uint8_t>(0);
  return Array<uint8_t>({size}, data, py::capsule(data, [](void* memory) { std::free(memory); }));
}

std::vector<Bytestring> views(const Run& run) {
  std::vector<Bytestring> parts;
  for (const Array<uint8_t>& each : run) parts.push_back({each.data(), static_cast<size_t>(each.size())});
  return parts;
}

py::tuple to_python(Rows&& rows, bool harmonic) {
  const auto size = static_cast<py::ssize_t>(rows.numbers.size()),
             cells = static_cast<py::ssize_t>(rows.columns.size());
  py::object data = harmonic ? py::object(kxfast::to_array(std::move(rows.weighted), {cells}))
                             : py::object(to_array(std::move(rows.whole), {cells}));
  return py::make_tuple(Array<uint32_t>(size, rows.numbers.data()), Array<uint32_t>(size, rows.cells.data()),
                        to_array(std::move(rows.columns), {cells}), data);
}

// Numbers of a stretch of the corpus, as a block that can be counted a few groups of rows at a time.
class PairCounter {
 public:
  PairCounter(const Numbers& numbers, const Ranks& rank, int64_t vocabulary, int64_t window,
              const std::string& weighting, const std::string& direction, int threads)
      : window_(window),
        threads_(threads),
        weights_(window, weighting == "harmonic"),
        direction_(direction == "left"    ? Direction::left
                   : direction == "right" ? Direction::right
                                          : Direction::symmetric) {
    std::vector<Piece> pieces;
    for (const Array<int32_t>& each : numbers) pieces.push_back({each.data(), each.size()});
    const int32_t* ranks = rank ? rank->data() : nullptr;
    py::gil_scoped_release nogil;
    block_ = std::make_unique<Block>(pieces, ranks, vocabulary, window, threads);
    bounds_ = row_groups(*block_, 256);
  }

  int64_t groups() const { return static_cast<int64_t>(bounds_.size()) - 1; }
  int64_t tokens() const { return static_cast<int64_t>(block_->positions.size()); }

  Run count(int64_t begin, int64_t end, const py::object& progress) const {
    PythonJob job(tokens(), progress);
    job.done = block_->first[static_cast<size_t>(bounds_[static_cast<size_t>(begin)])];
    std::vector<Bytes> parts;
    job.run([&] {
      parts = count_pairs(*block_, bounds_, begin, end, window_, weights_, direction_, threads_, job);
    });
    Run run;
    for (Bytes& part : parts) run.push_back(to_numpy(std::move(part)));
    return run;
  }

 private:
  int64_t window_;
  int threads_;
  Weights weights_;
  Direction direction_;
  std::unique_ptr<Block> block_;
  std::vector<int64_t> bounds_;
};

py::tuple decoded(const Run& run, int64_t window, const std::string& weighting, int threads) {
  const bool harmonic = weighting == "harmonic";
  const Weights weights(window, harmonic);
  PythonJob job(0, py::none());
  Rows rows;
  job.run([&] { rows = decode(views(run), weights, harmonic, threads, job); });
  return to_python(std::move(rows), harmonic);
}

Merger merger(const std::vector<std::variant<Run, std::string>>& runs, const std::vector<Run>& minus,
              int64_t vocabulary, int64_t window, const std::string& weighting) {
  std::vector<Source> sources;
  for (const auto& run : runs) {
    if (std::holds_alternative<Run>(run))
      sources.emplace_back(views(std::get<Run>(run)));
    else
      sources.emplace_back(std::get<std::string>(run));
  }
  for (const Run& run : minus) sources.emplace_back(views(run));
  return Merger(std::move(sources), runs.size(), vocabulary, Weights(window, weighting == "harmonic").wide);
}

py::object take(Merger& self, int64_t bytes) {
  PythonJob job(0, py::none());
  Bytes part;
  job.run([&] { part = self.take(static_cast<size_t>(bytes), job); });
  if (part.size() == 0) return py::none();
  return to_numpy(std::move(part));
}

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

Array<int32_t> take_numbers(Tokenizer& self) {
  Array<int32_t> out(static_cast<py::ssize_t>(self.numbers.size()), self.numbers.data());
  self.numbers.clear();
  return out;
}

std::vector<py::str> words_of(const Tokenizer& self, const Array<int64_t>& numbers) {
  std::vector<py::str> out;
  for (py::ssize_t i = 0; i < numbers.size(); ++i) {
    const int64_t number = numbers.data()[i];
    if (number < 0 || number >= self.words().size()) throw py::index_error("no word has this number");
    const std::string_view word = self.words().word(number);
    out.emplace_back(word.data(), word.size());
  }
  return out;
}

py::object feed(Tokenizer& self, const py::bytes& data) {
  const std::string_view bytes = data;
  BadByte bad;
  {
    py::gil_scoped_release nogil;
    bad = self.feed(bytes.data(), static_cast<int64_t>(bytes.size()));
  }
  return to_python(bad);
}

void bind_tokenizer(py::module_& m) {
  py::class_<Tokenizer>(m, "Tokenizer", "Text to word numbers, in the order in which words first come.")
      .def(py::init<int>(), py::arg("threads"))
      .def("begin", &Tokenizer::begin, py::arg("offset"), "Begin a file, or a part of it from a byte on.")
      .def("feed", &feed, py::arg("data"),
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
      .def(
          "counts",
          [](const Tokenizer& self) {
            return Array<int64_t>(static_cast<py::ssize_t>(self.counts.size()), self.counts.data());
          },
          "How often each word has come.")
      .def("words", &words_of, py::arg("numbers"), "The words with these numbers.");
}

}  // namespace

void bind_counting(py::module_& m) {
  bind_tokenizer(m);
  py::class_<PairCounter>(m, "PairCounter", "A stretch of the corpus; its pairs as runs of rows.")
      .def(py::init<const Numbers&, const Ranks&, int64_t, int64_t, const std::string&, const std::string&,
                    int>(),
           py::arg("numbers"), py::arg("rank"), py::arg("vocabulary_size"), py::arg("window"),
           py::arg("weighting"), py::arg("direction"), py::arg("threads"))
      .def_property_readonly("groups", &PairCounter::groups)
      .def_property_readonly("tokens", &PairCounter::tokens)
      .def("count", &PairCounter::count, py::arg("begin"), py::arg("end"), py::arg("progress"),
           "The rows of groups begin .. end as a run.");
  py::class_<Merger>(m, "Merger", "The sum of runs, in memory or files, less runs in memory.")
      .def(py::init(&merger), py::arg("runs"), py::arg("minus"), py::arg("vocabulary_size"),
           py::arg("window"), py::arg("weighting"), py::keep_alive<1, 2>(), py::keep_alive<1, 3>())
      .def("take", &take, py::arg("size"), "The next rows as a run of about so many bytes; None at the end.");
  m.def(
      "cells_of",
      [](const Array<uint8_t>& part) { return cells_of({part.data(), static_cast<size_t>(part.size())}); },
      py::arg("part").noconvert(), "The number of cells in a part of a run.");
  m.def("decoded", &decoded, py::arg("run"), py::arg("window"), py::arg("weighting"), py::arg("threads"),
        "A run as (rows, cells of each, columns, values).");
}

}  // namespace kxfast::cooccurrence
