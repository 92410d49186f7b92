// The bytes of a call are divided between tokens into lanes of at least 64 KB, which are read at the same
// time. A lane looks its tokens up in the table of all words, which nobody changes meanwhile, and numbers
// words that are not there in a table of its own; these are then added in the order of the text, so numbers
// do not depend on the lanes. After the first megabytes new words are rare, and this part costs nothing.
// Separators are ASCII: text is UTF-8 if its words are, and only a new word has to be looked at. The limit is
// the look-up's cache misses for large vocabularies.
#include "cooccurrence/tokens.hpp"

#include <algorithm>
#include <cstring>

#include "core/threads.hpp"

namespace kxfast::cooccurrence {
namespace {

constexpr int32_t kBreak = -1;
constexpr int64_t kLane = 1 << 16;

// Offset of the first byte that is not UTF-8 (shortest forms, no surrogates, at most U+10FFFF), or -1.
int64_t bad_byte(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (size_t i = 0; i < text.size();) {
    const unsigned first = byte(i);
    const size_t length = first < 0x80   ? 1
                          : first < 0xC2 ? 0
                          : first < 0xE0 ? 2
                          : first < 0xF0 ? 3
                          : first < 0xF5 ? 4
                                         : 0;
    if (length == 0 || i + length > text.size()) return static_cast<int64_t>(i);
    unsigned low = 0x80, high = 0xBF;  // bounds of the second byte
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    for (size_t k = 1; k < length; ++k, low = 0x80, high = 0xBF)
      if (byte(i + k) < low || byte(i + k) > high) return static_cast<int64_t>(i);
    i += length;
  }
  return -1;
}

bool separates(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

}  // namespace

struct Tokenizer::Lane {
  const char* data;
  int64_t size, offset;          // where it begins in the file
  std::vector<int32_t> numbers;  // -2 - k: word k of `fresh`
  Words fresh;
  BadByte bad;

  void read(const Words& known) {
    numbers.reserve(static_cast<size_t>(size) / 4 + 16);
    int64_t begin = 0;
    for (int64_t i = 0; i < size; ++i) {
      if (!separates(data[i])) continue;
      if (i > begin && !take(known, begin, i)) return;
      if (data[i] == '\n') numbers.push_back(kBreak);
      begin = i + 1;
    }
    if (size > begin) take(known, begin, size);
  }

  bool take(const Words& known, int64_t begin, int64_t end) {
    const std::string_view word(data + begin, static_cast<size_t>(end - begin));
    const uint64_t hash = hash_of(word);
    int64_t number = known.find(word, hash);
    if (number == Words::kNone) {
      const int64_t before = fresh.size();
      number = -2 - fresh.add(word, hash);
      if (fresh.size() > before)
        if (const int64_t at = bad_byte(word); at >= 0) {
          bad = {offset + begin + at, static_cast<unsigned char>(word[static_cast<size_t>(at)])};
          return false;
        }
    }
    numbers.push_back(static_cast<int32_t>(number));
    return true;
  }
};

void Tokenizer::append(const Lane& lane) {
  std::vector<int32_t> number_of;
  for (int64_t k = 0; k < lane.fresh.size(); ++k)
    number_of.push_back(static_cast<int32_t>(words_.add(lane.fresh.word(k), lane.fresh.hash(k))));
  counts.resize(static_cast<size_t>(words_.size()), 0);
  const size_t before = numbers.size();
  numbers.resize(before + lane.numbers.size());
  int32_t* out = numbers.data() + before;
  for (const int32_t each : lane.numbers) {
    const int32_t number = each < kBreak ? number_of[static_cast<size_t>(-2 - each)] : each;
    *out++ = number;
    if (number != kBreak) ++counts[static_cast<size_t>(number)];
  }
}

BadByte Tokenizer::feed(const char* data, int64_t size) {
  int64_t begin = 0;
  if (offset_ == 0 && size >= 3 && std::memcmp(data, "\xEF\xBB\xBF", 3) == 0) begin = 3;  // a byte order mark
  if (size > begin) line_is_open_ = data[size - 1] != '\n';
  std::vector<Lane> lanes;
  if (!rest_.empty()) {
    const int64_t joined = begin;
    while (begin < size && !separates(data[begin])) ++begin;
    rest_.append(data + joined, static_cast<size_t>(begin - joined));
    if (begin == size) {
      offset_ += size;
      return {};
    }
    const int64_t length = static_cast<int64_t>(rest_.size());
    lanes.push_back({rest_.data(), length, offset_ + begin - length, {}, {}, {}});
  }
  int64_t end = size;
  while (end > begin && !separates(data[end - 1])) --end;
  const int64_t share =
      std::max(kLane, (end - begin) / (2 * std::max(1, threads_ ? threads_ : num_threads())) + 1);
  for (int64_t at = begin; at < end;) {
    int64_t stop = std::min(end, at + share);
    while (stop < end && !separates(data[stop - 1])) ++stop;
    lanes.push_back({data + at, stop - at, offset_ + at, {}, {}, {}});
    at = stop;
  }
  const auto read = [&](int64_t k) { lanes[static_cast<size_t>(k)].read(words_); };
  parallel_for(static_cast<int64_t>(lanes.size()), read, threads_);
  for (const Lane& lane : lanes) {
    if (lane.bad.offset >= 0) return lane.bad;
    append(lane);
  }
  rest_.assign(data + end, static_cast<size_t>(size - end));
  offset_ += size;
  return {};
}

BadByte Tokenizer::finish() {
  Lane lane{rest_.data(),
            static_cast<int64_t>(rest_.size()),
            offset_ - static_cast<int64_t>(rest_.size()),
            {},
            {},
            {}};
  lane.read(words_);
  append(lane);
  if (line_is_open_) end_document();
  rest_.clear();
  line_is_open_ = false;
  offset_ = 0;
  return lane.bad;
}

void Tokenizer::token(std::string_view word) {
  const int64_t number = words_.add(word, hash_of(word));
  counts.resize(static_cast<size_t>(words_.size()), 0);
  ++counts[static_cast<size_t>(number)];
  numbers.push_back(static_cast<int32_t>(number));
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

}  // namespace kxfast::cooccurrence
