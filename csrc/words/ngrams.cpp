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

// Where a task writes its next n-gram of one order.
struct Place {
  uint32_t* grams;
  int64_t* count;
};

template <class Key>
class Counter {
 public:
  Counter(int max_order, int64_t min_count, int bits)
      : order_(max_order), min_count_(min_count), bits_(bits) {
    for (int bit = 0; bit < static_cast<int>(8 * sizeof(Key)); ++bit)
      equal_above_[bit] = std::max(0, order_ - 1 - bit / bits), length_at_[bit] = order_ - bit / bits;
  }

  // visit(n, key, count) for the n-grams that begin with one id, given their sorted rests; those of an order
  // go up.
  template <class Visit>
  void scan(const Key* keys, int64_t count, Visit&& visit) const {
    int64_t begin[kMaxOrder + 1] = {};
    for (int64_t i = 1; i <= count; ++i) {
      if (i < count && keys[i] == keys[i - 1]) continue;
      const int equal = i < count ? equal_above_[highest_bit(keys[i - 1] ^ keys[i])] : 0;
      const int length = length_of(keys[i - 1]);
      for (int n = order_; n > equal; --n) {
        if (n <= length && i - begin[n] >= min_count_) visit(n, keys[i - 1], i - begin[n]);
        begin[n] = i;
      }
    }
  }

  // Adds to rows[n - 1] how many n-grams `scan` visits. Where none is rare they follow from how long the part
  // is that two neighbours share, and how long each is, and no branch depends on what is in the keys.
  void measure(const Key* keys, int64_t count, size_t* rows) const {
    if (min_count_ > 1) return scan(keys, count, [&](int n, Key, int64_t) { ++rows[n - 1]; });
    size_t pairs[kMaxOrder + 1][kMaxOrder + 1] = {};  // by the length shared with the next, and the length
    for (int64_t i = 1; i < count; ++i) {
      const Key differ = keys[i - 1] ^ keys[i];
      const int equal = differ ? equal_above_[highest_bit(differ)] : order_;
      ++pairs[equal][length_of(keys[i - 1])];
    }
    if (count) ++pairs[0][length_of(keys[count - 1])];
    for (int equal = 0; equal <= order_; ++equal)
      for (int length = equal + 1; length <= order_; ++length)
        for (int n = equal; n < length; ++n) rows[n] += pairs[equal][length];
  }

  // Writes the code points and the count of an n-gram.
  void put(const uint32_t* code_of, uint32_t head, int n, Key key, int64_t count, Place& place) const {
    *place.grams++ = code_of[head];
    for (int k = 2; k <= n; ++k) *place.grams++ = code_of[id(key, k)];
    *place.count++ = count;
  }

  // Writes the n-grams of the highest order, and those that their run's end cuts off, as rows of a run.
  void write(uint32_t head, const Key* keys, int64_t count, const uint32_t* code_of, RunWriter& run) const {
    uint32_t codes[kMaxOrder] = {code_of[head]};
    for (int64_t i = 0, next = 0; i < count; i = next) {
      while (next < count && keys[next] == keys[i]) ++next;
      int n = 1;
      for (; n < order_ && id(keys[i], n + 1); ++n) codes[n] = code_of[id(keys[i], n + 1)];
      run.add(codes, n, next - i);
    }
  }

 private:
  // Of an n-gram that its run's end may cut off.
  int length_of(Key key) const { return key ? length_at_[lowest_bit(key)] : 1; }
  uint32_t id(Key key, int n) const {
    return static_cast<uint32_t>(key >> bits_ * (order_ - n)) & ((1u << bits_) - 1);
  }
  int order_;
  int64_t min_count_;
  int bits_;
  static constexpr int kBits = 8 * sizeof(Key);
  int equal_above_[kBits];  // ids before the highest bit in which two keys differ, the first among them
  int length_at_[kBits];    // ids up to the one that holds a key's lowest bit, the first among them
};

template <class Key>
Buckets<Key> buckets_of(const Corpus& corpus, int order, int threads, Job& job) {
  return {corpus, order - 1, false, [](Key key, uint32_t) { return key; }, threads, job};
}

template <class Key>
void count_keys(Counted& out, const Corpus& corpus, int max_order, int64_t min_count, int threads, Job& job) {
  const Counter<Key> counter(max_order, min_count, corpus.bits);
  const uint32_t* code_of = corpus.code_of.data();
  Buckets<Key> buckets = buckets_of<Key>(corpus, max_order, threads, job);
  const auto tasks = static_cast<size_t>(buckets.tasks()), orders = static_cast<size_t>(max_order);
  std::vector<std::vector<size_t>> rows(tasks, std::vector<size_t>(orders, 0));  // of each task, by order
  const auto measure = [&](int64_t task, uint32_t, const Key* keys, int64_t count) {
    counter.measure(keys, count, rows[static_cast<size_t>(task)].data());
  };
  buckets.sort_each(measure, threads, job);
  if (job.stopped()) return;
  for (size_t n = 0; n < orders; ++n) {
    size_t sum = 0;
    for (auto& own : rows) own[n] = std::exchange(sum, sum + own[n]);  // now: of the tasks before
    out.tables[n].grams = large_buffer<uint32_t>(sum * (n + 1));
    out.tables[n].counts = large_buffer<int64_t>(sum);
  }
  const auto fill = [&](int64_t task, uint32_t head, const Key* keys, int64_t count) {
    std::vector<size_t>& own = rows[static_cast<size_t>(task)];
    Place places[kMaxOrder];
    for (size_t n = 0; n < orders; ++n)
      places[n] = {out.tables[n].grams.data() + own[n] * (n + 1), out.tables[n].counts.data() + own[n]};
    counter.scan(keys, count, [&](int n, Key key, int64_t times) {
      counter.put(code_of, head, n, key, times, places[n - 1]);
    });
    for (size_t n = 0; n < orders; ++n)
      own[n] = static_cast<size_t>(places[n].count - out.tables[n].counts.data());
  };
  buckets.each(fill, threads, job);
}

template <class Key>
std::vector<Bytes> write_keys(const Corpus& corpus, int order, int threads, Job& job) {
  const Counter<Key> counter(order, 1, corpus.bits);
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

// work(a key of the least type that holds so many bits)
template <class Work>
auto with_key(int bits, Work&& work) {
  if (bits > 128) throw std::invalid_argument("max_order must be lower for a corpus of so many characters");
  return bits <= 64 ? work(uint64_t{}) : work(Wide{});
}

}  // namespace

Counted count_ngrams(const uint32_t* codes, int64_t size, int max_order, int64_t min_count, int threads,
                     Job& job) {
  const Corpus corpus(codes, size, min_count, threads, job);
  Counted out;
  out.tables.resize(static_cast<size_t>(max_order));
  with_key(corpus.bits * (max_order - 1),
           [&](auto key) { count_keys<decltype(key)>(out, corpus, max_order, min_count, threads, job); });
  for (const int64_t count : out.tables[0].counts) out.total += count;
  return out;
}

std::vector<Bytes> ngram_run(const uint32_t* codes, int64_t size, int order, int threads, Job& job) {
  const Corpus corpus(codes, size, 1, threads, job);
  return with_key(corpus.bits * (order - 1),
                  [&](auto key) { return write_keys<decltype(key)>(corpus, order, threads, job); });
}

}  // namespace kxfast::words
