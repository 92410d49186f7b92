// Unigram segmentation: the cheapest path through the words of a lexicon.
#pragma once

#include <cstdint>
#include <vector>

#include "core/job.hpp"
#include "words/trie.hpp"

namespace kxfast::words {

struct Tokens {
  std::vector<int64_t> ends, ids;  // of all documents, one after another; id -1: not a word of the lexicon
  std::vector<int64_t> first;      // first token of each document, and the end
};

class Segmenter {
 public:
  // Word w is codes[offsets[w] : offsets[w + 1]]. `jieba`: cut blocks of jieba's characters only, and join
  // letters.
  Segmenter(const uint32_t* codes, const int64_t* offsets, const double* scores, int64_t words,
            double unknown, bool longest_first, bool jieba);

  Tokens segment(const uint32_t* codes, const int64_t* offsets, int64_t documents, int threads,
                 Job& job) const;

  // Token ends of a path drawn with probability proportional to exp(alpha * score).
  std::vector<int64_t> sample(const uint32_t* codes, int64_t size, double alpha, uint64_t seed) const;

 private:
  struct Scratch {
    std::vector<double> best;
    std::vector<int64_t> link, word;
  };
  struct Output {  // where the tokens of a document go: at most one for each character
    int64_t* ends;
    int64_t* ids;
    int64_t count;
    void put(int64_t end, int64_t id) { ends[count] = end, ids[count++] = id; }
  };

  template <class Visit>
  void words_from(const uint32_t* codes, int64_t at, int64_t size, Visit&& visit) const;
  void cut(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch, Output& out) const;
  void cut_longest_first(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                         Output& out) const;
  void cut_longest_last(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                        Output& out) const;
  void cut_as_jieba(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch, Output& out) const;

  Trie trie_;
  std::vector<int64_t> word_;  // by node; -1: none
  std::vector<double> score_;  // by node
  double unknown_;
  bool longest_first_, jieba_;
};

}  // namespace kxfast::words
