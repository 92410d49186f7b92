// One character of UTF-8.
#pragma once

#include <cstdint>

namespace kxfast::words {

// Length of the character that `lead` opens, 0 if it opens none; [low, high] is what may follow it.
inline int opened_by(uint8_t lead, uint8_t& low, uint8_t& high) {
  low = 0x80, high = 0xBF;
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  if (lead < 0xE0) return 2;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead < 0xF0) return 3;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  return 4;
}

struct Utf8 {
  uint32_t code;
  int length;  // 0: no character begins here
};

inline Utf8 decode_utf8(const uint8_t* at, const uint8_t* end) {
  uint8_t low, high;
  const int length = opened_by(*at, low, high);
  if (length < 2) return {*at, length};
  if (end - at < length || at[1] < low || at[1] > high) return {0, 0};
  uint32_t code = *at & (0x7Fu >> length);
  for (int i = 1; i < length; ++i) {
    if ((at[i] & 0xC0) != 0x80) return {0, 0};
    code = code << 6 | (at[i] & 0x3Fu);
  }
  return {code, length};
}

}  // namespace kxfast::words
