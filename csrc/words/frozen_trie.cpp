// Building a frozen trie: one insertion for each character that a word does not share with the word before
// it.
//
// A double array was tried: the families of a dictionary's first characters are wide and lie badly, so it
// took twice the memory and 0.65 s or more to pack for 349 000 words; it was faster to walk.
#include "words/frozen_trie.hpp"

#include <limits>

namespace kxfast::words {
namespace {

constexpr double kNoWord = -std::numeric_limits<double>::infinity();

// False if an edge finds no place near enough, or more than 5/8 of the places are taken.
bool fill(const Strings& words, const double* scores, FrozenTrieData& out) {
  const auto mask = static_cast<uint32_t>(out.edges.size() - 1);
  auto free = static_cast<int64_t>(out.edges.size() / 8 * 5);
  std::vector<uint32_t> path;  // nodes of the word before
  for (int64_t w = 0; w < words.count; ++w) {
    const uint32_t* word = words.begin(w);
    const int64_t length = words.length(w);
    size_t shared = 0;
    if (w) {
      const uint32_t* before = words.begin(w - 1);
      while (shared < path.size() && static_cast<int64_t>(shared) < length && word[shared] == before[shared])
        ++shared;
    }
    path.resize(shared);
    for (int64_t i = static_cast<int64_t>(shared); i < length; ++i) {
      const uint32_t parent = path.empty() ? FrozenTrie::kRoot : path.back();
      uint32_t at = FrozenTrie::hash(parent, word[i]) & mask, probe = 0;
      for (; out.edges[at].parent != FrozenTrie::kFree; at = (at + 1) & mask, ++probe)
        if (out.edges[at].parent == parent && (out.edges[at].code & Edge::kCode) == word[i]) break;
      if (out.edges[at].parent == FrozenTrie::kFree) --free;
      if (probe >= FrozenTrie::kProbes || free < 0) return false;
      if (out.edges[at].parent == FrozenTrie::kFree) out.edges[at].code = word[i];
      out.edges[at].parent = parent;
      if (parent != FrozenTrie::kRoot) out.edges[parent].code |= Edge::bit_of(word[i]);
      path.push_back(at);
    }
    out.repeats = out.repeats || out.words[path.back()] >= 0;
    out.edges[path.back()].score = scores[w];
    out.words[path.back()] = static_cast<int32_t>(w);
  }
  return true;
}

}  // namespace

FrozenTrieData freeze(const Strings& words, const double* scores) {
  size_t size = 256;
  while (size < 2 * static_cast<size_t>(words.offsets[words.count]))
    size *= 2;  // words share their beginnings
  FrozenTrieData out;
  do {
    out.edges.assign(size, Edge{FrozenTrie::kFree, 0, kNoWord});
    out.words.assign(size, -1);
    out.repeats = false;
    size *= 2;
  } while (!fill(words, scores, out));
  return out;
}

}  // namespace kxfast::words
