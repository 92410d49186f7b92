// Unigram segmentation: the cheapest path through the words of a lexicon.
#pragma once

#include <cstdint>
#include <vector>

#include "core/job.hpp"
#include "core/workspace.hpp"
#include "words/frozen_trie.hpp"

namespace kxfast::words {

struct Tokens {
  Buffer<int64_t> ends, ids;   // of all documents, one after another; id -1: not a word of the lexicon
  std::vector<int64_t> first;  // first token of each document, and the end
};

class Segmenter {
 public:
  // `jieba`: cut blocks of jieba's characters only, and join letters.
  Segmenter(const FrozenTrie& trie, double unknown, bool longest_first, bool jieba)
      : trie_(trie), unknown_(unknown), longest_first_(longest_first), jieba_(jieba) {}

  Tokens segment(const uint32_t* codes, const int64_t* offsets, int64_t documents, int threads,
                 Job& job) const;

  // Token ends of a path drawn with probability proportional to exp(alpha * score).
  std::vector<int64_t> sample(const uint32_t* codes, int64_t size, double alpha, uint64_t seed) const;

 private:
  static constexpr int64_t kAhead = 64;  // positions whose edges are fetched together
  struct Scratch {
    std::vector<double> best;
    std::vector<uint32_t> link, node;     // by position: where the best word ends or begins, and its node
    std::vector<uint32_t> first, second;  // nodes one and two characters from a position, or kNone
  };
  struct Output {
    std::vector<uint32_t> ends;  // in characters from where the task begins
    std::vector<int32_t> ids;
    void put(int64_t end, int32_t id) { ends.push_back(static_cast<uint32_t>(end)), ids.push_back(id); }
  };

  template <class Visit>
  void words_from(const uint32_t* codes, int64_t at, int64_t size, Visit&& visit) const;
  void look_ahead(const uint32_t* codes, int64_t begin, int64_t end, int64_t size, Scratch& scratch) const;
  template <class Visit>
  void words_seen(const uint32_t* codes, int64_t at, int64_t size, const Scratch& scratch,
                  Visit&& visit) const;
  void cut(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch, Output& out) const;
  void cut_longest_first(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                         Output& out) const;
  void cut_longest_last(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                        Output& out) const;
  void cut_as_jieba(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch, Output& out) const;

  int32_t id_of(uint32_t node) const { return node == FrozenTrie::kNone ? -1 : trie_.word(node); }
  FrozenTrie trie_;
  double unknown_;
  bool longest_first_, jieba_;
};

}  // namespace kxfast::words
