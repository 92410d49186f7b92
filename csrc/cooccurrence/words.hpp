// Words and their numbers: an open hash table over the words' bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kxfast::cooccurrence {

uint64_t hash_of(std::string_view word);

class Words {
 public:
  static constexpr int64_t kNone = -1;

  int64_t size() const { return static_cast<int64_t>(hashes_.size()); }
  std::string_view word(int64_t number) const {
    const size_t at = static_cast<size_t>(number);
    return std::string_view(text_).substr(offsets_[at], offsets_[at + 1] - offsets_[at]);
  }
  uint64_t hash(int64_t number) const { return hashes_[static_cast<size_t>(number)]; }

  int64_t find(std::string_view word, uint64_t hash) const { return slots_[slot_of(word, hash)]; }
  // The number of a word, a new one if it has none; numbers go up by one.
  int64_t add(std::string_view word, uint64_t hash);
  void clear();

 private:
  size_t slot_of(std::string_view word, uint64_t hash) const {
    size_t slot = hash & (slots_.size() - 1);
    for (; slots_[slot] != kNone; slot = (slot + 1) & (slots_.size() - 1)) {
      const int32_t number = slots_[slot];
      if (hashes_[static_cast<size_t>(number)] == hash && this->word(number) == word) break;
    }
    return slot;
  }
  void grow();

  std::string text_;  // all words, one after another
  std::vector<size_t> offsets_{0};
  std::vector<uint64_t> hashes_;
  std::vector<int32_t> slots_ = std::vector<int32_t>(1 << 12, int32_t{kNone});
};

}  // namespace kxfast::cooccurrence
