// Pair counts without a hash, a sort of pairs, or a merge.
//
// An inverted index lists the positions of each word. For each word (a row) its occurrences are walked and
// the words in their windows are added into one row of sums, which stays in the L2 cache; then the columns
// that are not 0 are taken out in order and packed into bytes. Rows are independent: groups of rows with
// equal work are the tasks. Harmonic weights are integers over the least common multiple of the distances, so
// sums are exact, in any order.
//
// The inner loop is over the window. Breaks between documents are as long as the window and have a column of
// their own, so it has no test. Each addition also marks its block of 64 columns, and only marked blocks are
// looked at; for very rare words of a large vocabulary even the marks would cost more, and their few columns
// are sorted. The limit is the latency of the additions, and of the windows' loads, which come from all over
// the corpus (they are prefetched). Tried and lost: a bit for each column (a read-modify-write for each
// addition), and counting one side and adding the transpose (the merge of 20 million cells cost what it
// saved).
#include "cooccurrence/count.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>

#include "cooccurrence/sums.hpp"
#include "core/threads.hpp"

namespace kxfast::cooccurrence {

Weights::Weights(int64_t window, bool harmonic) : scale(1), wide(false), harmonic_(harmonic) {
  if (!harmonic) return;
  constexpr int64_t kLongest = 41;  // the largest window whose common multiple is below 2^60
  for (int64_t d = 2; d <= std::min(window, kLongest); ++d)
    scale *= static_cast<uint64_t>(d) / std::gcd(scale, static_cast<uint64_t>(d));
  if (window > kLongest) scale = 0;  // weights are rounded down to multiples of 2^-64
  wide = window > 22;                // up to 22 the scale is below 2^28
}

double Weights::value(Wide sum) const {
  if (scale == 0) {
    const uint64_t high = static_cast<uint64_t>(sum >> 64), low = static_cast<uint64_t>(sum);
    return static_cast<double>(high) + std::ldexp(static_cast<double>(low), -64);
  }
  return static_cast<double>(sum) / static_cast<double>(scale);
}

namespace {

template <class Id>
class Counter {
 public:
  Counter(const Block& block, const Id* ids, int64_t window, const Weights& weights, Direction direction)
      : block_(block),
        ids_(ids),
        window_(std::min(window, block.longest - 1)),
        weights_(weights),
        forward_(direction != Direction::right),
        backward_(direction != Direction::left) {
    for (int64_t d = 0; d <= window_; ++d) {
      const Wide weight = d == 0 ? 0 : weights.at(d);
      wide_.push_back(weight);
      long_.push_back(static_cast<uint64_t>(weight));
      short_.push_back(static_cast<uint32_t>(weight));
      per_occurrence_ += 2 * long_.back();
    }
  }

  void rows(int64_t begin, int64_t end, Bytes& out, Job& job) const {
    Sums<uint32_t> narrow(weights_.wide ? 0 : block_.size);
    std::vector<Sums<uint64_t>> large;  // made for the few rows that need them
    std::vector<Sums<Wide>> wide;
    if (weights_.wide) wide.emplace_back(block_.size);
    for (int64_t row = begin; row < end && !job.stopped(); ++row) {
      const int64_t occurrences = count(row);
      if (weights_.wide) {
        add_row(row, wide[0], wide_.data(), out, job);
      } else if (static_cast<uint64_t>(occurrences) <= UINT32_MAX / std::max<uint64_t>(1, per_occurrence_)) {
        if (occurrences * window_ * 2 <= std::min(kFew, narrow.blocks() / 64))
          sort_row(row, out);
        else
          add_row(row, narrow, short_.data(), out, job);
      } else {
        if (large.empty()) large.emplace_back(block_.size);
        add_row(row, large[0], long_.data(), out, job);
      }
      job.advance(occurrences);
    }
  }

 private:
  static constexpr int64_t kFew = 4096;

  int64_t count(int64_t row) const {
    return int64_t{block_.first[static_cast<size_t>(row) + 1]} - block_.first[static_cast<size_t>(row)];
  }

