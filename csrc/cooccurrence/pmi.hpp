// Pointwise mutual information of a matrix of counts in rows.
#pragma once

#include <cstdint>
#include <vector>

#include "core/workspace.hpp"

namespace kxfast::cooccurrence {

template <class Index, class Count>
struct Counts {
  const Index *indptr, *indices;
  const Count* data;
  int64_t size;  // of the vocabulary
};

struct PmiRules {
  bool positive, normalized;
  double shift, smoothing;
};

struct PmiMatrix {
  std::vector<int64_t> indptr;
  Buffer<int32_t> indices;  // with room for all cells of the counts
  Buffer<double> data;
};

// words: counts of the words in the corpus, or null for the marginals of the matrix itself.
template <class Index, class Count>
PmiMatrix pmi(const Counts<Index, Count>& counts, const int64_t* words, const PmiRules& rules, int threads);

}  // namespace kxfast::cooccurrence
