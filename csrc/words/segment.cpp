// Viterbi over a dictionary trie.
//
// From each position the trie is walked once, which yields all words that begin there with their scores; the
// work is a handful of dependent loads for each character, so latency of the trie's table is the limit. Right
// to left the first word of the best path is known at once and tokens come out in order; left to right they
// are traced back. Sums are in double and in the order of the reference, so ties are the same. Documents are
// independent: blocks of them are tasks, each writes its tokens where its characters begin, and the gaps are
// closed at the end.
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

Segmenter::Segmenter(const uint32_t* codes, const int64_t* offsets, const double* scores, int64_t words,
                     double unknown, bool longest_first, bool jieba)
    : trie_(static_cast<size_t>(words ? offsets[words] / 2 : 0)),
      unknown_(unknown),
      longest_first_(longest_first),
      jieba_(jieba) {
  for (int64_t w = 0; w < words; ++w) {
    const uint32_t node = trie_.add_string(codes + offsets[w], offsets[w + 1] - offsets[w]);
    if (trie_.size() > word_.size())
      word_.resize(2 * static_cast<size_t>(trie_.size()), -1), score_.resize(word_.size());
    word_[node] = w;
    score_[node] = scores[w];
  }
  word_.resize(trie_.size(), -1);
  score_.resize(trie_.size());
}

// visit(end, node) for each word that begins at `at`, short ones first.
template <class Visit>
void Segmenter::words_from(const uint32_t* codes, int64_t at, int64_t size, Visit&& visit) const {
  uint32_t node = 0;
  for (int64_t i = at; i < size; ++i) {
    node = trie_.child(node, codes[i]);
    if (node == Trie::kNone) return;
    if (word_[node] >= 0) visit(i + 1, node);
  }
}

void Segmenter::cut(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                    Output& out) const {
  const size_t needed = static_cast<size_t>(size) + 1;
  if (scratch.best.size() < needed)
    scratch.best.resize(needed), scratch.link.resize(needed), scratch.word.resize(needed);
  if (longest_first_)
    cut_longest_first(codes, size, offset, scratch, out);
  else
    cut_longest_last(codes, size, offset, scratch, out);
}

void Segmenter::cut_longest_first(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                                  Output& out) const {
  double* best = scratch.best.data();
  int64_t *following = scratch.link.data(), *word = scratch.word.data();
  best[size] = 0;
  for (int64_t i = size - 1; i >= 0; --i) {
    double top = kNever;
    words_from(codes, i, size, [&](int64_t end, uint32_t node) {
      const double score = score_[node] + best[end];
      if (score >= top) top = score, following[i] = end, word[i] = word_[node];
    });
    if (top == kNever) top = unknown_ + best[i + 1], following[i] = i + 1, word[i] = -1;
    best[i] = top;
  }
  for (int64_t i = 0; i < size; i = following[i]) out.put(offset + following[i], word[i]);
}

void Segmenter::cut_longest_last(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                                 Output& out) const {
  double* best = scratch.best.data();
  int64_t *before = scratch.link.data(), *word = scratch.word.data();
  best[0] = 0;
  std::fill(best + 1, best + size + 1, kNever);
  for (int64_t i = 0; i < size; ++i) {
    words_from(codes, i, size, [&](int64_t end, uint32_t node) {
      const double score = best[i] + score_[node];
      if (score > best[end]) best[end] = score, before[end] = i, word[end] = word_[node];
    });
    if (best[i + 1] == kNever) best[i + 1] = best[i] + unknown_, before[i + 1] = i, word[i + 1] = -1;
  }
  const int64_t begin = out.count;
  for (int64_t end = size; end > 0; end = before[end]) out.put(offset + end, word[end]);
  std::reverse(out.ends + begin, out.ends + out.count);
  std::reverse(out.ids + begin, out.ids + out.count);
}

