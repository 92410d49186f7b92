// Entropy of the neighbours of words of any lengths, from blocks of a corpus.
//
// At each position the trie of the words is walked once; every word found that has both neighbours gives the
// key (word, neighbour), one 64-bit number. Tasks sort and count the keys of their own stretch, so that what
// is sorted fits the cache, and the counted keys are sorted once more. The rows of the runs are (word, 0,
// neighbour): the 0 keeps the rows of one word together, before those of longer words that begin with it.
#include <algorithm>

#include "core/threads.hpp"
#include "words/discover.hpp"
#include "words/ngrams.hpp"
#include "words/radix.hpp"
#include "words/sorting.hpp"

namespace kxfast::words {
namespace {

constexpr int kCodeBits = 21;

struct Seen {
  uint64_t key;
  int64_t count;
};

// Sums the counts of equal keys, which lie side by side.
void add_equal(std::vector<Seen>& rows) {
  size_t kept = 0;
  for (size_t i = 1; i < rows.size(); ++i)
    if (rows[i].key == rows[kept].key)
      rows[kept].count += rows[i].count;
    else
      rows[++kept] = rows[i];
  if (!rows.empty()) rows.resize(kept + 1);
}

double entropy_of(const std::vector<int64_t>& counts) {
  int64_t total = 0;
  for (const int64_t count : counts) total += count;
  double sum = 0;
  for (const int64_t count : counts) {
    const double p = static_cast<double>(count) / static_cast<double>(total);
    sum += p * (logarithm(total) - logarithm(count));
  }
  return sum;
}

}  // namespace

Bytes neighbor_run(const uint32_t* codes, int64_t size, const Strings& words, bool left, int threads,
                   Job& job) {
  Trie trie(static_cast<size_t>(words.count));
  std::vector<int64_t> word_of(1, -1);
  for (int64_t w = 0; w < words.count; ++w) {
    const uint32_t node = trie.add_string(words.begin(w), words.length(w));
    word_of.resize(trie.size(), -1);
    word_of[node] = w;
  }
  constexpr int64_t kBlock = 1 << 19;
  std::vector<std::vector<Seen>> parts(static_cast<size_t>((size + kBlock - 1) / kBlock));
  const auto scan = [&](int64_t task) {
    const int64_t end = std::min(size, (task + 1) * kBlock);
    std::vector<uint64_t> keys;
    for (int64_t i = std::max<int64_t>(task * kBlock, 1); i < end; ++i) {
      if (!codes[i - 1]) continue;
      uint32_t node = 0;
      for (int64_t next = i + 1; next < size && codes[next - 1]; ++next) {
        node = trie.child(node, codes[next - 1]);
        if (node == Trie::kNone) break;
        if (word_of[node] < 0 || !codes[next]) continue;
        keys.push_back(static_cast<uint64_t>(word_of[node]) << kCodeBits |
                       (left ? codes[i - 1] : codes[next]));
      }
    }
    std::vector<uint64_t> spare(keys.size());
    sort_keys(keys.data(), spare.data(), static_cast<int64_t>(keys.size()));
    auto& rows = parts[static_cast<size_t>(task)];
    for (const uint64_t key : keys) {
      if (rows.empty() || rows.back().key != key) rows.push_back({key, 0});
      ++rows.back().count;
    }
    rows.shrink_to_fit();
    job.advance(end - task * kBlock);
  };
  parallel_for(static_cast<int64_t>(parts.size()), scan, threads, &job);
  std::vector<Seen> all;
  for (auto& rows : parts) {
    if (!job.advance(0)) break;
    all.insert(all.end(), rows.begin(), rows.end());
    std::vector<Seen>().swap(rows);
  }
  sort_in_parts(all, [](const Seen& a, const Seen& b) { return a.key < b.key; }, threads, job);
  add_equal(all);
  RunWriter run;
  std::vector<uint32_t> row;
  in_stretches(static_cast<int64_t>(all.size()), job, [&](int64_t s) {
    const Seen& seen = all[static_cast<size_t>(s)];
    const auto word = static_cast<int64_t>(seen.key >> kCodeBits);
    row.assign(words.begin(word), words.begin(word) + words.length(word));
    row.push_back(0);
    row.push_back(static_cast<uint32_t>(seen.key & ((1u << kCodeBits) - 1)));
    run.add(row.data(), static_cast<int64_t>(row.size()), seen.count);
  });
  return std::move(run.bytes);
}

void entropies_of_runs(std::vector<RunReader>& runs, const Strings& words, double* entropies, Job& job) {
  std::fill(entropies, entropies + words.count, 0.0);
  int64_t word = 0;
  std::vector<int64_t> counts;
  const auto is_of = [&](const uint32_t* codes, int64_t length) {
    return length == words.length(word) && std::equal(codes, codes + length, words.begin(word));
  };
  merge_runs(runs, job, [&](const uint32_t* codes, int64_t length, int64_t count) {
    while (word < words.count && !is_of(codes, length - 2)) {
      if (!counts.empty()) entropies[word] = entropy_of(counts);
      counts.clear();
      ++word;
    }
    counts.push_back(count);
  });
  if (word < words.count && !counts.empty()) entropies[word] = entropy_of(counts);
}

}  // namespace kxfast::words
