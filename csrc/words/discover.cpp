// Discovery in three passes over n-gram tables and the corpus.
//
// 1. Cohesion. Exact tables are closed under prefixes and suffixes (a part is never rarer than the whole), so
// they are
//    a trie: the rows that extend a row lie side by side in the next table, and each row links to the row
//    without its first character. Both parts of every split are found by following links; nothing is looked
//    up by content.
// 2. The corpus is cut where no kept n-gram covers a gap. Only the kept n-grams and their prefixes go into a
// hashed
//    trie that stays in the L2 cache; most positions leave it after one step. Blocks of the corpus that end
//    at a break are tasks; each counts its segments in a table of its own, and tables are added in block
//    order.
// 3. Segments are filtered, checked back and sorted: by count, then by string.
#include "words/discover.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "words/ngrams.hpp"
#include "words/trie.hpp"

namespace kxfast::words {
namespace {

// The links of one table's rows into the table below.
struct Links {
  std::vector<uint32_t> parent, suffix;  // rows of order n - 1: without the last, without the first character
  std::vector<uint32_t> children;        // first row of order n + 1 that extends each row, and the end
};

std::vector<Links> link(const std::vector<Table>& tables) {
  std::vector<Links> links(tables.size());
  for (size_t n = 2; n <= tables.size(); ++n) {
    const Table &shorter = tables[n - 2], &table = tables[n - 1];
    Links &below = links[n - 2], &here = links[n - 1];
    const size_t rows = table.counts.size();
    here.parent.resize(rows), here.suffix.resize(rows);
    below.children.assign(shorter.counts.size() + 1, static_cast<uint32_t>(rows));
    uint32_t parent = 0;
    for (size_t r = 0; r < rows; ++r) {
      const uint32_t* gram = &table.grams[r * n];
      const auto is_parent = [&] {
        return std::equal(gram, gram + n - 1, &shorter.grams[size_t{parent} * (n - 1)]);
      };
      while (!is_parent()) below.children[++parent] = static_cast<uint32_t>(r);
      here.parent[r] = parent;
      const uint32_t last = gram[n - 1];
      size_t low = 0, high = shorter.counts.size();
      if (n > 2) {  // w[1:] extends (w without its last)[1:]
        const uint32_t stem = below.suffix[parent];
        low = links[n - 3].children[stem], high = links[n - 3].children[stem + 1];
      }
      while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        (shorter.grams[middle * (n - 1) + n - 2] <= last ? low : high) = middle;
      }
      here.suffix[r] = static_cast<uint32_t>(low);
    }
    std::fill(below.children.begin() + parent + 1, below.children.end(), static_cast<uint32_t>(rows));
    below.children[0] = 0;
  }
  return links;
}

// min over splits of N c(w) / (c(left) c(right)), in the order of operations of the reference.
double least_ratio(const Counted& counted, const std::vector<Links>& links, size_t n, size_t row) {
  uint32_t prefix[kMaxOrder + 1], suffix[kMaxOrder + 1];  // rows by length
  prefix[n] = suffix[n] = static_cast<uint32_t>(row);
  for (size_t k = n; k > 1; --k) {
    prefix[k - 1] = links[k - 1].parent[prefix[k]];
    suffix[k - 1] = links[k - 1].suffix[suffix[k]];
  }
  const double whole = static_cast<double>(counted.total * counted.tables[n - 1].counts[row]);
  double least = 0;
  for (size_t k = 1; k < n; ++k) {
    const int64_t left = counted.tables[k - 1].counts[prefix[k]];
    const int64_t right = counted.tables[n - k - 1].counts[suffix[n - k]];
    const double ratio = whole / static_cast<double>(left * right);
    if (k == 1 || ratio < least) least = ratio;
  }
  return least;
}

// The kept n-grams, with their prefixes.
class Kept {
 public:
  Kept(const Counted& counted, const Rules& rules) : kept_(1, false) {
    const std::vector<Links> links = link(counted.tables);
    for (size_t n = 2; n <= counted.tables.size(); ++n) {
      const Table& table = counted.tables[n - 1];
      const double bound = rules.min_ratio[n - 1];
      for (size_t row = 0; row < table.counts.size(); ++row) {
        const double ratio = least_ratio(counted, links, n, row);
        if (!(rules.strict ? ratio > bound : ratio >= bound)) continue;
        const uint32_t node = trie_.add_string(&table.grams[row * n], static_cast<int64_t>(n));
        kept_.resize(trie_.size(), false);
        kept_[node] = true;
      }
    }
  }

  // Length of the longest kept n-gram that begins at `ids`, at least 1; a break (0) ends every walk.
  int longest(const uint32_t* ids, int limit) const {
    int found = 1;
    uint32_t node = 0;
    for (int n = 1; n <= limit; ++n) {
      node = trie_.child(node, ids[n - 1]);
      if (node == Trie::kNone) break;
      if (kept_[node]) found = n;
    }
    return found;
  }

  bool has(const uint32_t* ids, int64_t length) const {
    uint32_t node = 0;
    for (int64_t i = 0; i < length; ++i)
      if ((node = trie_.child(node, ids[i])) == Trie::kNone) return false;
    return kept_[node];
  }

