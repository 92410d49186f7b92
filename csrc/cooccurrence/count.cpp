// Pair counts without a hash, a sort of pairs, or a merge.
//
// An inverted index lists the positions of each word. For each word (a row) its occurrences are walked and
// the words in their windows are added into one accumulator of the vocabulary's length, which stays in the L2
// cache; then the row is written in the order of its columns. Rows are independent: groups of rows with equal
// work are the tasks. Harmonic weights are integers over the least common multiple of the distances, so sums
// are exact, in any order.
//
// How a row finds its columns depends on how many additions it has: very common words look at the whole
// accumulator; the rest set a bit for each column and walk the bits; rare words collect their few (column,
// weight) pairs and sort them, since even the bits of a large vocabulary would cost more. The limit is the
// latency of the additions and of the windows' loads, which come from all over the corpus (they are
// prefetched). Counting one side only and adding the transpose halves the additions, but the merge of 20
// million cells cost as much as it saved.
#include "cooccurrence/count.hpp"

#include <algorithm>
#include <numeric>

#include "core/threads.hpp"

namespace kxfast::cooccurrence {
namespace {

// The corpus as 32-bit ids with one break (the vocabulary's size) before, between and behind documents.
struct Corpus {
  Buffer<int32_t> ids;
  std::vector<int64_t> first;  // of each word in `positions`
  Buffer<uint32_t> near;       // positions, if they fit
  Buffer<int64_t> far;

  Corpus(const int64_t* given, int64_t size, int64_t vocabulary)
      : ids(static_cast<size_t>(size) + 2), first(static_cast<size_t>(vocabulary) + 1, 0) {
    const int32_t stop = static_cast<int32_t>(vocabulary);
    ids[0] = ids[static_cast<size_t>(size) + 1] = stop;
    for (int64_t i = 0; i < size; ++i) {
      const int64_t id = given[i];
      ids[static_cast<size_t>(i) + 1] = id < 0 ? stop : static_cast<int32_t>(id);
      if (id >= 0) ++first[static_cast<size_t>(id) + 1];
    }
    for (size_t w = 1; w < first.size(); ++w) first[w] += first[w - 1];
    if (size + 2 < int64_t{1} << 32) {
      near = Buffer<uint32_t>(static_cast<size_t>(first.back()));
      index(near, stop);
    } else {
      far = Buffer<int64_t>(static_cast<size_t>(first.back()));
      index(far, stop);
    }
  }

  template <class Position>
  void index(Buffer<Position>& positions, int32_t stop) {
    std::vector<int64_t> next(first);
    for (size_t p = 0; p < ids.size(); ++p)
      if (ids[p] != stop)
        positions[static_cast<size_t>(next[static_cast<size_t>(ids[p])]++)] = static_cast<Position>(p);
  }
};

struct Weights {
  std::vector<uint64_t> whole;  // by distance; scale / distance
  std::vector<double> parts;    // by distance; used where integers could overflow
  uint64_t scale = 1;
  bool exact = true;
  uint64_t per_occurrence = 0;  // most that one occurrence adds

  Weights(int64_t window, bool harmonic, int64_t tokens) {
    constexpr uint64_t kLimit = uint64_t{1} << 62;
    for (int64_t d = 2; harmonic && exact && d <= window; ++d) {
      const uint64_t factor = static_cast<uint64_t>(d) / std::gcd(scale, static_cast<uint64_t>(d));
      if (scale > kLimit / factor / (2 * static_cast<uint64_t>(tokens) * static_cast<uint64_t>(window)))
        exact = false;
      else
        scale *= factor;
    }
    whole.assign(static_cast<size_t>(window) + 1, 0);
    parts.assign(static_cast<size_t>(window) + 1, 0);
    for (size_t d = 1; d < whole.size(); ++d) {
      whole[d] = harmonic ? scale / d : 1;
      parts[d] = 1.0 / static_cast<double>(d);
      per_occurrence += 2 * whole[d];
    }
  }
};

// The cells of a group of rows.
struct Cells {
  std::vector<int64_t> lengths;
  std::vector<int32_t> columns;
  std::vector<uint64_t> whole;
  std::vector<double> parts;
};

template <class Position>
class Counter {
 public:
  Counter(const Corpus& corpus, const Buffer<Position>& positions, int64_t vocabulary, int64_t window,
          const Weights& weights, Direction direction)
      : corpus_(corpus),
        positions_(positions.data()),
        vocabulary_(vocabulary),
        window_(window),
        weights_(weights),
        forward_(direction != Direction::right),
        backward_(direction != Direction::left) {}

