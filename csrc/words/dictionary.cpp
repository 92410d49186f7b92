// One pass over the bytes of a dictionary; words become code points at once, no string object is made.
#include "words/dictionary.hpp"

#include "words/utf8.hpp"

namespace kxfast::words {
namespace {

bool is_space(uint8_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

}  // namespace

Dictionary parse_dictionary(const uint8_t* bytes, int64_t size) {
  Dictionary out;
  const uint8_t *at = bytes, *end = bytes + size;
  if (size >= 3 && at[0] == 0xEF && at[1] == 0xBB && at[2] == 0xBF) at += 3;
  const auto skip_spaces = [&] {
    while (at < end && *at != '\n' && is_space(*at)) ++at;
  };
  for (int64_t line = 1; at < end; ++line) {
    skip_spaces();
    const uint8_t* word = at;
    const size_t begin = out.words.codes.size();
    while (at < end && !is_space(*at)) {
      const Utf8 next = decode_utf8(at, end);
      if (!next.length) {
        out.bad_byte = at - bytes;
        out.words.codes.resize(begin);
        return out;
      }
      out.words.codes.push_back(next.code);
      at += next.length;
    }
    skip_spaces();
    if (word != at) {
      int64_t count = 0;
      int digits = 0;
      for (; at < end && *at >= '0' && *at <= '9' && digits < 18; ++at, ++digits)
        count = 10 * count + (*at - '0');
      if (!digits || (at < end && !is_space(*at))) {
        out.words.codes.resize(begin);
        out.bad_line = line;
        return out;
      }
      out.words.offsets.push_back(static_cast<int64_t>(out.words.codes.size()));
      out.counts.push_back(count);
    }
    while (at < end && *at != '\n') ++at;
    ++at;
  }
  return out;
}

}  // namespace kxfast::words
