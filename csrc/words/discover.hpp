// Word discovery, variants C ("cut") and B ("strict").
#pragma once

#include <cstdint>
#include <vector>

#include "core/job.hpp"

namespace kxfast::words {

struct Discovered {
  std::vector<uint32_t> codes;   // the words one after another
  std::vector<int64_t> offsets;  // where each begins, and the end
  std::vector<int64_t> counts;   // falling
};

struct Rules {
  int max_length;
  int64_t min_count;
  std::vector<double> min_ratio;  // by length - 1
  bool strict;  // B: ratios must be above the bound, and every window of 3 characters or more must be kept
};

Discovered discover(const uint32_t* codes, int64_t size, const Rules& rules, int threads, Job& job);

}  // namespace kxfast::words
