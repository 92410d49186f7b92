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
class Buckets {
 public:
  // accept(position, &key) says whether a position takes part, and with which key.
  template <class Accept>
  Buckets(const uint32_t* ids, int64_t size, uint32_t buckets, Accept&& accept, Job& job)
      : first_(buckets + 1, 0) {
    Key key;
    in_stretches(size, job, [&](int64_t i) {
      if (ids[i] && accept(i, nullptr)) ++first_[ids[i] + 1];
    });
    for (uint32_t b = 1; b <= buckets; ++b) first_[b] += first_[b - 1];
    keys_ = Buffer<Key>(static_cast<size_t>(first_[buckets]));
    std::vector<int64_t> next(first_);
    in_stretches(size, job, [&](int64_t i) {
      if (ids[i] && accept(i, &key)) keys_[static_cast<size_t>(next[ids[i]]++)] = key;
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

 private:
  static constexpr int64_t kTaskKeys = 1 << 15;  // consecutive buckets of about so many keys are one task
  std::vector<int64_t> first_;
  std::vector<uint32_t> bounds_;
  Buffer<Key> keys_;
};

}  // namespace kxfast::words
