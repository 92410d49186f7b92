// Viterbi over a dictionary in a frozen trie.
//
// From each position the trie is walked once, which yields all words that begin there with their scores: a
// handful of dependent loads for each character, one of 16 bytes for each step, from an array of 25 MB for
// 349 000 words. Its latency would be the limit, so the first two steps are taken for many positions at a
// time and asked of the memory before; few walks go farther. Right to left the first word of the best path is
// known at once and tokens come out in order; left to right they are traced back. Sums are in double and in
// the order of the reference, so ties are the same. Documents are independent: blocks of them are tasks, each
// with tokens of its own, which are copied side by side at the end.
#include "words/segment.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/random.hpp"
#include "core/threads.hpp"

namespace kxfast::words {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

bool is_letter_or_digit(uint32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool in_jieba_block(uint32_t c) {
  if (c >= 0x4E00 && c <= 0x9FD5) return true;
  return is_letter_or_digit(c) || c == '+' || c == '#' || c == '&' || c == '.' || c == '_' || c == '%' ||
         c == '-';
}

}  // namespace

// visit(end, node, score) for each word that begins at `at`, short ones first.
template <class Visit>
void Segmenter::words_from(const uint32_t* codes, int64_t at, int64_t size, Visit&& visit) const {
  uint32_t node = FrozenTrie::kRoot;
  for (int64_t i = at; i < size; ++i) {
    node = trie_.child(node, codes[i]);
    if (node == FrozenTrie::kNone) return;
    const double score = trie_.score(node);
    if (score > kNever) visit(i + 1, node, score);
  }
}

// The first two steps from the positions begin .. end - 1.
void Segmenter::look_ahead(const uint32_t* codes, int64_t begin, int64_t end, int64_t size,
                           Scratch& scratch) const {
  uint32_t *first = scratch.first.data(), *second = scratch.second.data();
  for (int64_t i = begin; i < end; ++i) trie_.prefetch(FrozenTrie::kRoot, codes[i]);
  for (int64_t i = begin; i < end; ++i) {
    first[i] = trie_.child(FrozenTrie::kRoot, codes[i]);
    if (first[i] != FrozenTrie::kNone && i + 1 < size) trie_.prefetch(first[i], codes[i + 1]);
  }
  for (int64_t i = begin; i < end; ++i) {
    const bool walks = first[i] != FrozenTrie::kNone && i + 1 < size;
    second[i] = walks ? trie_.child(first[i], codes[i + 1]) : FrozenTrie::kNone;
    if (second[i] != FrozenTrie::kNone && i + 2 < size) trie_.prefetch(second[i], codes[i + 2]);
  }
}

// What words_from does, for a position that was looked ahead to.
template <class Visit>
void Segmenter::words_seen(const uint32_t* codes, int64_t at, int64_t size, const Scratch& scratch,
                           Visit&& visit) const {
  uint32_t node = scratch.first[static_cast<size_t>(at)];
  if (node == FrozenTrie::kNone) return;
  if (const double score = trie_.score(node); score > kNever) visit(at + 1, node, score);
  node = scratch.second[static_cast<size_t>(at)];
  for (int64_t i = at + 2; node != FrozenTrie::kNone; ++i) {
    if (const double score = trie_.score(node); score > kNever) visit(i, node, score);
    if (i == size) return;
    node = trie_.child(node, codes[i]);
  }
}

void Segmenter::cut(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                    Output& out) const {
  const size_t needed = static_cast<size_t>(size) + 1;
  if (scratch.best.size() < needed) {
    scratch.best.resize(needed);
    for (auto* each : {&scratch.link, &scratch.node, &scratch.first, &scratch.second}) each->resize(needed);
  }
  if (longest_first_)
    cut_longest_first(codes, size, offset, scratch, out);
  else
    cut_longest_last(codes, size, offset, scratch, out);
}

void Segmenter::cut_longest_first(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                                  Output& out) const {
  double* best = scratch.best.data();
  uint32_t *following = scratch.link.data(), *chosen = scratch.node.data();
  best[size] = 0;
  int64_t ahead = size;
  for (int64_t i = size - 1; i >= 0; --i) {
    double top = kNever;
    int64_t next = i + 1;
    uint32_t word = FrozenTrie::kNone;
    if (i < ahead)
      ahead = std::max<int64_t>(i + 1 - kAhead, 0), look_ahead(codes, ahead, i + 1, size, scratch);
    words_seen(codes, i, size, scratch, [&](int64_t end, uint32_t node, double score) {
      const double path = score + best[end];
      if (path >= top) top = path, next = end, word = node;
    });
    best[i] = top == kNever ? unknown_ + best[i + 1] : top;
    following[i] = static_cast<uint32_t>(next), chosen[i] = word;
  }
  for (int64_t i = 0; i < size; i = following[i]) out.put(offset + following[i], id_of(chosen[i]));
}

void Segmenter::cut_longest_last(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                                 Output& out) const {
  double* best = scratch.best.data();
  uint32_t *before = scratch.link.data(), *chosen = scratch.node.data();
  best[0] = 0;
  std::fill(best + 1, best + size + 1, kNever);
  int64_t ahead = 0;
  for (int64_t i = 0; i < size; ++i) {
    const auto from = static_cast<uint32_t>(i);
    if (i == ahead) ahead = std::min(i + kAhead, size), look_ahead(codes, i, ahead, size, scratch);
    words_seen(codes, i, size, scratch, [&](int64_t end, uint32_t node, double score) {
      const double path = best[i] + score;
      if (path > best[end]) best[end] = path, before[end] = from, chosen[end] = node;
    });
    if (best[i + 1] == kNever)
      best[i + 1] = best[i] + unknown_, before[i + 1] = from, chosen[i + 1] = FrozenTrie::kNone;
  }
  const auto begin = static_cast<int64_t>(out.ends.size());
  for (int64_t end = size; end > 0; end = before[end]) out.put(offset + end, id_of(chosen[end]));
  std::reverse(out.ends.begin() + begin, out.ends.end());
  std::reverse(out.ids.begin() + begin, out.ids.end());
}

void Segmenter::cut_as_jieba(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                             Output& out) const {
  for (int64_t i = 0; i < size;) {
    int64_t end = i;
    while (end < size && in_jieba_block(codes[end])) ++end;
    if (end == i) {  // other characters stand alone, but a line end of two stays whole
      end += codes[i] == '\r' && i + 1 < size && codes[i + 1] == '\n' ? 2 : 1;
      int32_t word = -1;
      words_from(codes, i, end, [&](int64_t last, uint32_t node, double) {
        if (last == end) word = id_of(node);
      });
      out.put(offset + end, word);
      i = end;
      continue;
    }
    const size_t first = out.ends.size();
    cut(codes + i, end - i, offset + i, scratch, out);
    size_t kept = first;
    bool letters = false;  // the last kept token is a join of single letters and digits
    for (size_t t = first; t < out.ends.size(); ++t) {
      const int64_t begin = t == first ? offset + i : out.ends[t - 1];
      const bool letter = out.ends[t] - begin == 1 && is_letter_or_digit(codes[begin - offset]);
      if (letter && letters) {
        out.ends[kept - 1] = out.ends[t];
        out.ids[kept - 1] = -1;
        continue;
      }
      letters = letter;
      const auto last = out.ends[t];
      const auto id = out.ids[t];
      out.ends[kept] = last, out.ids[kept++] = id;
    }
    out.ends.resize(kept), out.ids.resize(kept);
    i = end;
  }
}

Tokens Segmenter::segment(const uint32_t* codes, const int64_t* offsets, int64_t documents, int threads,
                          Job& job) const {
  constexpr int64_t kBlock = 1 << 15;
  Tokens out;
  out.first.assign(static_cast<size_t>(documents) + 1, 0);
  std::vector<int64_t> bounds(1, 0);
  for (int64_t d = 0; d < documents; ++d)
    if (offsets[d + 1] - offsets[bounds.back()] >= kBlock) bounds.push_back(d + 1);
  if (bounds.back() != documents) bounds.push_back(documents);
  std::vector<Output> parts(bounds.size() - 1);
  const auto cut_task = [&](int64_t task) {
    Scratch scratch;
    Output& tokens = parts[static_cast<size_t>(task)];
    const int64_t begin = bounds[static_cast<size_t>(task)], end = bounds[static_cast<size_t>(task) + 1];
    const auto expected = static_cast<size_t>(offsets[end] - offsets[begin]) / 2 + 64;
    tokens.ends.reserve(expected), tokens.ids.reserve(expected);
    for (int64_t d = begin; d < end; ++d) {
      const int64_t at = offsets[d], length = offsets[d + 1] - at;
      if (jieba_)
        cut_as_jieba(codes + at, length, at - offsets[begin], scratch, tokens);
      else
        cut(codes + at, length, at - offsets[begin], scratch, tokens);
      out.first[static_cast<size_t>(d) + 1] = static_cast<int64_t>(tokens.ends.size());
      if (!job.advance(length)) return;
    }
  };
  parallel_for(static_cast<int64_t>(parts.size()), cut_task, threads, &job);
  std::vector<int64_t> start(1, 0);  // first token of each task
  for (size_t task = 0; task < parts.size(); ++task) {
    for (int64_t d = bounds[task]; d < bounds[task + 1]; ++d)
      out.first[static_cast<size_t>(d) + 1] += start.back();
    start.push_back(start.back() + static_cast<int64_t>(parts[task].ends.size()));
  }
  out.ends = Buffer<int64_t>(static_cast<size_t>(start.back()));
  out.ids = Buffer<int64_t>(static_cast<size_t>(start.back()));
  const auto copy_task = [&](int64_t task) {
    const Output& tokens = parts[static_cast<size_t>(task)];
    const int64_t base = offsets[bounds[static_cast<size_t>(task)]];
    std::transform(tokens.ends.begin(), tokens.ends.end(), out.ends.data() + start[static_cast<size_t>(task)],
                   [=](uint32_t end) { return base + end; });
    std::copy(tokens.ids.begin(), tokens.ids.end(), out.ids.data() + start[static_cast<size_t>(task)]);
  };
  if (!job.stopped()) parallel_for(static_cast<int64_t>(parts.size()), copy_task, threads, &job);
  return out;
}

std::vector<int64_t> Segmenter::sample(const uint32_t* codes, int64_t size, double alpha,
                                       uint64_t seed) const {
  Stream random(seed, 0);
  std::vector<double> total(static_cast<size_t>(size) + 1, kNever);
  std::vector<int64_t> before(total.size(), 0);
  total[0] = 0;
  for (int64_t i = 0; i < size; ++i) {
    const double here = total[static_cast<size_t>(i)];
    const auto arc = [&](int64_t end, double score) {
      double& sum = total[static_cast<size_t>(end)];
      const double path = here + alpha * score, high = std::max(sum, path), low = std::min(sum, path);
      sum = high + std::log1p(std::exp(low - high));
      if (random.uniform() < std::exp(path - sum)) before[static_cast<size_t>(end)] = i;
    };
    words_from(codes, i, size, [&](int64_t end, uint32_t, double score) { arc(end, score); });
    if (total[static_cast<size_t>(i) + 1] == kNever) arc(i + 1, unknown_);
  }
  std::vector<int64_t> ends;
  for (int64_t end = size; end > 0; end = before[static_cast<size_t>(end)]) ends.push_back(end);
  std::reverse(ends.begin(), ends.end());
  return ends;
}

}  // namespace kxfast::words
