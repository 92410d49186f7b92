// What the files of this stem's bindings share.
#pragma once

#include <memory>

#include "core/python.hpp"
#include "words/discover.hpp"
#include "words/ngrams.hpp"

namespace kxfast::words {

using Codes = Array<uint32_t>;
using Numbers = Array<int64_t>;

// Moves a vector into a NumPy array.
template <class T>
Array<T> to_array(std::vector<T>&& vector) {
  auto owned = std::make_unique<std::vector<T>>(std::move(vector));
  const auto size = static_cast<py::ssize_t>(owned->size());
  T* data = owned->data();
  py::capsule owner(owned.release(), [](void* memory) { delete static_cast<std::vector<T>*>(memory); });
  return Array<T>({size}, data, owner);
}

using WordArrays = std::pair<Codes, Numbers>;  // code points, offsets

inline Strings strings(const WordArrays& words) {
  return {words.first.data(), words.second.data(), words.second.size() - 1};
}

inline py::tuple to_tables(Counted&& counted) {
  py::list tables;
  for (size_t n = 1; n <= counted.tables.size(); ++n) {
    Table& table = counted.tables[n - 1];
    const auto rows = static_cast<py::ssize_t>(table.counts.size());
    auto grams = kxfast::to_array(std::move(table.grams), {rows, static_cast<py::ssize_t>(n)});
    tables.append(py::make_tuple(std::move(grams), kxfast::to_array(std::move(table.counts), {rows})));
  }
  return py::make_tuple(tables, counted.total);
}

inline py::tuple to_words(Words&& words) {
  return py::make_tuple(to_array(std::move(words.codes)), to_array(std::move(words.offsets)));
}

inline py::tuple to_counts(Counts&& found) {
  return py::make_tuple(to_array(std::move(found.words.codes)), to_array(std::move(found.words.offsets)),
                        to_array(std::move(found.counts)), found.total);
}

void bind_runs(py::module_& m);
void bind_segmenter(py::module_& m);

}  // namespace kxfast::words
