// Entropy of the neighbours of n-grams, by the sort that counts them.
//
// Each occurrence with both neighbours gives the key (n-gram, neighbour); after the sort the occurrences of
// an n-gram lie together and their neighbours in runs, so one scan yields all entropies. Left and right are a
// pass each. The n-grams asked for come sorted, so they are merged with the scan, from the first that begins
// with a bucket's id.
#include <cmath>
#include <stdexcept>

#include "words/buckets.hpp"
#include "words/ngrams.hpp"

namespace kxfast::words {
namespace {

template <class Key>
struct Side {
  const Counted& corpus;
  const std::vector<uint32_t>& wanted;  // ids of the n-grams, n each
  const std::vector<int64_t>& begin;    // first row of each first id
  int order;

  // The n - 1 ids after the first.
  Key pack(const uint32_t* at) const {
    Key key = 0;
    for (int k = 1; k < order; ++k) key = key << corpus.alphabet.bits | at[k];
    return key;
  }

  void run(bool left, double* entropy, int threads, Job& job) const {
    const uint32_t* ids = corpus.ids.data();
    const int64_t size = static_cast<int64_t>(corpus.ids.size()) - kMaxOrder;
    const int bits = corpus.alphabet.bits;
    const auto accept = [&](int64_t i, Key* key) {
      if (i == 0 || !ids[i - 1] || i + order >= size) return false;
      for (int k = 1; k <= order; ++k)
        if (!ids[i + k]) return false;
      if (key) *key = pack(ids + i) << bits | (left ? ids[i - 1] : ids[i + order]);
      return true;
    };
    Buckets<Key> buckets(ids, size, static_cast<uint32_t>(corpus.alphabet.code_of.size()), accept, threads,
                         job);
    const auto scan = [&](int64_t, uint32_t id, const Key* keys, int64_t count) {
      int64_t at = 0;
      for (int64_t row = begin[id]; row < begin[id + 1]; ++row) {
        const Key gram = pack(&wanted[static_cast<size_t>(row * order)]);
        while (at < count && keys[at] >> bits < gram) ++at;
        const int64_t first = at;
        while (at < count && keys[at] >> bits == gram) ++at;
        entropy[row] = of_runs(keys + first, at - first);
      }
    };
    buckets.sort_each(scan, threads, job);
  }

  static double of_runs(const Key* keys, int64_t count) {
    double sum = 0;
    for (int64_t i = 0, next = 0; i < count; i = next) {
      while (next < count && keys[next] == keys[i]) ++next;
      const double p = static_cast<double>(next - i) / static_cast<double>(count);
      sum -= p * std::log(p);
    }
    return sum;
  }
};

// Rows of n-grams as ids; a character that the corpus does not have becomes id 0, which no key holds.
std::vector<uint32_t> to_ids(const Alphabet& alphabet, const uint32_t* grams, int64_t count) {
  std::vector<uint32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto found = std::lower_bound(alphabet.code_of.begin(), alphabet.code_of.end(), grams[i]);
    if (found != alphabet.code_of.end() && *found == grams[i])
      ids[i] = static_cast<uint32_t>(found - alphabet.code_of.begin());
  }
  return ids;
}

}  // namespace

void neighbor_entropy(const uint32_t* codes, int64_t size, const uint32_t* grams, int64_t rows, int order,
                      double* left, double* right, int threads, Job& job) {
  const Counted corpus = read_corpus(codes, size, 1, threads, job);
  const std::vector<uint32_t> wanted = to_ids(corpus.alphabet, grams, rows * order);
  std::fill(left, left + rows, 0.0);
  std::fill(right, right + rows, 0.0);
  std::vector<int64_t> begin(corpus.alphabet.code_of.size() + 1, 0);
  for (int64_t row = 0; row < rows; ++row) ++begin[wanted[static_cast<size_t>(row * order)] + 1];
  for (size_t id = 1; id < begin.size(); ++id) begin[id] += begin[id - 1];
  const auto run = [&](auto key) {
    const Side<decltype(key)> side{corpus, wanted, begin, order};
    side.run(true, left, threads, job);
    side.run(false, right, threads, job);
  };
  if (corpus.alphabet.bits * order > 128)
    throw std::invalid_argument("n must be lower for a corpus of so many characters");
  if (corpus.alphabet.bits * order <= 64)
    run(uint64_t{});
  else
    run(Wide{});
}

}  // namespace kxfast::words