  void rows(int64_t begin, int64_t end, Cells& out, Job& job) const {
    const size_t bits = static_cast<size_t>(vocabulary_ / 64 + 1), size = static_cast<size_t>(vocabulary_);
    std::vector<uint32_t> narrow(size, 0);
    std::vector<uint64_t> wide, touched(bits, 0);
    std::vector<double> real;
    for (int64_t row = begin; row < end && !job.stopped(); ++row) {
      const uint64_t occurrences = static_cast<uint64_t>(count(row));
      const size_t before = out.columns.size();
      if (!weights_.exact) {
        real.resize(size, 0);
        add_row(row, real.data(), weights_.parts.data(), touched, out, out.parts, job);
      } else if (occurrences <= UINT32_MAX / std::max<uint64_t>(1, weights_.per_occurrence)) {
        add_row(row, narrow.data(), weights_.whole.data(), touched, out, out.whole, job);
      } else {
        wide.resize(size, 0);
        add_row(row, wide.data(), weights_.whole.data(), touched, out, out.whole, job);
      }
      out.lengths.push_back(static_cast<int64_t>(out.columns.size() - before));
      job.advance(static_cast<int64_t>(occurrences));
    }
  }

  int64_t count(int64_t row) const {
    return corpus_.first[static_cast<size_t>(row) + 1] - corpus_.first[static_cast<size_t>(row)];
  }

 private:
  // visit(column, distance) for every word in the windows of a row's word.
  template <class Visit>
  void walk(int64_t row, Job& job, Visit&& visit) const {
    const int32_t* ids = corpus_.ids.data();
    const int32_t stop = static_cast<int32_t>(vocabulary_);
    const int64_t begin = corpus_.first[static_cast<size_t>(row)], end = begin + count(row);
    const int64_t last = corpus_.first.back() - 1;
    for (int64_t p = begin; p < end; ++p) {
      if (!(p & 0xFFFF) && job.stopped()) return;
      const int32_t* ahead = ids + positions_[std::min(p + 12, last)];
      __builtin_prefetch(ahead - 8);
      __builtin_prefetch(ahead + 8);
      const int32_t* at = ids + positions_[p];
      if (forward_)
        for (int64_t d = 1; d <= window_ && at[d] != stop; ++d) visit(at[d], d);
      if (backward_)
        for (int64_t d = 1; d <= window_ && at[-d] != stop; ++d) visit(at[-d], d);
    }
  }

  template <class Sum, class Weight, class Value>
  void add_row(int64_t row, Sum* sums, const Weight* weight, std::vector<uint64_t>& touched, Cells& out,
               std::vector<Value>& values, Job& job) const {
    const int64_t additions = count(row) * window_ * (forward_ + backward_), words = vocabulary_ / 64 + 1;
    const auto put = [&](int64_t column) {
      out.columns.push_back(static_cast<int32_t>(column));
      values.push_back(static_cast<Value>(sums[column]));
      sums[column] = 0;
    };
    if (additions >= 4 * vocabulary_) {
      walk(row, job, [&](int32_t c, int64_t d) { sums[c] += static_cast<Sum>(weight[d]); });
      for (int64_t c = 0; c < vocabulary_; ++c)
        if (sums[c] != 0) put(c);
    } else if (8 * additions >= words) {
      walk(row, job, [&](int32_t c, int64_t d) {
        sums[c] += static_cast<Sum>(weight[d]);
        touched[static_cast<size_t>(c >> 6)] |= uint64_t{1} << (c & 63);
      });
      for (int64_t w = 0; w < words; ++w) {
        for (uint64_t left = touched[static_cast<size_t>(w)]; left; left &= left - 1)
          put(w * 64 + __builtin_ctzll(left));
        touched[static_cast<size_t>(w)] = 0;
      }
    } else {
      const size_t before = out.columns.size();
      walk(row, job, [&](int32_t c, int64_t d) {
        if (sums[c] == 0) out.columns.push_back(c);
        sums[c] += static_cast<Sum>(weight[d]);
      });
      std::sort(out.columns.begin() + static_cast<int64_t>(before), out.columns.end());
      for (size_t k = before; k < out.columns.size(); ++k) {
        values.push_back(static_cast<Value>(sums[out.columns[k]]));
        sums[out.columns[k]] = 0;
      }
    }
  }

