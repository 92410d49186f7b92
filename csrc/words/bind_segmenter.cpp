// kxfast._native.words.Segmenter
#include <pybind11/stl.h>

#include <cstring>

#include "words/bindings.hpp"
#include "words/dictionary.hpp"
#include "words/segment.hpp"

namespace kxfast::words {

using Edges = Array<double>;  // two for each edge: the first holds parent and code

void bind_segmenter(py::module_& m) {
  m.def(
      "parse_lexicon",
      [](const py::bytes& data) {
        char* bytes;
        py::ssize_t size;
        if (PyBytes_AsStringAndSize(data.ptr(), &bytes, &size)) throw py::error_already_set();
        Dictionary found = parse_dictionary(reinterpret_cast<const uint8_t*>(bytes), size);
        return py::make_tuple(py::object(to_words(std::move(found.words))), to_array(std::move(found.counts)),
                              found.bad_line, found.bad_byte);
      },
      py::arg("data"),
      "Words and counts of lines 'word count …', and the first line and the first byte that are wrong.");
  m.def(
      "build_trie",
      [](const WordArrays& words, const Array<double>& scores) {
        FrozenTrieData built;
        {
          py::gil_scoped_release nogil;
          built = freeze(strings(words), scores.data());
        }
        auto* owned = new std::vector<Edge>(std::move(built.edges));
        py::capsule owner(owned, [](void* memory) { delete static_cast<std::vector<Edge>*>(memory); });
        const auto size = static_cast<py::ssize_t>(2 * owned->size());
        Edges edges({size}, reinterpret_cast<const double*>(owned->data()), owner);
        return py::make_tuple(edges, to_array(std::move(built.words)), built.repeats);
      },
      py::arg("words"), py::arg("scores"),
      "The words as a trie: its edges, the word that ends at each, and whether one is repeated.");
  py::class_<Segmenter>(m, "Segmenter", "Words with their scores, ready to cut.")
      .def(py::init([](const WordArrays&, const Edges& edges, const Array<int32_t>& ids, double unknown,
                       const std::string& tie, bool jieba) {
             const py::ssize_t size = ids.size();
             if (edges.size() != 2 * size || !size || (size & (size - 1)))
               throw std::invalid_argument("edges must be two numbers for each id, and these a power of two");
             const FrozenTrie trie(reinterpret_cast<const Edge*>(edges.data()), ids.data(),
                                   static_cast<size_t>(size));
             return std::make_unique<Segmenter>(trie, unknown, tie == "longest_first", jieba);
           }),
           py::arg("words"), py::arg("edges").noconvert(), py::arg("ids").noconvert(), py::arg("unknown"),
           py::arg("tie"), py::arg("jieba"), py::keep_alive<1, 3>(), py::keep_alive<1, 4>())
      .def(
          "segment",
          [](const Segmenter& self, const Codes& codes, const Numbers& offsets, int threads) {
            PythonJob job(codes.size(), py::none());
            Tokens tokens;
            job.run([&] {
              tokens = self.segment(codes.data(), offsets.data(), offsets.size() - 1, threads, job);
            });
            const auto count = static_cast<py::ssize_t>(tokens.ends.size());
            return py::make_tuple(kxfast::to_array(std::move(tokens.ends), {count}),
                                  kxfast::to_array(std::move(tokens.ids), {count}),
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
