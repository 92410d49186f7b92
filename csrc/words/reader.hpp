// Bytes of UTF-8 as they come from a file, turned into runs of code points.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "core/workspace.hpp"

namespace kxfast::words {

class Reader {
 public:
  // accepted[c]: whether code point c belongs to runs, for all c < 0x110000. `join`: a break (0) between
  // lines only, else wherever another character stands.
  // `bytes`: bytes are taken as they are, each as a code point, and none is bad.
  Reader(const uint8_t* accepted, bool join, bool bytes) : accepted_(accepted), join_(join), bytes_(bytes) {}
  ~Reader() { std::free(codes_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Where in all bytes fed since `end_of_file` the first that is not UTF-8 is, or -1; such bytes are read as
  // one character outside of runs.
  int64_t feed(const uint8_t* bytes, int64_t size);
  int64_t end_of_file();  // what is left of a character that the end cuts off is reported likewise

  void append(const Reader& other);  // what another has read of whole files or lines, behind a break

  int64_t size() const { return size_; }
  Buffer<uint32_t> take_runs();  // the code points up to the last break
  uint32_t* release();           // all of them, `size()`, in memory that std::free gives back

 private:
  void reserve(int64_t more);
  const uint8_t* feed_usual(const uint8_t* at, const uint8_t* end);
  void put(uint32_t code);
  void bad(int64_t at) {
    if (bad_ < 0) bad_ = at;
    gap_ = gap_ || !join_;
  }
  const uint8_t* accepted_;
  bool join_, bytes_, gap_ = false;
  uint32_t* codes_ = nullptr;
  int64_t size_ = 0, capacity_ = 0, break_ = 0;  // break_: behind the last break
  int64_t offset_ = 0, bad_ = -1;
  uint8_t open_[4] = {};  // a character that the end of the last chunk cut off
  int64_t open_size_ = 0;
};

}  // namespace kxfast::words
