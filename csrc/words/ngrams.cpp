// Counts of all n-grams, n = 1 .. max_order, by one sort.
//
// Each position gives one key: the ids of the max_order characters that begin there, cut off at the end of
// its run. The first id chooses a bucket, the rest is packed into a word of 64 bits (128 from order 5 on).
// Buckets are small enough for the cache and independent, so they are the tasks: each is radix-sorted, and
// one scan over the sorted keys yields every order at once, since the n-grams are the runs of equal prefixes.
// Ids keep the order of the code points and buckets their order of ids, so tables come out sorted. The sort
// is the cost; it reads and writes a bucket once for each byte in which its keys differ. One hash table for
// all orders was tried and lost by a factor of five: nine million distinct keys miss the cache at every step.
#include "words/ngrams.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/threads.hpp"
#include "core/workspace.hpp"

namespace kxfast::words {
namespace {

__extension__ typedef unsigned __int128 Wide;

void make_alphabet(const uint32_t* codes, int64_t size, Counted& out) {
  constexpr uint32_t kCodes = 0x110000;
  std::vector<uint32_t> id_of(kCodes, 0);
  for (int64_t i = 0; i < size; ++i) id_of[codes[i]] = 1;
  id_of[0] = 0;
  out.alphabet.code_of.assign(1, 0);
  for (uint32_t code = 1; code < kCodes; ++code)
    if (id_of[code]) {
      id_of[code] = static_cast<uint32_t>(out.alphabet.code_of.size());
      out.alphabet.code_of.push_back(code);
    }
  out.alphabet.bits = 1;
  while (out.alphabet.code_of.size() > size_t{1} << out.alphabet.bits) ++out.alphabet.bits;
  out.ids.resize(static_cast<size_t>(size) + kMaxOrder,
                 0);  // breaks behind the end, so that no look-ahead tests it
  for (int64_t i = 0; i < size; ++i) out.ids[static_cast<size_t>(i)] = id_of[codes[i]];
}

// Sorts by the bytes in which keys differ, least significant first; `spare` is as long as `keys`.
template <class Key>
void sort_keys(Key* keys, Key* spare, int64_t count) {
  if (count < 256) {
    std::sort(keys, keys + count);
    return;
  }
  Key any = 0, all = ~Key{0};
  for (int64_t i = 0; i < count; ++i) any |= keys[i], all &= keys[i];
  const Key differ = any ^ all;
  Key *from = keys, *to = spare;
  for (unsigned shift = 0; shift < 8 * sizeof(Key); shift += 8) {
    if (!(differ >> shift & 0xFF)) continue;
    int64_t first[257] = {};
    for (int64_t i = 0; i < count; ++i) ++first[static_cast<unsigned>(from[i] >> shift & 0xFF) + 1];
    for (int b = 0; b < 256; ++b) first[b + 1] += first[b];
    for (int64_t i = 0; i < count; ++i) to[first[static_cast<unsigned>(from[i] >> shift & 0xFF)]++] = from[i];
    std::swap(from, to);
  }
  if (from != keys) std::copy(from, from + count, keys);
}

template <class Key>
class Counter {
 public:
  Counter(int max_order, int64_t min_count, int bits)
      : order_(max_order), min_count_(min_count), bits_(bits) {}