  bool has_windows(const uint32_t* ids, int64_t length, int64_t width) const {
    for (int64_t i = 0; i + width <= length; ++i)
      if (!has(ids + i, width)) return false;
    return true;
  }

 private:
  Trie trie_;
  std::vector<char> kept_;
};

struct Segment {
  const uint32_t* ids;
  int64_t length;
  int64_t count;
  uint64_t hash;
  bool operator==(const Segment& other) const {
    return hash == other.hash && length == other.length && std::equal(ids, ids + length, other.ids);
  }
};

class SegmentTable {
 public:
  SegmentTable() : slots_(1024, kFree) {}
  void add(const Segment& segment) {
    size_t at = segment.hash & (slots_.size() - 1);
    for (; slots_[at] != kFree; at = (at + 1) & (slots_.size() - 1))
      if (segments[slots_[at]] == segment) {
        segments[slots_[at]].count += segment.count;
        return;
      }
    slots_[at] = static_cast<uint32_t>(segments.size());
    segments.push_back(segment);
    if (2 * segments.size() > slots_.size()) grow();
  }
  std::vector<Segment> segments;

 private:
  static constexpr uint32_t kFree = UINT32_MAX;
  void grow() {
    slots_.assign(2 * slots_.size(), kFree);
    for (size_t s = 0; s < segments.size(); ++s) {
      size_t at = segments[s].hash & (slots_.size() - 1);
      while (slots_[at] != kFree) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = static_cast<uint32_t>(s);
    }
  }
  std::vector<uint32_t> slots_;
};

Segment make_segment(const uint32_t* begin, const uint32_t* end) {
  uint64_t hash = 0x9E3779B97F4A7C15u;
  for (const uint32_t* p = begin; p != end; ++p) hash = (hash ^ *p) * 0xFF51AFD7ED558CCDu, hash ^= hash >> 32;
  return Segment{begin, end - begin, 1, hash};
}

// Cuts the runs in [begin, end), a block that a break precedes and follows.
void cut_block(const uint32_t* begin, const uint32_t* end, const Kept& kept, int limit, SegmentTable& table) {
  const uint32_t *start = begin, *glued = begin;  // the open segment, and the end of what is glued to it
  for (const uint32_t* p = begin; p != end; ++p) {
    if (!*p || p == glued) {
      if (start != p) table.add(make_segment(start, p));
      start = p + !*p;
    }
    if (*p)
      glued = std::max(glued, p + kept.longest(p, limit));
    else
      glued = start;
  }
  if (start != end) table.add(make_segment(start, end));
}

SegmentTable cut_corpus(const Counted& counted, int64_t size, const Kept& kept, int limit, int threads,
                        Job& job) {
  constexpr int64_t kBlock = 1 << 18;
  std::vector<int64_t> bounds(1, 0);
  for (int64_t at = kBlock; at < size; at += kBlock) {
    while (at < size && counted.ids[static_cast<size_t>(at)]) ++at;
    bounds.push_back(at);
  }
  if (bounds.back() != size) bounds.push_back(size);
  std::vector<SegmentTable> tables(bounds.size() - 1);
  const uint32_t* ids = counted.ids.data();
  const auto cut_task = [&](int64_t t) {
    cut_block(ids + bounds[static_cast<size_t>(t)], ids + bounds[static_cast<size_t>(t) + 1], kept, limit,
              tables[static_cast<size_t>(t)]);
  };
  parallel_for(static_cast<int64_t>(tables.size()), cut_task, threads, &job);
  SegmentTable all;
  for (const SegmentTable& table : tables)
    for (const Segment& segment : table.segments) all.add(segment);
  return all;
}

bool passes(const Segment& segment, const Kept& kept, const Rules& rules) {
  if (segment.count < rules.min_count) return false;
  if (segment.length < 3) return true;
  if (!rules.strict)
    return kept.has_windows(segment.ids, segment.length, std::min<int64_t>(segment.length, rules.max_length));
  for (int64_t width = 3; width <= rules.max_length; ++width)
    if (!kept.has_windows(segment.ids, segment.length, width)) return false;
  return true;
}

}  // namespace

Discovered discover(const uint32_t* codes, int64_t size, const Rules& rules, int threads, Job& job) {
  Discovered out;
  const Counted counted = count_ngrams(codes, size, rules.max_length, rules.min_count, threads, job);
  if (job.stopped()) return out;
  const Kept kept(counted, rules);
  SegmentTable table = cut_corpus(counted, size, kept, rules.max_length, threads, job);
  if (job.stopped()) return out;
  std::vector<Segment> words;
  for (const Segment& segment : table.segments)
    if (passes(segment, kept, rules)) words.push_back(segment);
  std::sort(words.begin(), words.end(), [](const Segment& a, const Segment& b) {
    if (a.count != b.count) return a.count > b.count;
    return std::lexicographical_compare(a.ids, a.ids + a.length, b.ids, b.ids + b.length);
  });
  out.offsets.push_back(0);
  for (const Segment& word : words) {
    for (int64_t i = 0; i < word.length; ++i) out.codes.push_back(counted.alphabet.code_of[word.ids[i]]);
    out.offsets.push_back(static_cast<int64_t>(out.codes.size()));
    out.counts.push_back(word.count);
  }
  return out;
}

}  // namespace kxfast::words
