// Entropy of the neighbours of n-grams of several orders, by the sort that counts them.
//
// For the right side each position with a left neighbour gives the key of the ids that follow it, one more
// than the highest order; after the sort the occurrences of an n-gram of any order lie together and their
// neighbours in runs, so that one sort serves all orders, and a scan of each bucket for each order yields the
// entropies. The left side is the same with the text read backwards. A bucket's n-grams that are asked for
// are sorted beside it and merged with the scan. Where n-grams are counted and their entropies wanted at
// once, a bit that tells of the left neighbour lets the sort for the right side serve the counts as well. The
// sort is the limit. A sort for each order and side, of keys no longer than needed, was tried and took twice
// the time.
#include <array>
#include <cmath>

#include "words/counter.hpp"

namespace kxfast::words {

double logarithm(int64_t count) {
  constexpr int64_t kKnown = 256;
  static const auto known = [] {
    std::array<double, kKnown> table{};
    for (size_t i = 1; i < table.size(); ++i) table[i] = std::log(static_cast<double>(i));
    return table;
  }();
  return count < kKnown ? known[static_cast<size_t>(count)] : std::log(static_cast<double>(count));
}

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

// With `flagged` the lowest bit of a key says whether its position has the other neighbour too; without, a
// position that has not has no key.
template <class Key, bool flagged>
class Side {
 public:
  Side(int bits, int order, bool left) : bits_(bits), order_(order), left_(left) {}

  // Entropies of the wanted n-grams that begin (on the left side: end) with one id, given its sorted keys.
  void find(const Wanted& wanted, uint32_t id, const Key* keys, int64_t count, double* entropy) const {
    const int n = wanted.order, shift = bits_ * (order_ - n) + flagged;
    const Key neighbor = (Key{1} << bits_) - 1;
    std::vector<std::pair<Key, int64_t>> grams;  // the ids behind the first, and the row
    for (int64_t at = wanted.begin[id]; at < wanted.begin[id + 1]; ++at) {
      const int64_t row = wanted.rows[static_cast<size_t>(at)];
      const uint32_t* gram = &wanted.ids[static_cast<size_t>(row * n)];
      Key key = 0;
      for (int k = 1; k < n; ++k) key = key << bits_ | (left_ ? gram[n - 1 - k] : gram[k]);
      grams.emplace_back(key, row);
    }
    if (left_) std::sort(grams.begin(), grams.end());
    int64_t at = 0;
    for (const auto& [gram, row] : grams) {
      while (at < count && keys[at] >> shift >> bits_ < gram) ++at;
      while (at < count && keys[at] >> shift >> bits_ == gram && !(keys[at] >> shift & neighbor)) ++at;
      const int64_t first = at;
      int64_t total = 0;
      for (; at < count && keys[at] >> shift >> bits_ == gram; ++at) total += weight(keys[at]);
      entropy[row] = of_runs(keys + first, at - first, shift, total);
    }
  }

 private:
  static int64_t weight(Key key) { return flagged ? static_cast<int64_t>(key & 1) : 1; }

  static double of_runs(const Key* keys, int64_t count, int shift, int64_t total) {
    double sum = 0;
    const double whole = logarithm(total);
    for (int64_t i = 0, next = 0; i < count; i = next) {
      int64_t times = 0;
      for (; next < count && keys[next] >> shift == keys[i] >> shift; ++next) times += weight(keys[next]);
      if (!times) continue;
      const double p = static_cast<double>(times) / static_cast<double>(total);
      sum += p * (whole - logarithm(times));
    }
    return sum;
  }

