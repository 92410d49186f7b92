// A slot holds a number; hashes are compared before bytes, so a look-up touches the slot, the hash and the
// word once each: three cache misses for a rare word, none for a common one.
#include "cooccurrence/words.hpp"

#include <cstring>
#include <stdexcept>

namespace kxfast::cooccurrence {

uint64_t hash_of(std::string_view word) {
  const char* data = word.data();
  size_t size = word.size();
  uint64_t hash = size * 0x9E3779B97F4A7C15u;
  for (; size >= 8; data += 8, size -= 8) {
    uint64_t part;
    std::memcpy(&part, data, 8);
    hash = (hash ^ part) * 0xFF51AFD7ED558CCDu;
    hash ^= hash >> 32;
  }
  uint64_t part = 0;
  for (size_t i = 0; i < size; ++i) part |= uint64_t{static_cast<unsigned char>(data[i])} << (8 * i);
  hash = (hash ^ part) * 0xFF51AFD7ED558CCDu;
  return hash ^ hash >> 29;
}

int64_t Words::add(std::string_view word, uint64_t hash) {
  const size_t slot = slot_of(word, hash);
  if (slots_[slot] != kNone) return slots_[slot];
  if (size() == INT32_MAX) throw std::length_error("corpus must have fewer than 2^31 different words");
  const int64_t number = size();
  slots_[slot] = static_cast<int32_t>(number);
  text_.append(word);
  offsets_.push_back(text_.size());
  hashes_.push_back(hash);
  if (2 * hashes_.size() > slots_.size()) grow();
  return number;
}

void Words::clear() {
  text_.clear();
  offsets_.assign(1, 0);
  hashes_.clear();
  slots_.assign(1 << 12, int32_t{kNone});
}

void Words::grow() {
  slots_.assign(2 * slots_.size(), int32_t{kNone});
  for (size_t number = 0; number < hashes_.size(); ++number) {
    size_t slot = hashes_[number] & (slots_.size() - 1);
    while (slots_[slot] != kNone) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = static_cast<int32_t>(number);
  }
}

}  // namespace kxfast::cooccurrence