void Segmenter::cut_as_jieba(const uint32_t* codes, int64_t size, int64_t offset, Scratch& scratch,
                             Output& out) const {
  for (int64_t i = 0; i < size;) {
    int64_t end = i;
    while (end < size && in_jieba_block(codes[end])) ++end;
    if (end == i) {  // other characters stand alone, but a line end of two stays whole
      end += codes[i] == '\r' && i + 1 < size && codes[i + 1] == '\n' ? 2 : 1;
      int64_t word = -1;
      words_from(codes, i, end, [&](int64_t last, uint32_t node) {
        if (last == end) word = word_[node];
      });
      out.put(offset + end, word);
      i = end;
      continue;
    }
    const int64_t first = out.count;
    cut(codes + i, end - i, offset + i, scratch, out);
    int64_t kept = first;
    bool letters = false;  // the last kept token is a join of single letters and digits
    for (int64_t t = first; t < out.count; ++t) {
      const int64_t begin = t == first ? offset + i : out.ends[t - 1];
      const bool letter = out.ends[t] - begin == 1 && is_letter_or_digit(codes[begin - offset]);
      if (letter && letters) {
        out.ends[kept - 1] = out.ends[t];
        out.ids[kept - 1] = -1;
        continue;
      }
      letters = letter;
      const int64_t last = out.ends[t], id = out.ids[t];
      out.ends[kept] = last, out.ids[kept++] = id;
    }
    out.count = kept;
    i = end;
  }
}

Tokens Segmenter::segment(const uint32_t* codes, const int64_t* offsets, int64_t documents, int threads,
                          Job& job) const {
  constexpr int64_t kBlock = 1 << 15;
  const size_t size = static_cast<size_t>(documents ? offsets[documents] : 0);
  Tokens out;
  out.ends.resize(size), out.ids.resize(size);
  out.first.assign(static_cast<size_t>(documents) + 1, 0);
  std::vector<int64_t> bounds(1, 0);
  for (int64_t d = 0; d < documents; ++d)
    if (offsets[d + 1] - offsets[bounds.back()] >= kBlock) bounds.push_back(d + 1);
  if (bounds.back() != documents) bounds.push_back(documents);
  const auto cut_task = [&](int64_t task) {
    Scratch scratch;
    for (int64_t d = bounds[static_cast<size_t>(task)]; d < bounds[static_cast<size_t>(task) + 1]; ++d) {
      const int64_t begin = offsets[d], length = offsets[d + 1] - begin;
      Output tokens{out.ends.data() + begin, out.ids.data() + begin, 0};
      if (jieba_)
        cut_as_jieba(codes + begin, length, begin, scratch, tokens);
      else
        cut(codes + begin, length, begin, scratch, tokens);
      out.first[static_cast<size_t>(d) + 1] = tokens.count;
      if (!job.advance(length)) return;
    }
  };
  parallel_for(static_cast<int64_t>(bounds.size()) - 1, cut_task, threads, &job);
  for (int64_t d = 0; d < documents; ++d) {
    const size_t at = static_cast<size_t>(out.first[static_cast<size_t>(d)]),
                 from = static_cast<size_t>(offsets[d]);
    const size_t count = static_cast<size_t>(out.first[static_cast<size_t>(d) + 1]);
    std::copy_n(out.ends.begin() + static_cast<int64_t>(from), count,
                out.ends.begin() + static_cast<int64_t>(at));
    std::copy_n(out.ids.begin() + static_cast<int64_t>(from), count,
                out.ids.begin() + static_cast<int64_t>(at));
    out.first[static_cast<size_t>(d) + 1] += static_cast<int64_t>(at);
  }
  out.ends.resize(static_cast<size_t>(out.first.back()));
  out.ids.resize(out.ends.size());
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
    words_from(codes, i, size, [&](int64_t end, uint32_t node) { arc(end, score_[node]); });
    if (total[static_cast<size_t>(i) + 1] == kNever) arc(i + 1, unknown_);
  }
  std::vector<int64_t> ends;
  for (int64_t end = size; end > 0; end = before[static_cast<size_t>(end)]) ends.push_back(end);
  std::reverse(ends.begin(), ends.end());
  return ends;
}

}  // namespace kxfast::words
