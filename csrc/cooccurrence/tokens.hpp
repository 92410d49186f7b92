// Text to word numbers: tokens are runs between spaces, tabs and line ends, numbered in the order in which
// they first come.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cooccurrence/words.hpp"

namespace kxfast::cooccurrence {

// A byte that is not UTF-8, and where it stands in its file.
struct BadByte {
  int64_t offset = -1;  // -1: none
  unsigned value = 0;
};

class Tokenizer {
 public:
  explicit Tokenizer(int threads) : threads_(threads) {}

  // Begins a file, or a part of it whose first byte has this offset.
  void begin(int64_t offset) { offset_ = offset; }
  // Takes the next bytes of a file; a token at their end waits for the next call. Stops at a bad byte.
  BadByte feed(const char* data, int64_t size);
  // Ends a file: its last line needs no line end.
  BadByte finish();

  // One document that is no file's line; it has been checked to be UTF-8.
  void document(std::string_view text);
  void token(std::string_view word);
  void end_document() { numbers.push_back(-1); }

  std::vector<int32_t> numbers;  // of the tokens since they were last taken, and -1 after each line
  std::vector<int64_t> counts;   // of each word
  const Words& words() const { return words_; }

 private:
  struct Lane;  // a part of the bytes of one call
  void append(const Lane& lane);

  Words words_;
  std::string rest_;  // the beginning of a token whose end is not there yet
  int threads_;
  int64_t offset_ = 0;  // of the next byte in its file
  bool line_is_open_ = false;
};

}  // namespace kxfast::cooccurrence
