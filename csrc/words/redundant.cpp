// Variant D's removal of words that their parts explain.
//
// Words are tried in turn, and each verdict changes the lexicon that the next ones are cut with, so there is
// nothing to do in parallel: a trie of all words with a count at each node, 0 where the word is out, is
// walked from every position of a word of a few characters. Sums are in the order of the reference. As in the
// original code the total still counts a word while it is tested, and parts that the lexicon does not have
// score -100 and are added to it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "words/discover.hpp"
#include "words/sorting.hpp"

namespace kxfast::words {
namespace {

constexpr double kUnknown = -100, kNever = -std::numeric_limits<double>::infinity();

bool is_alphanumeric(uint32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

class Lexicon {
 public:
  void add(const uint32_t* word, int64_t length, int64_t count) {
    const uint32_t node = trie_.add_string(word, length);
    if (node >= count_.size())
      count_.resize(2 * size_t{node} + 2, 0), word_.resize(count_.size(), {nullptr, 0});
    count_[node] += count;
    word_[node] = {word, length};
    total_ += count;
  }

  void test(const uint32_t* word, int64_t length, double threshold) {
    const uint32_t node = trie_.add_string(word, length);
    const int64_t count = count_[node];
    const double log_total = std::log(static_cast<double>(total_));
    count_[node] = 0;
    cut(word, length, log_total);
    join_alphanumeric(word);
    double score = 0;
    for (size_t t = 0; t < ends_.size(); ++t) {
      const int64_t known = count_of(word + begin(t), ends_[t] - begin(t));
      score += (known ? std::log(static_cast<double>(known)) : kUnknown) - log_total;
    }
    if (!(std::log(static_cast<double>(count)) - log_total - score < threshold)) {
      count_[node] = count;
      return;
    }
    total_ -= count;
    for (size_t t = 0; t < ends_.size(); ++t) add(word + begin(t), ends_[t] - begin(t), count);
  }

  Counts sorted(Job& job) const {
    std::vector<uint32_t> nodes;
    for (uint32_t node = 1; node < count_.size(); ++node)
      if (count_[node]) nodes.push_back(node);
    const auto less = [&](uint32_t a, uint32_t b) {
      const Word &x = word_[a], &y = word_[b];
      return std::lexicographical_compare(x.codes, x.codes + x.length, y.codes, y.codes + y.length);
    };
    sort_in_parts(nodes, less, 0, job);
    Counts out;
    for (const uint32_t node : nodes) {
      out.words.add(word_[node].codes, word_[node].length);
      out.counts.push_back(count_[node]);
    }
    out.total = total_;
    return out;
  }

 private:
  struct Word {
    const uint32_t* codes;
    int64_t length;
  };

  int64_t begin(size_t token) const { return token ? ends_[token - 1] : 0; }

  int64_t count_of(const uint32_t* codes, int64_t length) const {
    uint32_t node = 0;
    for (int64_t i = 0; i < length && node != Trie::kNone; ++i) node = trie_.child(node, codes[i]);
    return node < count_.size() ? count_[node] : 0;
  }

  // Left to right; a tie goes to the longer last word; a lone unknown only where nothing ends.
  void cut(const uint32_t* word, int64_t length, double log_total) {
    best_.assign(static_cast<size_t>(length) + 1, kNever);
    before_.assign(best_.size(), 0);
    best_[0] = 0;
    for (int64_t i = 0; i < length; ++i) {
      const double here = best_[static_cast<size_t>(i)];
      uint32_t node = 0;
      for (int64_t end = i + 1; end <= length; ++end) {
        node = trie_.child(node, word[end - 1]);
        if (node == Trie::kNone) break;
        if (node >= count_.size() || !count_[node]) continue;
        const double path = here + (std::log(static_cast<double>(count_[node])) - log_total);
        const auto e = static_cast<size_t>(end);
        if (path > best_[e]) best_[e] = path, before_[e] = i;
      }
      const auto next = static_cast<size_t>(i) + 1;
      if (best_[next] == kNever) best_[next] = here + kUnknown, before_[next] = i;
    }
    ends_.clear();
    for (int64_t end = length; end > 0; end = before_[static_cast<size_t>(end)]) ends_.push_back(end);
    std::reverse(ends_.begin(), ends_.end());
  }

  // Appends a token of letters, digits and dots to the one before that ends in a letter or digit.
  void join_alphanumeric(const uint32_t* word) {
    size_t kept = 0;
    bool open = false;
    int64_t start = 0;
    for (const int64_t end : std::vector<int64_t>(ends_)) {
      const bool plain =
          std::all_of(word + start, word + end, [](uint32_t c) { return is_alphanumeric(c) || c == '.'; });
      start = end;
      if (open && plain && word[end - 1] != '.') {
        ends_[kept - 1] = end;
        continue;
      }
      ends_[kept++] = end;
      open = !open && is_alphanumeric(word[end - 1]);
    }
    ends_.resize(kept);
  }

  Trie trie_;
  std::vector<int64_t> count_;  // by node
  std::vector<Word> word_;
  int64_t total_ = 0;
  std::vector<double> best_;
  std::vector<int64_t> before_, ends_;
};

}  // namespace

Counts without_redundant(const Strings& words, const int64_t* counts, double threshold, Job& job) {
  Lexicon lexicon;
  in_stretches(words.count, job, [&](int64_t w) { lexicon.add(words.begin(w), words.length(w), counts[w]); });
  std::vector<int64_t> order(static_cast<size_t>(words.count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return words.length(a) > words.length(b); });
  int64_t tried = 0;
  for (const int64_t w : order) {
    if (++tried % 1024 == 0 && !job.advance(0)) break;
    const int64_t length = words.length(w);
    if (length < 2) break;
    lexicon.test(words.begin(w), length, std::isnan(threshold) ? static_cast<double>(length - 1) : threshold);
  }
  return job.stopped() ? Counts() : lexicon.sorted(job);
}

}  // namespace kxfast::words
