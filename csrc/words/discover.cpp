// Cutting a corpus, and counting the pieces.
//
// The kept n-grams and their prefixes are a hashed trie that stays in the L2 cache; most positions leave it
// after one step, so a walk costs a load or two for each character, and the walks are the cost. Blocks of the
// corpus that end at a break are tasks; each counts its segments in a hash table of its own. Whether a
// segment passes the check back depends on the kept n-grams alone, so it is asked once for each segment of a
// block, and what fails is dropped at once: the tables that are added and sorted stay small however large the
// corpus is.
#include "words/discover.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "words/sorting.hpp"

namespace kxfast::words {
namespace {

constexpr char kPrefix = 0, kKept = 1, kKnown = 2;

struct Segment {
  const uint32_t* codes;
  int64_t length;
  int64_t count;
  uint64_t hash;
  bool operator==(const Segment& other) const {
    return hash == other.hash && length == other.length && std::equal(codes, codes + length, other.codes);
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

// Cuts the runs in [begin, end), a block that a break or an end of the corpus precedes and follows.
void cut_block(const uint32_t* begin, const uint32_t* end, const Members& members, SegmentTable& table) {
  const uint32_t *start = begin, *glued = begin;  // the open segment, and the end of what is glued to it
  for (const uint32_t* p = begin; p != end; ++p) {
    if (!*p || p == glued) {
      if (start != p) table.add(make_segment(start, p));
      start = p + !*p;
    }
    glued = *p ? std::max(glued, p + members.longest(p, end)) : start;
  }
  if (start != end) table.add(make_segment(start, end));
}

}  // namespace

Members::Members(const Strings& kept, const Strings& known)
    : trie_(static_cast<size_t>(kept.count)), kind_(1, kPrefix) {
  const auto add = [&](const Strings& strings, char kind) {
    for (int64_t s = 0; s < strings.count; ++s) {
      const uint32_t node = trie_.add_string(strings.begin(s), strings.length(s));
      kind_.resize(trie_.size(), kPrefix);
      kind_[node] = std::max(kind_[node], kind);
    }
  };
  add(kept, kKept);
  add(known, kKnown);
}

int64_t Members::longest(const uint32_t* codes, const uint32_t* end) const {
  int64_t found = 1;
  uint32_t node = 0;
  for (const uint32_t* p = codes; p != end; ++p) {
    node = trie_.child(node, *p);
    if (node == Trie::kNone) break;
    if (kind_[node]) found = p - codes + 1;
  }
  return found;
}

uint32_t Members::node_of(const uint32_t* codes, int64_t length) const {
  uint32_t node = 0;
  for (int64_t i = 0; i < length && node != Trie::kNone; ++i) node = trie_.child(node, codes[i]);
  return node;
}

bool Members::has_windows(const uint32_t* codes, int64_t length, int64_t width) const {
  for (int64_t i = 0; i + width <= length; ++i) {
    const uint32_t node = node_of(codes + i, width);
    if (node == Trie::kNone || !kind_[node]) return false;
  }
  return true;
}

bool Members::is_known(const uint32_t* codes, int64_t length) const {
  const uint32_t node = node_of(codes, length);
  return node != Trie::kNone && kind_[node] == kKnown;
}

bool Members::passes(const uint32_t* codes, int64_t length, Check check, int max_length) const {
  if (check == Check::kNone || length < 3) return true;
  if (is_known(codes, length)) return true;
  if (check == Check::kCut) return has_windows(codes, length, std::min<int64_t>(length, max_length));
  for (int64_t width = 3; width <= max_length; ++width)
    if (!has_windows(codes, length, width)) return false;
  return true;
}

Bytes segment_run(const uint32_t* codes, int64_t size, const Members& members, Check check, int max_length,
                  int threads, Job& job) {
  constexpr int64_t kBlock = 1 << 18;
  std::vector<int64_t> bounds(1, 0);
  for (int64_t at = kBlock; at < size; at += kBlock) {
    while (at < size && codes[at]) ++at;
    bounds.push_back(at);
  }
  if (bounds.back() != size) bounds.push_back(size);
  std::vector<std::vector<Segment>> tables(bounds.size() - 1);
  const auto cut_task = [&](int64_t t) {
    const int64_t begin = bounds[static_cast<size_t>(t)], end = bounds[static_cast<size_t>(t) + 1];
    SegmentTable table;
    cut_block(codes + begin, codes + end, members, table);
    const auto fails = [&](const Segment& s) {
      return !members.passes(s.codes, s.length, check, max_length);
    };
    auto& segments = table.segments;
    segments.erase(std::remove_if(segments.begin(), segments.end(), fails), segments.end());
    tables[static_cast<size_t>(t)] = std::move(segments);
    job.advance(end - begin);
  };
  parallel_for(static_cast<int64_t>(tables.size()), cut_task, threads, &job);
  SegmentTable all;
  for (auto& segments : tables) {
    if (!job.advance(0)) break;
    for (const Segment& segment : segments) all.add(segment);
    std::vector<Segment>().swap(segments);
  }
  const auto less = [](const Segment& a, const Segment& b) {
    return std::lexicographical_compare(a.codes, a.codes + a.length, b.codes, b.codes + b.length);
  };
  sort_in_parts(all.segments, less, threads, job);
  RunWriter run;
  in_stretches(static_cast<int64_t>(all.segments.size()), job, [&](int64_t s) {
    const Segment& segment = all.segments[static_cast<size_t>(s)];
    run.add(segment.codes, segment.length, segment.count);
  });
  return std::move(run.bytes);
}

Counts words_of_runs(std::vector<RunReader>& runs, int64_t min_count, const Strings& known, Job& job) {
  Counts out;
  const Members members({nullptr, nullptr, 0}, known);
  merge_runs(runs, job, [&](const uint32_t* codes, int64_t length, int64_t count) {
    out.total += count;
    if (count < min_count && !members.is_known(codes, length)) return;
    out.words.add(codes, length);
    out.counts.push_back(count);
  });
  return out;
}

}  // namespace kxfast::words