  const Corpus& corpus_;
  const Position* positions_;
  int64_t vocabulary_, window_;
  const Weights& weights_;
  bool forward_, backward_;
};

// Groups of rows with about the same number of occurrences.
std::vector<int64_t> row_groups(const std::vector<int64_t>& first) {
  const int64_t rows = static_cast<int64_t>(first.size()) - 1;
  const int64_t share = std::max<int64_t>(1 << 14, first.back() / 256);
  std::vector<int64_t> bounds(1, 0);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t begin = bounds.back();
    if (first[static_cast<size_t>(row) + 1] - first[static_cast<size_t>(begin)] >= share ||
        row - begin >= 4096)
      bounds.push_back(row + 1);
  }
  if (bounds.back() != rows) bounds.push_back(rows);
  return bounds;
}

Matrix assemble(std::vector<Cells>& parts, int64_t vocabulary, bool harmonic, const Weights& weights) {
  Matrix out;
  out.indptr.reserve(static_cast<size_t>(vocabulary) + 1);
  out.indptr.push_back(0);
  for (const Cells& part : parts)
    for (const int64_t length : part.lengths) out.indptr.push_back(out.indptr.back() + length);
  const size_t cells = static_cast<size_t>(out.indptr.back());
  out.indices = Buffer<int32_t>(cells);
  if (harmonic)
    out.weighted = Buffer<double>(cells);
  else
    out.whole = Buffer<int64_t>(cells);
  size_t at = 0;
  for (Cells& part : parts) {
    std::copy(part.columns.begin(), part.columns.end(), out.indices.data() + at);
    for (size_t k = 0; k < part.columns.size(); ++k) {
      if (!harmonic)
        out.whole[at + k] = static_cast<int64_t>(part.whole[k]);
      else if (weights.exact)
        out.weighted[at + k] = static_cast<double>(part.whole[k]) / static_cast<double>(weights.scale);
      else
        out.weighted[at + k] = part.parts[k];
    }
    at += part.columns.size();
    part = Cells();
  }
  return out;
}

// At least 1.
int64_t longest_document(const int64_t* ids, int64_t size) {
  int64_t longest = 1, length = 0;
  for (int64_t i = 0; i < size; ++i) {
    length = ids[i] < 0 ? 0 : length + 1;
    longest = std::max(longest, length);
  }
  return longest;
}

}  // namespace

Matrix count_pairs(const int64_t* ids, int64_t size, int64_t vocabulary, int64_t window, bool harmonic,
                   Direction direction, int threads, Job& job) {
  window = std::min(window, longest_document(ids, size) - 1);
  const Corpus corpus(ids, size, vocabulary);
  const Weights weights(window, harmonic, std::max<int64_t>(size, 1));
  const std::vector<int64_t> bounds = row_groups(corpus.first);
  std::vector<Cells> parts(bounds.size() - 1);
  const auto run = [&](const auto& positions) {
    const Counter counter(corpus, positions, vocabulary, window, weights, direction);
    const auto group = [&](int64_t g) {
      const size_t at = static_cast<size_t>(g);
      counter.rows(bounds[at], bounds[at + 1], parts[at], job);
    };
    parallel_for(static_cast<int64_t>(parts.size()), group, threads, &job);
  };
  if (corpus.near.size())
    run(corpus.near);
  else
    run(corpus.far);
  if (job.stopped()) return Matrix();
  return assemble(parts, vocabulary, harmonic, weights);
}

}  // namespace kxfast::cooccurrence