  int bits_, order_;
  bool left_;
};

// Makes the lists' n-grams those that each side is to find, and their entropies 0 until they are found.
std::pair<std::vector<Wanted>, std::vector<double*>> wanted_of(const Corpus& corpus,
                                                               const std::vector<GramList>& lists,
                                                               bool left) {
  std::pair<std::vector<Wanted>, std::vector<double*>> made;
  for (const GramList& list : lists) {
    made.first.emplace_back(list, corpus.id_of, corpus.ids(), left);
    made.second.push_back(left ? list.left : list.right);
    std::fill(made.second.back(), made.second.back() + list.rows, 0.0);
  }
  return made;
}

// One side of all lists by a sort of its own.
template <class Key>
void find_side(const Corpus& corpus, int order, bool left, const std::vector<GramList>& lists, int threads,
               Job& job) {
  const auto [wanted, entropy] = wanted_of(corpus, lists, left);
  const Side<Key, false> side(corpus.bits, order, left);
  // A position without the other neighbour is kept as one that has none on this side either.
  const auto key_of = [](Key key, uint32_t other) { return other ? key : 0; };
  Buckets<Key> buckets(corpus, order, left, key_of, threads, job);
  const auto scan = [&, &wanted = wanted, &entropy = entropy](int64_t, uint32_t id, const Key* keys,
                                                              int64_t count) {
    for (size_t t = 0; t < wanted.size(); ++t) side.find(wanted[t], id, keys, count, entropy[t]);
  };
  buckets.sort_each(scan, threads, job);
}

// Tables and the entropies right of their n-grams, by one sort of keys with a flag.
template <class Key>
void count_and_find_right(Counted& out, const Corpus& corpus, int order, int64_t min_count, int threads,
                          Job& job, std::vector<Entropies>& entropies, std::vector<GramList>& lists) {
  const auto key_of = [](Key key, uint32_t other) { return key << 1 | (other != 0); };
  Buckets<Key> buckets(corpus, order, false, key_of, threads, job);
  const Counter<Key> counter(order, min_count, corpus.bits, corpus.bits + 1);
  count_buckets(out, buckets, counter, corpus.code_of.data(), threads, job);
  for (size_t n = 0; n < out.tables.size(); ++n) {
    const Table& table = out.tables[n];
    entropies.push_back(
        {large_buffer<double>(table.counts.size()), large_buffer<double>(table.counts.size())});
    lists.push_back({table.grams.data(), static_cast<int64_t>(table.counts.size()), static_cast<int>(n + 1),
                     entropies.back().left.data(), entropies.back().right.data()});
  }
  if (job.stopped()) return;
  const auto [wanted, entropy] = wanted_of(corpus, lists, false);
  const Side<Key, true> side(corpus.bits, order, false);
  const auto scan = [&, &wanted = wanted, &entropy = entropy](int64_t, uint32_t id, const Key* keys,
                                                              int64_t count) {
    for (size_t t = 0; t < wanted.size(); ++t) side.find(wanted[t], id, keys, count, entropy[t]);
  };
  buckets.each(scan, threads, job);
}

}  // namespace

void neighbor_entropy(const uint32_t* codes, int64_t size, const std::vector<GramList>& lists, int threads,
                      Job& job) {
  const Corpus corpus(codes, size, 1, threads, job);
  int order = 1;
  for (const GramList& list : lists) order = std::max(order, list.order);
  with_key(corpus.bits * order, [&](auto key) {
    for (const bool left : {true, false}) find_side<decltype(key)>(corpus, order, left, lists, threads, job);
  });
}

Counted count_with_entropies(const uint32_t* codes, int64_t size, int max_order, int64_t min_count,
                             int threads, Job& job, std::vector<Entropies>& entropies) {
  const Corpus corpus(codes, size, 1, threads, job);  // rare characters are neighbours like others
  Counted out;
  out.tables.resize(static_cast<size_t>(max_order));
  with_key(corpus.bits * max_order + 1, [&](auto key) {
    using Key = decltype(key);
    std::vector<GramList> lists;
    count_and_find_right<Key>(out, corpus, max_order, min_count, threads, job, entropies, lists);
    if (!job.stopped()) find_side<Key>(corpus, max_order, true, lists, threads, job);
  });
  return out;
}

}  // namespace kxfast::words
