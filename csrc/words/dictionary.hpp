// Lines 'word count …' of a dictionary.
#pragma once

#include <cstdint>
#include <vector>

#include "words/kept.hpp"

namespace kxfast::words {

struct Dictionary {
  Words words;
  std::vector<int64_t> counts;
  int64_t bad_line = 0;   // the first that is not of this form, or 0: what follows it is not read
  int64_t bad_byte = -1;  // offset of the first byte that is not UTF-8, or -1: what follows it is not read
};

Dictionary parse_dictionary(const uint8_t* bytes, int64_t size);

}  // namespace kxfast::words