  // visit(column, distance) for every word in the windows of a row's word; of breaks too, where they are
  // long.
  template <bool Padded, class Visit>
  void walk(int64_t row, Visit&& visit) const {
    const uint32_t stop = static_cast<uint32_t>(block_.size);
    const uint32_t* positions = block_.positions.data();
    const int64_t begin = block_.first[static_cast<size_t>(row)], end = begin + count(row);
    const int64_t last = int64_t{block_.first.back()} - 1, window = window_;
    constexpr int64_t kAhead = 16;
    for (int64_t p = begin; p < end; ++p) {
      const Id* ahead = ids_ + positions[std::min(p + kAhead, last)];
      __builtin_prefetch(ahead - 8);
      __builtin_prefetch(ahead + 8);
      const Id* at = ids_ + positions[p];
      if (forward_)
        for (int64_t d = 1; d <= window && (Padded || at[d] != stop); ++d) visit(at[d], d);
      if (backward_)
        for (int64_t d = 1; d <= window && (Padded || at[-d] != stop); ++d) visit(at[-d], d);
    }
  }

  template <class Sum>
  void add_row(int64_t row, Sums<Sum>& sums, const Sum* weight, Bytes& out, Job& job) const {
    const auto visit = [&](uint32_t column, int64_t d) { sums.add(column, weight[d]); };
    if (job.stopped()) return;
    if (block_.pad >= window_)
      walk<true>(row, visit);
    else
      walk<false>(row, visit);
    sums.append_to(out, static_cast<uint32_t>(row));
  }

  // For few additions: (column, weight) pairs in one word each, sorted.
  void sort_row(int64_t row, Bytes& out) const {
    std::vector<uint64_t> pairs;
    const auto visit = [&](uint32_t column, int64_t d) {
      pairs.push_back(uint64_t{column} << 32 | short_[static_cast<size_t>(d)]);
    };
    walk<false>(row, visit);
    std::sort(pairs.begin(), pairs.end());
    size_t cells = 0;
    for (const uint64_t pair : pairs) {
      if (cells && pairs[cells - 1] >> 32 == pair >> 32)
        pairs[cells - 1] += static_cast<uint32_t>(pair);
      else
        pairs[cells++] = pair;
    }
    append_row(out, static_cast<uint32_t>(row), cells, [&](size_t k) {
      return std::pair<uint32_t, uint32_t>(static_cast<uint32_t>(pairs[k] >> 32),
                                           static_cast<uint32_t>(pairs[k]));
    });
  }

  const Block& block_;
  const Id* ids_;
  int64_t window_;
  const Weights& weights_;
  bool forward_, backward_;
  std::vector<uint32_t> short_;  // weights by distance
  std::vector<uint64_t> long_;
  std::vector<Wide> wide_;
  uint64_t per_occurrence_ = 0;  // most that one occurrence adds
};

}  // namespace

std::vector<int64_t> row_groups(const Block& block, int64_t most) {
  const std::vector<uint32_t>& first = block.first;
  const int64_t rows = static_cast<int64_t>(first.size()) - 1;
  const uint32_t share = std::max<uint32_t>(1 << 12, first.back() / static_cast<uint32_t>(most));
  std::vector<int64_t> bounds(1, 0);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t begin = bounds.back();
    if (first[static_cast<size_t>(row) + 1] - first[static_cast<size_t>(begin)] >= share ||
        row - begin >= 1 << 16)
      bounds.push_back(row + 1);
  }
  if (bounds.back() != rows) bounds.push_back(rows);
  return bounds;
}

std::vector<Bytes> count_pairs(const Block& block, const std::vector<int64_t>& bounds, int64_t begin,
                               int64_t end, int64_t window, const Weights& weights, Direction direction,
                               int threads, Job& job) {
  std::vector<Bytes> parts(static_cast<size_t>(end - begin));
  const auto run = [&](const auto& ids) {
    const Counter counter(block, ids.data(), window, weights, direction);
    const auto group = [&](int64_t g) {
      const size_t at = static_cast<size_t>(begin + g);
      counter.rows(bounds[at], bounds[at + 1], parts[static_cast<size_t>(g)], job);
    };
    parallel_for(end - begin, group, threads, &job);
  };
  if (block.narrow.size())
    run(block.narrow);
  else
    run(block.wide);
  return parts;
}

}  // namespace kxfast::cooccurrence
