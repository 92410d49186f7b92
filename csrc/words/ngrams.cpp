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

#include <stdexcept>

#include "words/buckets.hpp"

namespace kxfast::words {

Counted read_corpus(const uint32_t* codes, int64_t size, int64_t min_count, int threads, Job& job) {
  Counted out;
  constexpr uint32_t kCodes = 0x110000;
  const auto enough = static_cast<uint32_t>(std::min<int64_t>(min_count, UINT32_MAX));
  const Groups groups(size, threads);
  std::vector<std::vector<uint32_t>> seen(static_cast<size_t>(groups.count),
                                          std::vector<uint32_t>(kCodes, 0));  // times, `enough` at most
  groups.each(job, [&](size_t group, int64_t i) {
    uint32_t& times = seen[group][codes[i]];
    times += times < enough;
  });
  std::vector<uint32_t>& id_of = seen[0];
  id_of[0] = 0;
  out.alphabet.code_of.assign(1, 0);
  for (uint32_t code = 1; code < kCodes; ++code) {
    uint64_t times = 0;
    for (const auto& each : seen) times += each[code];
    id_of[code] = times < enough ? 0 : static_cast<uint32_t>(out.alphabet.code_of.size());
    if (times >= enough) out.alphabet.code_of.push_back(code);
  }
  out.alphabet.bits = 1;
  while (out.alphabet.code_of.size() > size_t{1} << out.alphabet.bits) ++out.alphabet.bits;
  out.ids = Buffer<uint32_t>(static_cast<size_t>(size) + kMaxOrder);
  std::fill(out.ids.end() - kMaxOrder, out.ids.end(), 0);  // breaks, so that no look-ahead tests for the end
  groups.each(job, [&](size_t, int64_t i) { out.ids[static_cast<size_t>(i)] = id_of[codes[i]]; });
  return out;
}

namespace {

// Where a task writes its next n-gram of one order.
struct Place {
  uint32_t* grams;
  int64_t* count;
};

inline int highest_bit(uint64_t x) {
  return 63 - __builtin_clzll(x);
}
inline int highest_bit(Wide x) {
  const auto high = static_cast<uint64_t>(x >> 64);
  return high ? 64 + highest_bit(high) : highest_bit(static_cast<uint64_t>(x));
}

template <class Key>
class Counter {
 public:
  Counter(int max_order, int64_t min_count, int bits)
      : order_(max_order), min_count_(min_count), bits_(bits) {
    for (int bit = 0; bit < static_cast<int>(8 * sizeof(Key)); ++bit)
      equal_above_[bit] = std::max(0, order_ - 1 - bit / bits);
  }

  // visit(n, key, count) for the n-grams that begin with one id, given their sorted rests; those of an order
  // go up.
  template <class Visit>
  void scan(const Key* keys, int64_t count, Visit&& visit) const {
    int64_t begin[kMaxOrder + 1] = {};
    for (int64_t i = 1; i <= count; ++i) {
      if (i < count && keys[i] == keys[i - 1]) continue;
      const int equal = i < count ? equal_above_[highest_bit(keys[i - 1] ^ keys[i])] : 0;
      for (int n = order_; n > equal; --n) {
        if (i - begin[n] >= min_count_ && (n == 1 || id(keys[i - 1], n))) visit(n, keys[i - 1], i - begin[n]);
        begin[n] = i;
      }
    }
  }

  // Writes the code points and the count of an n-gram.
  void put(const Alphabet& alphabet, uint32_t head, int n, Key key, int64_t count, Place& place) const {
    *place.grams++ = alphabet.code_of[head];
    for (int k = 2; k <= n; ++k) *place.grams++ = alphabet.code_of[id(key, k)];
    *place.count++ = count;
  }

  // Writes the n-grams of the highest order, and those that their run's end cuts off, as rows of a run.
  void write(uint32_t head, const Key* keys, int64_t count, const Alphabet& alphabet, RunWriter& run) const {
    uint32_t codes[kMaxOrder] = {alphabet.code_of[head]};
    for (int64_t i = 0, next = 0; i < count; i = next) {
      while (next < count && keys[next] == keys[i]) ++next;
      int n = 1;
      for (; n < order_ && id(keys[i], n + 1); ++n) codes[n] = alphabet.code_of[id(keys[i], n + 1)];
      run.add(codes, n, next - i);
    }
  }

  Key pack(const uint32_t* at) const {
    Key key = 0;
    bool inside = true;
    for (int n = 1; n < order_; ++n) {
      inside = inside && at[n];
      key = key << bits_ | (inside ? at[n] : 0);
    }
    return key;
  }

