// Windowed co-occurrence counts of a stretch of word ids.
#pragma once

#include <cstdint>
#include <vector>

#include "cooccurrence/block.hpp"
#include "cooccurrence/runs.hpp"
#include "core/job.hpp"

namespace kxfast::cooccurrence {

enum class Direction { symmetric, left, right };

// What a pair at a distance adds, as integers over a common denominator: sums are exact in any order.
struct Weights {
  Weights(int64_t window, bool harmonic);

  uint64_t scale;  // the denominator; 0 stands for 2^64
  bool wide;       // whether sums can pass 64 bits
  Wide at(int64_t distance) const {
    if (!harmonic_) return 1;
    return wide_scale() / static_cast<Wide>(distance);
  }
  double value(Wide sum) const;
  double value(uint64_t sum) const {
    return static_cast<double>(sum) / static_cast<double>(scale);
  }  // not wide

 private:
  Wide wide_scale() const { return scale ? Wide{scale} : Wide{1} << 64; }
  bool harmonic_;
};

// Groups of rows with about the same number of occurrences: group g is the rows bounds[g] to bounds[g + 1].
std::vector<int64_t> row_groups(const Block& block, int64_t most);

// The rows of groups begin .. end, each group a run. `job` advances by occurrences.
std::vector<Bytes> count_pairs(const Block& block, const std::vector<int64_t>& bounds, int64_t begin,
                               int64_t end, int64_t window, const Weights& weights, Direction direction,
                               int threads, Job& job);

}  // namespace kxfast::cooccurrence
