// Windowed co-occurrence counts of a sequence of word ids.
#pragma once

#include <cstdint>
#include <vector>

#include "core/job.hpp"
#include "core/workspace.hpp"

namespace kxfast::cooccurrence {

enum class Direction { symmetric, left, right };

// Rows of cells in the order of their columns. Values are integers where `exact`, else double.
struct Matrix {
  std::vector<int64_t> indptr;
  Buffer<int32_t> indices;
  Buffer<int64_t> whole;    // uniform weights
  Buffer<double> weighted;  // harmonic weights
};

// ids: 0 .. vocabulary - 1, and -1 between documents. Harmonic weights are 1 / distance.
Matrix count_pairs(const int64_t* ids, int64_t size, int64_t vocabulary, int64_t window, bool harmonic,
                   Direction direction, int threads, Job& job);

}  // namespace kxfast::cooccurrence