 private:
  uint32_t id(Key key, int n) const {
    return static_cast<uint32_t>(key >> bits_ * (order_ - n)) & ((1u << bits_) - 1);
  }
  int order_;
  int64_t min_count_;
  int bits_;
  int equal_above_[8 *
                   sizeof(Key)];  // ids before the highest bit in which two keys differ, the first among them
};

template <class Key>
void count_keys(Counted& out, int64_t size, int max_order, int64_t min_count, int threads, Job& job) {
  const uint32_t* ids = out.ids.data();
  const Counter<Key> counter(max_order, min_count, out.alphabet.bits);
  const auto accept = [&](int64_t i, Key* key) {
    if (key) *key = counter.pack(ids + i);
    return true;
  };
  Buckets<Key> buckets(ids, size, static_cast<uint32_t>(out.alphabet.code_of.size()), accept, threads, job);
  const auto tasks = static_cast<size_t>(buckets.tasks()), orders = static_cast<size_t>(max_order);
  std::vector<std::vector<size_t>> rows(tasks, std::vector<size_t>(orders, 0));  // of each task, by order
  const auto measure = [&](int64_t task, uint32_t, const Key* keys, int64_t count) {
    std::vector<size_t>& own = rows[static_cast<size_t>(task)];
    counter.scan(keys, count, [&](int n, Key, int64_t) { ++own[static_cast<size_t>(n - 1)]; });
  };
  buckets.sort_each(measure, threads, job);
  if (job.stopped()) return;
  for (size_t n = 0; n < orders; ++n) {
    size_t sum = 0;
    for (auto& own : rows) own[n] = std::exchange(sum, sum + own[n]);  // now: of the tasks before
    out.tables[n].grams = Buffer<uint32_t>(sum * (n + 1));
    out.tables[n].counts = Buffer<int64_t>(sum);
  }
  const auto fill = [&](int64_t task, uint32_t head, const Key* keys, int64_t count) {
    std::vector<size_t>& own = rows[static_cast<size_t>(task)];
    Place places[kMaxOrder];
    for (size_t n = 0; n < orders; ++n)
      places[n] = {out.tables[n].grams.data() + own[n] * (n + 1), out.tables[n].counts.data() + own[n]};
    counter.scan(keys, count, [&](int n, Key key, int64_t times) {
      counter.put(out.alphabet, head, n, key, times, places[n - 1]);
    });
    for (size_t n = 0; n < orders; ++n)
      own[n] = static_cast<size_t>(places[n].count - out.tables[n].counts.data());
  };
  buckets.each(fill, threads, job);
}

template <class Key>
void write_keys(const Counted& corpus, int64_t size, int order, int threads, Job& job,
                std::vector<Bytes>& parts) {
  const uint32_t* ids = corpus.ids.data();
  const Counter<Key> counter(order, 1, corpus.alphabet.bits);
  const auto accept = [&](int64_t i, Key* key) {
    if (key) *key = counter.pack(ids + i);
    return true;
  };
  Buckets<Key> buckets(ids, size, static_cast<uint32_t>(corpus.alphabet.code_of.size()), accept, threads,
                       job);
  parts.resize(static_cast<size_t>(buckets.tasks()));
  std::vector<RunWriter> runs(parts.size());
  const auto scan = [&](int64_t task, uint32_t id, const Key* keys, int64_t count) {
    counter.write(id, keys, count, corpus.alphabet, runs[static_cast<size_t>(task)]);
  };
  buckets.sort_each(scan, threads, job);
  for (size_t part = 0; part < parts.size(); ++part) parts[part] = std::move(runs[part].bytes);
}

constexpr char kTooManyCharacters[] = "max_order must be lower for a corpus of so many characters";

}  // namespace

Counted count_ngrams(const uint32_t* codes, int64_t size, int max_order, int64_t min_count, int threads,
                     Job& job) {
  Counted out = read_corpus(codes, size, min_count, threads, job);
  out.tables.resize(static_cast<size_t>(max_order));
  const int bits = out.alphabet.bits * (max_order - 1);
  if (out.alphabet.code_of.size() > 1) {
    if (bits <= 64)
      count_keys<uint64_t>(out, size, max_order, min_count, threads, job);
    else if (bits <= 128)
      count_keys<Wide>(out, size, max_order, min_count, threads, job);
    else
      throw std::invalid_argument(kTooManyCharacters);
  }
  for (const int64_t count : out.tables[0].counts) out.total += count;
  return out;
}

std::vector<Bytes> ngram_run(const uint32_t* codes, int64_t size, int order, int threads, Job& job) {
  std::vector<Bytes> parts;
  const Counted corpus = read_corpus(codes, size, 1, threads, job);
  const int bits = corpus.alphabet.bits * (order - 1);
  if (bits <= 64)
    write_keys<uint64_t>(corpus, size, order, threads, job, parts);
  else if (bits <= 128)
    write_keys<Wide>(corpus, size, order, threads, job, parts);
  else
    throw std::invalid_argument(kTooManyCharacters);
  return parts;
}

}  // namespace kxfast::words
