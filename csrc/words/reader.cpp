// UTF-8 to runs of code points, one pass, a chunk at a time.
//
// What is and what is not a character is decided as Python's decoder does it: a sequence ends at the first
// byte that cannot continue it, and reading goes on with that byte. A character that a chunk cuts off waits
// for the next. The pass is a few instructions for each character, a table look-up among them; a mispredicted
// branch at each punctuation mark limits it.
#include "words/reader.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "words/utf8.hpp"

namespace kxfast::words {
namespace {

constexpr uint32_t kByteOrderMark = 0xFEFF;

}  // namespace

void Reader::reserve(int64_t more) {
  if (size_ + more <= capacity_) return;
  capacity_ = std::max(size_ + more, capacity_ + capacity_ / 2);
  void* moved = std::realloc(codes_, static_cast<size_t>(capacity_) * sizeof(uint32_t));
  if (!moved) throw std::bad_alloc();
  codes_ = static_cast<uint32_t*>(moved);
}

// ASCII and most characters of three bytes, all of Chinese among them, up to the first that is neither: the
// loop keeps its state in registers and needs no check beyond the continuation bytes.
const uint8_t* Reader::feed_usual(const uint8_t* at, const uint8_t* end) {
  uint32_t* out = codes_ + size_;
  bool gap = gap_;
  while (end - at >= 3) {
    uint32_t code = at[0];
    int length = 1;
    if (code >= 0x80) {
      const bool usual = code >= 0xE1 && code <= 0xEF && code != 0xED;
      if (!usual || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80) break;
      code = (code & 0x0F) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
      length = 3;
    }
    at += length;
    if (accepted_[code]) {
      if (gap && out != codes_) *out++ = 0, break_ = out - codes_;
      gap = false;
      *out++ = code;
    } else if (!join_ || code == '\n') {
      gap = true;
    }
  }
  size_ = out - codes_, gap_ = gap;
  return at;
}

void Reader::put(uint32_t code) {
  if (accepted_[code]) {
    if (gap_ && size_) codes_[size_++] = 0, break_ = size_;
    gap_ = false;
    codes_[size_++] = code;
  } else if (!join_ || code == '\n') {
    gap_ = true;
  }
}

int64_t Reader::feed(const uint8_t* bytes, int64_t size) {
  reserve(2 * (size + 4));
  if (bytes_) {
    for (int64_t i = 0; i < size; ++i) put(bytes[i]);
    return -1;
  }
  const uint8_t *at = bytes, *end = bytes + size;
  uint8_t low, high;
  while (at < end || open_size_) {
    const bool at_start = offset_ == 0 && at == bytes;  // where a byte order mark may be
    if (!open_size_ && !at_start) at = feed_usual(at, end);
    if (at == end && !open_size_) break;
    // The bytes of one character: those that wait, then new ones.
    uint8_t whole[4];
    int64_t have = open_size_;
    std::memcpy(whole, open_, 4);
    const int64_t start = offset_ + (at - bytes) - have;
    open_size_ = 0;
    if (!have) whole[have++] = *at++;
    const int length = opened_by(whole[0], low, high);
    for (; have < length && at < end; ++have, ++at) {
      const bool fits = have == 1 ? *at >= low && *at <= high : (*at & 0xC0) == 0x80;
      if (!fits) break;
      whole[have] = *at;
    }
    if (have < length && at == end) {
      std::memcpy(open_, whole, 4);
      open_size_ = have;
      break;
    }
    if (have < length || !length) {
      bad(start);
      continue;
    }
    uint32_t code = length == 1 ? whole[0] : whole[0] & (0x7Fu >> length);
    for (int i = 1; i < length; ++i) code = code << 6 | (whole[i] & 0x3F);
    if (start == 0 && code == kByteOrderMark) continue;  // a byte order mark is no character
    put(code);
  }
  offset_ += size;
  return bad_;
}

void Reader::append(const Reader& other) {
  if (!other.size_) return;
  reserve(other.size_ + 1);
  if (size_) codes_[size_++] = 0, break_ = size_;
  std::memcpy(codes_ + size_, other.codes_, static_cast<size_t>(other.size_) * sizeof(uint32_t));
  if (other.break_) break_ = size_ + other.break_;
  size_ += other.size_;
}

int64_t Reader::end_of_file() {
  if (open_size_) bad(offset_ - open_size_);
  const int64_t found = bad_;
  gap_ = true;
  offset_ = open_size_ = 0, bad_ = -1;
  return found;
}

Buffer<uint32_t> Reader::take_runs() {
  Buffer<uint32_t> out(static_cast<size_t>(std::max<int64_t>(break_ - 1, 0)));
  if (out.size()) std::memcpy(out.data(), codes_, out.size() * sizeof(uint32_t));
  size_ -= break_;
  if (size_ && break_) std::memmove(codes_, codes_ + break_, static_cast<size_t>(size_) * sizeof(uint32_t));
  break_ = 0;
  return out;
}

uint32_t* Reader::release() {
  size_ = capacity_ = break_ = 0;
  return std::exchange(codes_, nullptr);
}

}  // namespace kxfast::words
