// One pass over the bytes, one look-up for each token in a table of word numbers. Words are kept once, one
// after another; a slot holds a number, and hashes are compared before bytes. Separators are ASCII, so text
// is UTF-8 if its words are, and only a new word has to be looked at. The look-up's cache miss is the limit
// for large vocabularies.
#include "cooccurrence/tokens.hpp"

#include <cstring>

namespace kxfast::cooccurrence {
namespace {

uint64_t hash_of(const char* data, size_t size) {
  uint64_t hash = size * 0x9E3779B97F4A7C15u;
  for (; size >= 8; data += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
    hash ^= hash >> 32;
  }
  uint64_t word = 0;
  std::memcpy(&word, data, size);
  hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
  return hash ^ hash >> 29;
}

// Offset of the first byte that is not UTF-8 (shortest forms, no surrogates, at most U+10FFFF), or -1.
int64_t bad_byte(const char* data, int64_t size) {
  const auto byte = [data](int64_t i) { return static_cast<unsigned char>(data[i]); };
  for (int64_t i = 0; i < size;) {
    const unsigned first = byte(i);
    const int length = first < 0x80   ? 1
                       : first < 0xC2 ? 0
                       : first < 0xE0 ? 2
                       : first < 0xF0 ? 3
                       : first < 0xF5 ? 4
                                      : 0;
    if (length == 0 || i + length > size) return i;
    unsigned low = 0x80, high = 0xBF;  // bounds of the second byte
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    for (int k = 1; k < length; ++k, low = 0x80, high = 0xBF)
      if (byte(i + k) < low || byte(i + k) > high) return i;
    i += length;
  }
  return -1;
}

bool separates(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

}  // namespace

BadByte Tokenizer::take(const char* data, int64_t size, int64_t at) {
  const size_t length = static_cast<size_t>(size);
  const uint64_t hash = hash_of(data, length);
  size_t slot = hash & (slots_.size() - 1);
  for (; slots_[slot] != kFree; slot = (slot + 1) & (slots_.size() - 1)) {
    const uint32_t number = slots_[slot];
    if (hashes_[number] == hash && word(number) == std::string_view(data, length)) {
      numbers.push_back(number);
      return {};
    }
  }
  if (const int64_t bad = bad_byte(data, size); bad >= 0)
    return {at + bad, static_cast<unsigned char>(data[bad])};
  slots_[slot] = static_cast<uint32_t>(words());
  numbers.push_back(words());
  text_.append(data, length);
  offsets_.push_back(text_.size());
  hashes_.push_back(hash);
  if (2 * hashes_.size() > slots_.size()) grow();
  return {};
}

void Tokenizer::grow() {
  slots_.assign(2 * slots_.size(), kFree);
  for (size_t number = 0; number < hashes_.size(); ++number) {
    size_t slot = hashes_[number] & (slots_.size() - 1);
    while (slots_[slot] != kFree) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = static_cast<uint32_t>(number);
  }
}

BadByte Tokenizer::feed(const char* data, int64_t size) {
  int64_t begin = 0;
  if (offset_ == 0 && size >= 3 && std::memcmp(data, "\xEF\xBB\xBF", 3) == 0) begin = 3;  // a byte order mark
  for (int64_t i = begin; i < size; ++i) {
    if (!separates(data[i])) continue;
    if (!rest_.empty()) {
      rest_.append(data + begin, static_cast<size_t>(i - begin));
      const BadByte bad = take(rest_.data(), static_cast<int64_t>(rest_.size()),
                               offset_ + i - static_cast<int64_t>(rest_.size()));
      if (bad.offset >= 0) return bad;
      rest_.clear();
    } else if (i > begin) {
      const BadByte bad = take(data + begin, i - begin, offset_ + begin);
      if (bad.offset >= 0) return bad;
    }
    if (data[i] == '\n') numbers.push_back(-1);
    line_is_open_ = data[i] != '\n';
    begin = i + 1;
  }
  if (begin < size) {
    rest_.append(data + begin, static_cast<size_t>(size - begin));
    line_is_open_ = true;
  }
  offset_ += size;
  return {};
}

void Tokenizer::document(std::string_view text) {
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && !separates(text[i])) continue;
    if (i > begin) token(text.substr(begin, i - begin));
    begin = i + 1;
  }
  end_document();
}

BadByte Tokenizer::finish() {
  BadByte bad;
  if (!rest_.empty())
    bad =
        take(rest_.data(), static_cast<int64_t>(rest_.size()), offset_ - static_cast<int64_t>(rest_.size()));
  if (line_is_open_) numbers.push_back(-1);
  rest_.clear();
  line_is_open_ = false;
  offset_ = 0;
  return bad;
}

}  // namespace kxfast::cooccurrence
