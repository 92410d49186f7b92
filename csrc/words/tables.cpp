// n-gram tables of all orders from sorted runs of the highest order.
//
// Rows come in order, so the n-grams of every order are stretches of equal prefixes: one scan keeps a count
// for each prefix of the row before and writes those that the next row ends. KenLM's counts are the same scan
// over rows from which the padding has been stripped; rows with equally many start symbols are still in order
// without them, so each such group is a run and the groups are merged once more.
#include <algorithm>

#include "words/ngrams.hpp"

namespace kxfast::words {
namespace {

constexpr uint32_t kEnd = 1, kStart = 2;  // below all characters, so that a row cut short stays in order

template <class T>
Buffer<T> to_buffer(std::vector<T>&& vector) {
  Buffer<T> buffer(vector.size());
  std::copy(vector.begin(), vector.end(), buffer.begin());
  std::vector<T>().swap(vector);
  return buffer;
}

class Prefixes {
 public:
  Prefixes(int max_order, int64_t min_count)
      : order_(max_order),
        min_count_(min_count),
        grams_(static_cast<size_t>(max_order)),
        counts_(static_cast<size_t>(max_order)) {}

  void add(const uint32_t* codes, int64_t length, int64_t count) {
    int shared = 0;
    while (shared < length && shared < length_ && codes[shared] == last_[shared]) ++shared;
    close(shared);
    length_ = static_cast<int>(std::min<int64_t>(length, order_));
    for (int n = 1; n <= length_; ++n) last_[n - 1] = codes[n - 1], sum_[n] += count;
  }

  Counted finish() {
    close(0);
    Counted out;
    for (size_t n = 0; n < grams_.size(); ++n)
      out.tables.push_back({to_buffer(std::move(grams_[n])), to_buffer(std::move(counts_[n]))});
    return out;
  }

 private:
  void close(int shared) {
    for (int n = shared + 1; n <= length_; ++n) {
      if (sum_[n] >= min_count_) {
        grams_[static_cast<size_t>(n - 1)].insert(grams_[static_cast<size_t>(n - 1)].end(), last_, last_ + n);
        counts_[static_cast<size_t>(n - 1)].push_back(sum_[n]);
      }
      sum_[n] = 0;
    }
    length_ = shared;
  }

  int order_, length_ = 0;
  int64_t min_count_;
  uint32_t last_[kMaxOrder] = {};
  int64_t sum_[kMaxOrder + 1] = {};
  std::vector<std::vector<uint32_t>> grams_;
  std::vector<std::vector<int64_t>> counts_;
};

}  // namespace

Counted tables_of_runs(std::vector<RunReader>& runs, int max_order, int64_t min_count, Job& job) {
  Prefixes prefixes(max_order, min_count);
  merge_runs(runs, job, [&](const uint32_t* codes, int64_t length, int64_t count) {
    prefixes.add(codes, length, count);
  });
  Counted out = prefixes.finish();
  for (const int64_t count : out.tables[0].counts) out.total += count;
  return out;
}

std::vector<uint32_t> pad_runs(const uint32_t* codes, int64_t size, int order, Job& job) {
  std::vector<uint32_t> out;
  out.reserve(static_cast<size_t>(size) + static_cast<size_t>(size) / 4);
  bool inside = false;
  in_stretches(size, job, [&](int64_t i) {
    if (codes[i] && !inside) out.insert(out.end(), static_cast<size_t>(order - 1), kStart);
    if (!codes[i] && inside) out.push_back(kEnd);
    inside = codes[i] != 0;
    if (inside || (!out.empty() && out.back())) out.push_back(codes[i]);
  });
  if (inside) out.push_back(kEnd);
  return out;
}

Counted kenlm_tables_of_runs(std::vector<RunReader>& runs, int max_order, int64_t min_count, Job& job) {
  std::vector<RunWriter> groups(static_cast<size_t>(max_order));  // by the number of start symbols
  int64_t total = 0;
  merge_runs(runs, job, [&](const uint32_t* codes, int64_t length, int64_t count) {
    if (length < max_order || count < min_count) return;  // shorter rows are no rows of KenLM's
    total += count;
    int64_t starts = 0;
    while (starts < length && codes[starts] == kStart) ++starts;
    length -= codes[length - 1] == kEnd;
    if (starts < length) groups[static_cast<size_t>(starts)].add(codes + starts, length - starts, count);
  });
  std::vector<RunReader> stripped;
  for (const RunWriter& group : groups) stripped.emplace_back(group.bytes.data(), group.bytes.size());
  Counted out = tables_of_runs(stripped, max_order, 1, job);
  out.total = total;
  return out;
}

}  // namespace kxfast::words