  // Adds the n-grams that begin with id `head`, given their sorted rests.
  void scan(uint32_t head, const Key* keys, int64_t count, std::vector<Table>& tables) const {
    int64_t begin[kMaxOrder + 1] = {};
    for (int64_t i = 1; i <= count; ++i) {
      const int equal = i < count ? equal_ids(keys[i - 1], keys[i]) : 0;
      for (int n = order_; n > equal; --n) {
        if (i - begin[n] >= min_count_ && (n == 1 || id(keys[i - 1], n)))
          emit(head, keys[i - 1], n, i - begin[n], tables[static_cast<size_t>(n - 1)]);
        begin[n] = i;
      }
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
  int equal_ids(Key a, Key b) const {
    int n = 1;
    while (n < order_ && id(a, n + 1) == id(b, n + 1)) ++n;
    return n;
  }
  void emit(uint32_t head, Key key, int n, int64_t count, Table& table) const {
    table.grams.push_back(head);
    for (int k = 2; k <= n; ++k) table.grams.push_back(id(key, k));
    table.counts.push_back(count);
  }

  int order_;
  int64_t min_count_;
  int bits_;
};

// Consecutive buckets of about this many keys are one task.
constexpr int64_t kTaskKeys = 1 << 15;

std::vector<uint32_t> task_bounds(const std::vector<int64_t>& first, uint32_t buckets) {
  std::vector<uint32_t> bounds(1, 1);
  for (uint32_t b = 1; b < buckets; ++b)
    if (first[b + 1] - first[bounds.back()] >= kTaskKeys) bounds.push_back(b + 1);
  if (bounds.back() != buckets) bounds.push_back(buckets);
  return bounds;
}

void append(std::vector<std::vector<Table>>&& parts, std::vector<Table>& tables) {
  for (size_t n = 0; n < tables.size(); ++n)
    for (auto& part : parts) {
      Table& t = part[n];
      tables[n].grams.insert(tables[n].grams.end(), t.grams.begin(), t.grams.end());
      tables[n].counts.insert(tables[n].counts.end(), t.counts.begin(), t.counts.end());
      t = Table();
    }
}

template <class Key>
void count_keys(Counted& out, int64_t size, int max_order, int64_t min_count, int threads, Job& job) {
  const uint32_t buckets = static_cast<uint32_t>(out.alphabet.code_of.size());
  const uint32_t* ids = out.ids.data();
  std::vector<int64_t> first(buckets + 1, 0);
  for (int64_t i = 0; i < size; ++i)
    if (ids[i]) ++first[ids[i] + 1];
  for (uint32_t b = 1; b <= buckets; ++b) first[b] += first[b - 1];
  const Counter<Key> counter(max_order, min_count, out.alphabet.bits);
  Buffer<Key> keys(static_cast<size_t>(first[buckets]));
  std::vector<int64_t> next(first);
  for (int64_t i = 0; i < size; ++i)
    if (ids[i]) keys[static_cast<size_t>(next[ids[i]]++)] = counter.pack(ids + i);

  const std::vector<uint32_t> bounds = task_bounds(first, buckets);
  std::vector<std::vector<Table>> parts(bounds.size() - 1,
                                        std::vector<Table>(static_cast<size_t>(max_order)));
  const auto count_task = [&](int64_t task) {
    const size_t t = static_cast<size_t>(task);
    int64_t largest = 0;
    for (uint32_t b = bounds[t]; b < bounds[t + 1]; ++b) largest = std::max(largest, first[b + 1] - first[b]);
    Buffer<Key> spare(static_cast<size_t>(largest));
    for (uint32_t b = bounds[t]; b < bounds[t + 1] && !job.stopped(); ++b) {
      const int64_t count = first[b + 1] - first[b];
      sort_keys(keys.data() + first[b], spare.data(), count);
      counter.scan(b, keys.data() + first[b], count, parts[t]);
      job.advance(count);
    }
  };
  parallel_for(static_cast<int64_t>(parts.size()), count_task, threads, &job);
  append(std::move(parts), out.tables);
}

}  // namespace

Counted count_ngrams(const uint32_t* codes, int64_t size, int max_order, int64_t min_count, int threads,
                     Job& job) {
  Counted out;
  make_alphabet(codes, size, out);
  out.tables.resize(static_cast<size_t>(max_order));
  const int bits = out.alphabet.bits * max_order;
  if (bits > 128) throw std::invalid_argument("max_order must be lower for a corpus of so many characters");
  if (out.alphabet.code_of.size() > 1) {
    if (out.alphabet.bits * (max_order - 1) <= 64)
      count_keys<uint64_t>(out, size, max_order, min_count, threads, job);
    else
      count_keys<Wide>(out, size, max_order, min_count, threads, job);
  }
  for (const int64_t count : out.tables[0].counts) out.total += count;
  return out;
}

}  // namespace kxfast::words
