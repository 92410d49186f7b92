// Counts of all n-grams, n = 1 .. max_order, by one sort.
//
// Each position gives one key: the ids of the max_order characters that begin there, cut off at the end of
// its run. The first id chooses a bucket, the rest is packed into a word of 64 bits (128 from order 5 on).
// Buckets are small enough for the cache and independent, so they are the tasks: each is radix-sorted, and
// one scan over the sorted keys yields every order at once, since the n-grams are the runs of equal prefixes.
// Ids keep the order of the code points and buckets their order of ids, so tables come out sorted. The sort
// is the cost; it reads and writes a bucket once for each byte in which its keys differ. Two scans follow:
// one finds how many rows each task has, the other writes them where they stay. Rows that grew in the tasks
// and were joined afterwards lost: in a fresh process the pages of the copies took as long as the sort. One
// hash table for all orders was tried and lost by a factor of five: nine million distinct keys miss the cache
// at every step.
#include "words/ngrams.hpp"

#include <algorithm>

#include "words/counter.hpp"

namespace kxfast::words {

constexpr uint32_t kCodes = 0x110000;

Corpus::Corpus(const uint32_t* codes, int64_t size, int64_t min_count, int threads, Job& job)
    : code_of(1, 0), id_of(kCodes, 0), codes_(codes), size_(size) {
  const int64_t fair = std::min<int64_t>(threads ? threads : num_threads(), size >> 18);
  const int64_t groups = std::max(std::clamp<int64_t>(fair, 1, 8), (size >> 32) + 1);  // 32 bits count one
  seen_.assign(static_cast<size_t>(groups), std::vector<uint32_t>(kCodes, 0));
  const auto count = [&](int64_t group) {
    uint32_t* seen = seen_[static_cast<size_t>(group)].data();
    const uint32_t* from = codes + begin(group);
    in_stretches(begin(group + 1) - begin(group), job, [=](int64_t i) { ++seen[from[i]]; });
  };
  parallel_for(groups, count, threads, &job);
  for (uint32_t code = 1; code < kCodes; ++code) {
    int64_t times = 0;
    for (const auto& each : seen_) times += each[code];
    if (times == 0 || times < min_count) continue;
    id_of[code] = ids();
    code_of.push_back(code);
  }
  while (code_of.size() > size_t{1} << bits) ++bits;
}

namespace {

template <class Key>
Buckets<Key> buckets_of(const Corpus& corpus, int order, int threads, Job& job) {
  return {corpus, order - 1, false, [](Key key, uint32_t) { return key; }, threads, job};
}

template <class Key>
std::vector<Bytes> write_keys(const Corpus& corpus, int order, int threads, Job& job) {
  const Counter<Key> counter(order, 1, corpus.bits, 0);
  Buckets<Key> buckets = buckets_of<Key>(corpus, order, threads, job);
  std::vector<Bytes> parts(static_cast<size_t>(buckets.tasks()));
  std::vector<RunWriter> runs(parts.size());
  const auto scan = [&](int64_t task, uint32_t id, const Key* keys, int64_t count) {
    counter.write(id, keys, count, corpus.code_of.data(), runs[static_cast<size_t>(task)]);
  };
  buckets.sort_each(scan, threads, job);
  for (size_t part = 0; part < parts.size(); ++part) parts[part] = std::move(runs[part].bytes);
  return parts;
}

}  // namespace

Counted count_ngrams(const uint32_t* codes, int64_t size, int max_order, int64_t min_count, int threads,
                     Job& job) {
  const Corpus corpus(codes, size, min_count, threads, job);
  Counted out;
  out.tables.resize(static_cast<size_t>(max_order));
  with_key(corpus.bits * (max_order - 1), [&](auto key) {
    using Key = decltype(key);
    Buckets<Key> buckets = buckets_of<Key>(corpus, max_order, threads, job);
    const Counter<Key> counter(max_order, min_count, corpus.bits, 0);
    count_buckets(out, buckets, counter, corpus.code_of.data(), threads, job);
  });
  return out;
}

std::vector<Bytes> ngram_run(const uint32_t* codes, int64_t size, int order, int threads, Job& job) {
  const Corpus corpus(codes, size, 1, threads, job);
  return with_key(corpus.bits * (order - 1),
                  [&](auto key) { return write_keys<decltype(key)>(corpus, order, threads, job); });
}

}  // namespace kxfast::words
