// kxfast._native.words.Segmenter
#include <pybind11/stl.h>

#include "words/bindings.hpp"
#include "words/segment.hpp"

namespace kxfast::words {

void bind_segmenter(py::module_& m) {
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
            Tokens tokens;
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

}  // namespace kxfast::words
