// The corpus cut by kept n-grams, and what is made of the pieces.
#pragma once

#include <cstdint>
#include <vector>

#include "core/job.hpp"
#include "words/kept.hpp"
#include "words/runs.hpp"
#include "words/trie.hpp"

namespace kxfast::words {

enum class Check { kNone, kCut, kStrict };

// The kept n-grams and the known words, which pass every check.
class Members {
 public:
  Members(const Strings& kept, const Strings& known);

  // Length of the longest member that begins at `codes`, at least 1; a break (0) ends every walk.
  int64_t longest(const uint32_t* codes, const uint32_t* end) const;
  bool is_known(const uint32_t* codes, int64_t length) const;
  bool passes(const uint32_t* codes, int64_t length, Check check, int max_length) const;

 private:
  uint32_t node_of(const uint32_t* codes, int64_t length) const;
  bool has_windows(const uint32_t* codes, int64_t length, int64_t width) const;
  Trie trie_;
  std::vector<char> kind_;  // by node
};

// Cuts a corpus where no member covers a gap; the segments that pass, with their counts, as a sorted run.
Bytes segment_run(const uint32_t* codes, int64_t size, const Members& members, Check check, int max_length,
                  int threads, Job& job);

struct Counts {
  Words words;  // in the order of their code points
  std::vector<int64_t> counts;
  int64_t total = 0;  // of all segments, also of those left out
};

// Segments that come at least min_count times, and known words that come at all.
Counts words_of_runs(std::vector<RunReader>& runs, int64_t min_count, const Strings& known, Job& job);

// Variant D's last step: removes each word, longest first, whose parts in the rest of the lexicon explain it
// to within `threshold` nats (NaN: its length - 1), and gives its count to them.
Counts without_redundant(const Strings& words, const int64_t* counts, double threshold, Job& job);

// Entropies (nats) of the characters left and right of words of any lengths, over occurrences with both
// neighbours: rows (word, 0, neighbour) of a block, and the entropies from all blocks.
Bytes neighbor_run(const uint32_t* codes, int64_t size, const Strings& words, bool left, int threads,
                   Job& job);
void entropies_of_runs(std::vector<RunReader>& runs, const Strings& words, double* entropies, Job& job);

}  // namespace kxfast::words
