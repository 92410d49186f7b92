// N-grams of all orders from the sorted keys of a corpus.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "words/buckets.hpp"
#include "words/ngrams.hpp"
#include "words/runs.hpp"

namespace kxfast::words {

// Where a task writes its next n-gram of one order.
struct Place {
  uint32_t* grams;
  int64_t* count;
};

template <class Key>
class Counter {
 public:
  // Keys hold max_order - 1 ids of so many bits, above `below` bits that are not looked at.
  Counter(int max_order, int64_t min_count, int bits, int below)
      : order_(max_order), min_count_(min_count), bits_(bits), below_(below) {
    for (int bit = 0; bit < kBits; ++bit) {
      const int ids = bit < below ? 0 : (bit - below) / bits;
      equal_above_[bit] = bit < below ? order_ : std::max(0, order_ - 1 - ids),
      length_at_[bit] = order_ - ids;
    }
  }

  int64_t min_count() const { return min_count_; }

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
  int length_of(Key key) const {
    key = key >> below_ << below_;
    return key ? length_at_[lowest_bit(key)] : 1;
  }
  uint32_t id(Key key, int n) const {
    return static_cast<uint32_t>(key >> (below_ + bits_ * (order_ - n))) & ((1u << bits_) - 1);
  }
  int order_;
  int64_t min_count_;
  int bits_, below_;
  static constexpr int kBits = 8 * sizeof(Key);
  int equal_above_[kBits];  // ids before the highest bit in which two keys differ, the first among them
  int length_at_[kBits];    // ids up to the one that holds a key's lowest bit, the first among them
};

// What a task keeps of one order, where that is little: it is copied to its place, and no second scan is due.
struct Gathered {
  std::vector<uint32_t> grams;
  std::vector<int64_t> counts;
};
constexpr int64_t kFew = 8;  // the least min_count of which this is so

// Sorts buckets and writes the tables of all orders and the total.
template <class Key>
void count_buckets(Counted& out, Buckets<Key>& buckets, const Counter<Key>& counter, const uint32_t* code_of,
                   int threads, Job& job) {
  const auto tasks = static_cast<size_t>(buckets.tasks()), orders = out.tables.size();
  std::vector<std::vector<size_t>> rows(tasks, std::vector<size_t>(orders, 0));  // of each task, by order
  const bool few = counter.min_count() >= kFew;
  std::vector<Gathered> gathered(few ? tasks * orders : 0);
  const auto measure = [&](int64_t task, uint32_t head, const Key* keys, int64_t count) {
    std::vector<size_t>& own = rows[static_cast<size_t>(task)];
    if (!few) return counter.measure(keys, count, own.data());
    counter.scan(keys, count, [&](int n, Key key, int64_t times) {
      const auto length = static_cast<size_t>(n);
      Gathered& to = gathered[static_cast<size_t>(task) * orders + length - 1];
      to.grams.resize(to.grams.size() + length), to.counts.push_back(0), ++own[length - 1];
      Place place{to.grams.data() + to.grams.size() - length, &to.counts.back()};
      counter.put(code_of, head, n, key, times, place);
    });
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
  if (few) {
    for (size_t part = 0; part < gathered.size(); ++part) {
      const size_t n = part % orders, at = rows[part / orders][n];
      const Gathered& from = gathered[part];
      std::copy(from.grams.begin(), from.grams.end(), out.tables[n].grams.data() + at * (n + 1));
      std::copy(from.counts.begin(), from.counts.end(), out.tables[n].counts.data() + at);
    }
  } else {
    buckets.each(fill, threads, job);
  }
  for (const int64_t count : out.tables[0].counts) out.total += count;
}

// work(a key of the least type that holds so many bits)
template <class Work>
auto with_key(int bits, Work&& work) {
  if (bits > 128) throw std::invalid_argument("max_order must be lower for a corpus of so many characters");
  return bits <= 64 ? work(uint64_t{}) : work(Wide{});
}

}  // namespace kxfast::words
