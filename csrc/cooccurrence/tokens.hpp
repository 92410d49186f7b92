// Text to word numbers: tokens are runs between spaces, tabs and line ends, numbered in the order they first
// come.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kxfast::cooccurrence {

// A byte that is not UTF-8, and where it stands in the stream.
struct BadByte {
  int64_t offset = -1;  // -1: none
  unsigned value = 0;
};

class Tokenizer {
 public:
  Tokenizer() : slots_(1 << 12, kFree) {}

  // Takes the next bytes of a file; a token at their end waits for the next call. Stops at a bad byte.
  BadByte feed(const char* data, int64_t size);
  // Ends a file: its last line needs no line end.
  BadByte finish();

  // One document that is no file's line; it has been checked to be UTF-8.
  void document(std::string_view text);
  void token(std::string_view word) { take(word.data(), static_cast<int64_t>(word.size()), 0); }
  void end_document() { numbers.push_back(-1); }

  std::vector<int64_t> numbers;  // of all tokens, and -1 after each line
  int64_t words() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  std::string_view word(int64_t number) const {
    const size_t begin = offsets_[static_cast<size_t>(number)],
                 end = offsets_[static_cast<size_t>(number) + 1];
    return std::string_view(text_).substr(begin, end - begin);
  }

 private:
  static constexpr uint32_t kFree = UINT32_MAX;
  BadByte take(const char* data, int64_t size, int64_t at);
  void grow();

  std::string text_, rest_;  // all words; the beginning of a token whose end is not there yet
  std::vector<size_t> offsets_{0};
  std::vector<uint64_t> hashes_;
  std::vector<uint32_t> slots_;
  int64_t offset_ = 0;  // of the next byte in its file
  bool line_is_open_ = false;
};

}  // namespace kxfast::cooccurrence
