// kxfast._native.words: sorted runs, made of blocks of a corpus and merged into results.
#include <pybind11/stl.h>

#include <algorithm>

#include "words/bindings.hpp"

namespace kxfast::words {
namespace {

// A run stays in memory as an array of bytes, or is written to a file of which the path is returned.
py::object keep_run(std::vector<Bytes>&& parts, const py::object& path) {
  size_t size = 0;
  for (const Bytes& part : parts) size += part.size();
  if (path.is_none()) {
    Buffer<uint8_t> whole(size);
    uint8_t* at = whole.data();
    for (Bytes& part : parts) at = std::copy(part.begin(), part.end(), at), Bytes().swap(part);
    return kxfast::to_array(std::move(whole), {static_cast<py::ssize_t>(size)});
  }
  File file(path.cast<std::string>(), "wb");
  for (const Bytes& part : parts) file.write(part);
  file.close();
  return path;
}

py::object keep_run(Bytes&& run, const py::object& path) {
  std::vector<Bytes> parts;
  parts.push_back(std::move(run));
  return keep_run(std::move(parts), path);
}

// Readers of runs that are paths or arrays of bytes; what all files' buffers take is 32 MiB at most.
std::vector<RunReader> readers(const std::vector<py::object>& runs) {
  std::vector<RunReader> out;
  out.reserve(runs.size());
  const size_t buffer = std::min<size_t>(1 << 20, (size_t{32} << 20) / (runs.size() + 1));
  for (const py::object& run : runs)
    if (py::isinstance<py::str>(run)) {
      out.emplace_back(run.cast<std::string>(), buffer);
    } else {
      const auto bytes = run.cast<Array<uint8_t>>();
      out.emplace_back(bytes.data(), static_cast<size_t>(bytes.size()));
    }
  return out;
}

py::object run_of_ngrams(const Codes& codes, int order, bool kenlm, int threads, py::object report,
                         py::object path) {
  PythonJob job(codes.size(), std::move(report));
  std::vector<Bytes> parts;
  job.run([&] {
    if (kenlm) {
      const std::vector<uint32_t> padded = pad_runs(codes.data(), codes.size(), order, job);
      parts = words::ngram_run(padded.data(), static_cast<int64_t>(padded.size()), order, threads, job);
    } else {
      parts = words::ngram_run(codes.data(), codes.size(), order, threads, job);
    }
  });
  return keep_run(std::move(parts), path);
}

py::object run_of_segments(const Codes& codes, const WordArrays& kept, const WordArrays& known,
                           const std::string& check, int max_length, int threads, py::object report,
                           py::object path) {
  const Check rule = check == "cut" ? Check::kCut : check == "strict" ? Check::kStrict : Check::kNone;
  PythonJob job(codes.size(), std::move(report));
  Bytes run;
  job.run([&] {
    const Members members(strings(kept), strings(known));
    run = words::segment_run(codes.data(), codes.size(), members, rule, max_length, threads, job);
  });
  return keep_run(std::move(run), path);
}

py::object run_of_neighbors(const Codes& codes, const WordArrays& words, bool left, int threads,
                            py::object report, py::object path) {
  PythonJob job(codes.size(), std::move(report));
  Bytes run;
  job.run([&] { run = words::neighbor_run(codes.data(), codes.size(), strings(words), left, threads, job); });
  return keep_run(std::move(run), path);
}

py::object run_of_runs(const std::vector<py::object>& runs, py::object path) {
  PythonJob job(0, py::none());
  std::vector<RunReader> opened = readers(runs);
  RunWriter merged;
  std::unique_ptr<File> file;
  if (!path.is_none()) file = std::make_unique<File>(path.cast<std::string>(), "wb");
  job.run([&] {
    words::merge_runs(opened, job, [&](const uint32_t* codes, int64_t length, int64_t count) {
      merged.add(codes, length, count);
      if (file && merged.bytes.size() > 1 << 20) file->write(merged.bytes), merged.bytes.clear();
    });
  });
  if (!file) return keep_run(std::move(merged.bytes), path);
  file->write(merged.bytes);
  file->close();
  return path;
}

py::tuple tables_from(const std::vector<py::object>& runs, int max_order, int64_t min_count, bool kenlm) {
  PythonJob job(0, py::none());
  std::vector<RunReader> opened = readers(runs);
  Counted counted;
  job.run([&] {
    counted = kenlm ? kenlm_tables_of_runs(opened, max_order, min_count, job)
                    : words::tables_of_runs(opened, max_order, min_count, job);
  });
  return to_tables(std::move(counted));
}

}  // namespace

void bind_runs(py::module_& m) {
  m.def("ngram_run", &run_of_ngrams, py::arg("codes").noconvert(), py::arg("order"), py::arg("kenlm"),
        py::arg("threads"), py::arg("report"), py::arg("path"),
        "The n-grams of one order, and those that a run's end cuts off, with their counts, as a sorted run.");
  m.def("segment_run", &run_of_segments, py::arg("codes").noconvert(), py::arg("kept"), py::arg("known"),
        py::arg("check"), py::arg("max_length"), py::arg("threads"), py::arg("report"), py::arg("path"),
        "The segments of a corpus that pass the check back, with their counts, as a sorted run.");
  m.def("neighbor_run", &run_of_neighbors, py::arg("codes").noconvert(), py::arg("words"), py::arg("left"),
        py::arg("threads"), py::arg("report"), py::arg("path"),
        "The characters beside each word, with their counts, as a sorted run.");
  m.def(
      "run_of_words",
      [](const WordArrays& words, const Numbers& counts) {
        const Strings rows = strings(words);
        RunWriter run;
        for (int64_t w = 0; w < rows.count; ++w) run.add(rows.begin(w), rows.length(w), counts.data()[w]);
        return keep_run(std::move(run.bytes), py::none());
      },
      py::arg("words"), py::arg("counts"), "A run of words in order of code points.");
  m.def("merge_runs", &run_of_runs, py::arg("runs"), py::arg("path"), "One run of several.");
  m.def("tables_of_runs", &tables_from, py::arg("runs"), py::arg("max_order"), py::arg("min_count"),
        py::arg("kenlm"), "The tables and the total that count_ngrams gives, from runs of n-grams.");
  m.def(
      "words_of_runs",
      [](const std::vector<py::object>& runs, int64_t min_count, const WordArrays& known) {
        PythonJob job(0, py::none());
        std::vector<RunReader> opened = readers(runs);
        Counts found;
        job.run([&] { found = words_of_runs(opened, min_count, strings(known), job); });
        return to_counts(std::move(found));
      },
      py::arg("runs"), py::arg("min_count"), py::arg("known"),
      "Frequent and known segments in order of code points, their counts, and the total of all.");
  m.def(
      "entropies_of_runs",
      [](const std::vector<py::object>& runs, const WordArrays& words) {
        PythonJob job(0, py::none());
        std::vector<RunReader> opened = readers(runs);
        Array<double> entropies(words.second.size() - 1);
        double* out = entropies.mutable_data();
        job.run([&] { entropies_of_runs(opened, strings(words), out, job); });
        return entropies;
      },
      py::arg("runs"), py::arg("words"), "Entropies of the words' neighbours, from runs of neighbours.");
}

}  // namespace kxfast::words
