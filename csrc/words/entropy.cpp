// Entropy of the neighbours of n-grams of several orders, by the sort that counts them.
//
// For the right side each position with a left neighbour gives the key of the ids that follow it, one more
// than the highest order; after the sort the occurrences of an n-gram of any order lie together and their
// neighbours in runs, so that one sort serves all orders, and a scan of each bucket for each order yields the
// entropies. The left side is the same with the text read backwards. A bucket's n-grams that are asked for
// are sorted beside it and merged with the scan. The sort is the limit. A sort for each order and side, of
// keys no longer than needed, was tried and took twice the time.
#include <cmath>
#include <stdexcept>

#include "words/buckets.hpp"
#include "words/ngrams.hpp"

namespace kxfast::words {
namespace {

// The n-grams of one order that are asked for, by their first id (on the left side: their last).
struct Wanted {
  int order;
  std::vector<uint32_t> ids;   // n each; 0: a character that the corpus does not have
  std::vector<int64_t> rows;   // grouped by id
  std::vector<int64_t> begin;  // of each id in `rows`

  Wanted(const GramList& list, const std::vector<uint32_t>& id_of, size_t alphabet, bool left)
      : order(list.order), ids(static_cast<size_t>(list.rows * list.order)), begin(alphabet + 1, 0) {
    for (size_t k = 0; k < ids.size(); ++k) ids[k] = id_of[list.grams[k]];
    rows.resize(static_cast<size_t>(list.rows));
    for (int64_t row = 0; row < list.rows; ++row) ++begin[head(row, left) + 1];
    for (size_t id = 1; id < begin.size(); ++id) begin[id] += begin[id - 1];
    std::vector<int64_t> next(begin);
    for (int64_t row = 0; row < list.rows; ++row) rows[static_cast<size_t>(next[head(row, left)]++)] = row;
  }
  uint32_t head(int64_t row, bool left) const {
    return ids[static_cast<size_t>(row * order + (left ? order - 1 : 0))];
  }
};

template <class Key>
class Side {
 public:
  Side(const Corpus& corpus, int order, bool left) : corpus_(corpus), order_(order), left_(left) {}

  void run(const std::vector<Wanted>& wanted, const std::vector<double*>& entropy, int threads,
           Job& job) const {
    // A position without the other neighbour is kept as one that has none on this side either.
    const auto key_of = [](Key key, uint32_t other) { return other ? key : 0; };
    Buckets<Key> buckets(corpus_, order_, left_, key_of, threads, job);
    const auto scan = [&](int64_t, uint32_t id, const Key* keys, int64_t count) {
      for (size_t t = 0; t < wanted.size(); ++t) find(wanted[t], id, keys, count, entropy[t]);
    };
    buckets.sort_each(scan, threads, job);
  }

 private:
  void find(const Wanted& wanted, uint32_t id, const Key* keys, int64_t count, double* entropy) const {
    const int bits = corpus_.bits, n = wanted.order, shift = bits * (order_ - n);
    const Key neighbor = (Key{1} << bits) - 1;
    std::vector<std::pair<Key, int64_t>> grams;  // the ids behind the first, and the row
    for (int64_t at = wanted.begin[id]; at < wanted.begin[id + 1]; ++at) {
      const int64_t row = wanted.rows[static_cast<size_t>(at)];
      const uint32_t* gram = &wanted.ids[static_cast<size_t>(row * n)];
      Key key = 0;
      for (int k = 1; k < n; ++k) key = key << bits | (left_ ? gram[n - 1 - k] : gram[k]);
      grams.emplace_back(key, row);
    }
    if (left_) std::sort(grams.begin(), grams.end());
    int64_t at = 0;
    for (const auto& [gram, row] : grams) {
      while (at < count && keys[at] >> shift >> bits < gram) ++at;
      while (at < count && keys[at] >> shift >> bits == gram && !(keys[at] >> shift & neighbor)) ++at;
      const int64_t first = at;
      while (at < count && keys[at] >> shift >> bits == gram) ++at;
      entropy[row] = of_runs(keys + first, at - first, shift);
    }
  }

  static double of_runs(const Key* keys, int64_t count, int shift) {
    double sum = 0;
    for (int64_t i = 0, next = 0; i < count; i = next) {
      while (next < count && keys[next] >> shift == keys[i] >> shift) ++next;
      const double p = static_cast<double>(next - i) / static_cast<double>(count);
      sum -= p * std::log(p);
    }
    return sum;
  }

  const Corpus& corpus_;
  int order_;
  bool left_;
};

}  // namespace

void neighbor_entropy(const uint32_t* codes, int64_t size, const std::vector<GramList>& lists, int threads,
                      Job& job) {
  const Corpus corpus(codes, size, 1, threads, job);
  int order = 1;
  for (const GramList& list : lists) order = std::max(order, list.order);
  if (corpus.bits * order > 128)
    throw std::invalid_argument("n must be lower for a corpus of so many characters");
  for (const bool left : {true, false}) {
    std::vector<Wanted> wanted;
    std::vector<double*> entropy;
    for (const GramList& list : lists) {
      wanted.emplace_back(list, corpus.id_of, corpus.ids(), left);
      entropy.push_back(left ? list.left : list.right);
      std::fill(entropy.back(), entropy.back() + list.rows, 0.0);
    }
    if (corpus.bits * order <= 64)
      Side<uint64_t>(corpus, order, left).run(wanted, entropy, threads, job);
    else
      Side<Wide>(corpus, order, left).run(wanted, entropy, threads, job);
  }
}

}  // namespace kxfast::words
