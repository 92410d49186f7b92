// A corpus as ids, and the keys of its positions in buckets by their id: what counting and entropies sort.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/threads.hpp"
#include "words/large.hpp"
#include "words/radix.hpp"

namespace kxfast::words {

// The characters that come often enough get ids 1 .. in the order of their code points; all others, and the
// breaks, have id 0: no n-gram with a rare character is frequent (Apriori). Positions are divided into as
// many groups as there are threads.
class Corpus {
 public:
  Corpus(const uint32_t* codes, int64_t size, int64_t min_count, int threads, Job& job);

  uint32_t ids() const { return static_cast<uint32_t>(code_of.size()); }  // with the break
  int64_t groups() const { return static_cast<int64_t>(seen_.size()); }
  int64_t begin(int64_t group) const { return size_ * group / groups(); }
  int64_t count(int64_t group, uint32_t id) const {
    return seen_[static_cast<size_t>(group)][static_cast<size_t>(code_of[id])];
  }

  // visit(id, key, other) for the positions of a group that have an id. The key holds the ids of the `behind`
  // positions to their right (`left`: to their left), the nearest highest, 0 from a break on; `other` is the
  // id of the neighbour on the other side. One step for each position: the key of a position is that of the
  // one beside it, shifted.
  template <class Key, class Visit>
  void each_key(int64_t group, int behind, bool left, Job& job, Visit&& visit) const {
    const int64_t from = begin(group), to = begin(group + 1), step = left ? 1 : -1;
    const int64_t first = left ? std::max<int64_t>(from - behind, 0) : std::min(to + behind, size_) - 1;
    const int top = behind ? bits * (behind - 1) : 0;
    const Key all = behind ? ~Key{0} : Key{0};
    Key key = 0;
    int64_t at = first;
    uint32_t id = from < to ? id_of[codes_[at]] : 0;
    in_stretches(from < to ? (left ? to - first : first - from + 1) : 0, job, [&](int64_t) {
      const int64_t next = at + step;
      const uint32_t other = next >= 0 && next < size_ ? id_of[codes_[next]] : 0;
      if (id && at >= from && at < to) visit(id, key, other);
      key = id ? (Key{id} << top | key >> bits) & all : 0;
      at = next, id = other;
    });
  }

  std::vector<uint32_t> code_of, id_of;
  int bits = 1;  // of an id

 private:
  const uint32_t* codes_;
  int64_t size_;
  std::vector<std::vector<uint32_t>> seen_;  // [group][code point]: how often it comes
};

// The keys of a corpus' positions, as each_key gives them.
template <class Key>
class Buckets {
 public:
  // key_of(key, other) is what is kept. Groups of positions write to places of their own in each bucket.
  template <class KeyOf>
  Buckets(const Corpus& corpus, int behind, bool left, KeyOf&& key_of, int threads, Job& job)
      : first_(corpus.ids() + 1, 0) {
    const uint32_t buckets = corpus.ids();
    std::vector<std::vector<int64_t>> next(static_cast<size_t>(corpus.groups()),
                                           std::vector<int64_t>(buckets, 0));
    for (uint32_t b = 1; b < buckets; ++b) {
      first_[b + 1] = first_[b];
      for (int64_t group = 0; group < corpus.groups(); ++group) {
        next[static_cast<size_t>(group)][b] = first_[b + 1];
        first_[b + 1] += corpus.count(group, b);
      }
    }
    keys_ = large_buffer<Key>(static_cast<size_t>(first_[buckets]));
    const auto fill = [&](int64_t group) {
      int64_t* own = next[static_cast<size_t>(group)].data();
      Key* keys = keys_.data();
      corpus.template each_key<Key>(group, behind, left, job, [=](uint32_t id, Key key, uint32_t other) {
        keys[own[id]++] = key_of(key, other);
      });
    };
    parallel_for(corpus.groups(), fill, threads, &job);
    bounds_.push_back(1);
    for (uint32_t b = 1; b < buckets; ++b)
      if (first_[b + 1] - first_[bounds_.back()] >= kTaskKeys) bounds_.push_back(b + 1);
    if (bounds_.back() < buckets) bounds_.push_back(buckets);
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
