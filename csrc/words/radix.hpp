// Radix sort of packed keys that lie in the cache.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace kxfast::words {

__extension__ typedef unsigned __int128 Wide;

inline int highest_bit(uint64_t x) {
  return 63 - __builtin_clzll(x);
}
inline int highest_bit(Wide x) {
  const auto high = static_cast<uint64_t>(x >> 64);
  return high ? 64 + highest_bit(high) : highest_bit(static_cast<uint64_t>(x));
}
inline int lowest_bit(uint64_t x) {
  return __builtin_ctzll(x);
}
inline int lowest_bit(Wide x) {
  const auto low = static_cast<uint64_t>(x);
  return low ? lowest_bit(low) : 64 + lowest_bit(static_cast<uint64_t>(x >> 64));
}

// Sorts by the bits in which keys differ, least significant digits first; `spare` is as long as `keys`. The
// passes are even in number, so the keys end where they were, and their digits as wide as pays: a pass costs
// a step for each key and one for each value of the digit. The digits of all passes are counted in one.
template <class Key>
void sort_keys(Key* keys, Key* spare, int64_t count) {
  constexpr int kBits = 8 * sizeof(Key), kWidest = 11, kMostPasses = kBits / kWidest + 1;
  static_assert(kMostPasses % 2 == 0);
  if (count < 128 || count > UINT32_MAX) {
    std::sort(keys, keys + count);
    return;
  }
  Key any = 0, all = ~Key{0};
  for (int64_t i = 0; i < count; ++i) any |= keys[i], all &= keys[i];
  if (any == all) return;
  const int low = lowest_bit(any ^ all), bits = highest_bit(any ^ all) + 1 - low;
  int passes = 0, width = 0;
  int64_t least = INT64_MAX;
  for (int p = 2; p <= kMostPasses; p += 2) {
    const int w = (bits + p - 1) / p;
    const int64_t cost = p * (count + (int64_t{1} << w));
    if (w <= kWidest && cost < least) passes = p, width = w, least = cost;
  }
  const auto digits = static_cast<uint32_t>(1) << width;
  const auto digit = [&](Key key, int pass) {  // beyond the highest bit all keys are alike, or the bit itself
    return static_cast<uint32_t>(key >> std::min(low + pass * width, kBits - 1)) & (digits - 1);
  };
  uint32_t next[kMostPasses << kWidest];
  std::fill(next, next + (passes << width), 0u);
  for (int64_t i = 0; i < count; ++i)
    for (int pass = 0; pass < passes; ++pass)
      ++next[(static_cast<uint32_t>(pass) << width) + digit(keys[i], pass)];
  Key *from = keys, *to = spare;
  for (int pass = 0; pass < passes; ++pass) {
    uint32_t* own = next + (pass << width);
    uint32_t sum = 0;
    for (uint32_t d = 0; d < digits; ++d) sum += std::exchange(own[d], sum);
    for (int64_t i = 0; i < count; ++i) to[own[digit(from[i], pass)]++] = from[i];
    std::swap(from, to);
  }
}

}  // namespace kxfast::words
