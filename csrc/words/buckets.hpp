// Keys of all positions of a corpus, in buckets by the first id: what counting and entropies sort.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/threads.hpp"
#include "core/workspace.hpp"

namespace kxfast::words {

__extension__ typedef unsigned __int128 Wide;

// Sorts by the bytes in which keys differ, least significant first; `spare` is as long as `keys`.
template <class Key>
void sort_keys(Key* keys, Key* spare, int64_t count) {
  if (count < 256) {
    std::sort(keys, keys + count);
    return;
  }
  Key any = 0, all = ~Key{0};
  for (int64_t i = 0; i < count; ++i) any |= keys[i], all &= keys[i];
  unsigned shifts[sizeof(Key)], passes = 0;
  for (unsigned shift = 0; shift < 8 * sizeof(Key); shift += 8)
    if ((any ^ all) >> shift & 0xFF) shifts[passes++] = shift;
  int64_t next[sizeof(Key)][256];
  std::fill(next[0], next[passes], 0);
  for (int64_t i = 0; i < count; ++i)
    for (unsigned pass = 0; pass < passes; ++pass)
      ++next[pass][static_cast<unsigned>(keys[i] >> shifts[pass] & 0xFF)];
  Key *from = keys, *to = spare;
  for (unsigned pass = 0; pass < passes; ++pass) {
    int64_t sum = 0;
    for (int64_t& each : next[pass]) each = std::exchange(sum, sum + each);
    for (int64_t i = 0; i < count; ++i)
      to[next[pass][static_cast<unsigned>(from[i] >> shifts[pass] & 0xFF)]++] = from[i];
    std::swap(from, to);
  }
  if (from != keys) std::copy(from, from + count, keys);
}

// The positions of a corpus in as many groups as there are threads.
class Groups {
 public:
  Groups(int64_t size, int threads)
      : count(std::clamp<int64_t>(std::min<int64_t>(threads ? threads : num_threads(), size >> 18), 1, 8)),
        size_(size),
        threads_(threads) {}

  // body(group, position) for all positions; those of a group go up.
  template <class Body>
  void each(Job& job, Body&& body) const {
    const auto run = [&](int64_t g) {
      const int64_t begin = size_ * g / count, end = size_ * (g + 1) / count;
      const auto group = static_cast<size_t>(g);
      in_stretches(end - begin, job, [&](int64_t i) { body(group, begin + i); });
    };
    parallel_for(count, run, threads_, &job);
  }

  const int64_t count;

 private:
  int64_t size_;
  int threads_;
};

template <class Key>
class Buckets {
 public:
  // accept(position, &key) says whether a position takes part, and with which key. Groups of positions write
  // to places of their own in each bucket.
  template <class Accept>
  Buckets(const uint32_t* ids, int64_t size, uint32_t buckets, Accept&& accept, int threads, Job& job)
      : first_(buckets + 1, 0) {
    const Groups groups(size, threads);
    std::vector<std::vector<int64_t>> next(static_cast<size_t>(groups.count),
                                           std::vector<int64_t>(buckets, 0));
    groups.each(job, [&](size_t group, int64_t i) {
      if (ids[i] && accept(i, nullptr)) ++next[group][ids[i]];
    });
    for (uint32_t b = 0; b < buckets; ++b) {
      first_[b + 1] = first_[b];
      for (auto& each : next) first_[b + 1] += std::exchange(each[b], first_[b + 1]);
    }
    keys_ = Buffer<Key>(static_cast<size_t>(first_[buckets]));
    groups.each(job, [&](size_t group, int64_t i) {
      Key key;
      if (ids[i] && accept(i, &key)) keys_[static_cast<size_t>(next[group][ids[i]]++)] = key;
    });
    bounds_.push_back(1);
    for (uint32_t b = 1; b < buckets; ++b)
      if (first_[b + 1] - first_[bounds_.back()] >= kTaskKeys) bounds_.push_back(b + 1);
    if (bounds_.back() != buckets) bounds_.push_back(buckets);
  }

  int64_t tasks() const { return static_cast<int64_t>(bounds_.size()) - 1; }

  // Sorts each bucket and calls visit(task, id, keys, count); tasks run on all threads.
  template <class Visit>
  void sort_each(Visit&& visit, int threads, Job& job) {
    const auto run = [&](int64_t task) {
      const uint32_t begin = bounds_[static_cast<size_t>(task)], end = bounds_[static_cast<size_t>(task) + 1];
      int64_t largest = 0;
      for (uint32_t b = begin; b < end; ++b) largest = std::max(largest, first_[b + 1] - first_[b]);
      Buffer<Key> spare(static_cast<size_t>(largest));
      for (uint32_t b = begin; b < end && !job.stopped(); ++b) {
        const int64_t count = first_[b + 1] - first_[b];
        sort_keys(keys_.data() + first_[b], spare.data(), count);
        visit(task, b, keys_.data() + first_[b], count);
        job.advance(count);
      }
    };
    parallel_for(tasks(), run, threads, &job);
  }

  // The same once more, when they are sorted.
  template <class Visit>
  void each(Visit&& visit, int threads, Job& job) const {
    const auto run = [&](int64_t task) {
      const size_t at = static_cast<size_t>(task);
      for (uint32_t b = bounds_[at]; b < bounds_[at + 1] && job.advance(0); ++b)
        visit(task, b, keys_.data() + first_[b], first_[b + 1] - first_[b]);
    };
    parallel_for(tasks(), run, threads, &job);
  }

 private:
  static constexpr int64_t kTaskKeys = 1 << 15;  // consecutive buckets of about so many keys are one task
  std::vector<int64_t> first_;
  std::vector<uint32_t> bounds_;
  Buffer<Key> keys_;
};

}  // namespace kxfast::words
