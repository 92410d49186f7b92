// Two passes over the pieces, which are divided into one group for each thread. The first counts each group's
// words and documents; then it is known where each group's ids and each word's positions begin, and the
// second writes them: a counting sort in which groups write to different places. Positions of a word go up.
// Ids of 16 bits halve what the counting has to fetch; as many breaks as the window is long spare it a test
// for each neighbour, where documents are not so short that the breaks would outweigh them.
#include "cooccurrence/block.hpp"

#include <algorithm>

#include "core/threads.hpp"

namespace kxfast::cooccurrence {

struct Block::Part {
  size_t begin = 0, end = 0;  // pieces
  std::vector<uint32_t> counts;
  int64_t tokens = 0, breaks = 0;
  int64_t head = -1, tail = 0, longest = 0;  // tokens before the first break (-1: none), behind the last

  void see(const std::vector<Piece>& pieces, const int32_t* rank) {
    for (size_t p = begin; p < end; ++p)
      for (int64_t i = 0; i < pieces[p].size; ++i) {
        const int32_t number = pieces[p].numbers[i];
        if (number < 0) {
          if (head < 0) head = tail;
          longest = std::max(longest, tail);
          tail = 0;
          ++breaks;
        } else if (const int32_t id = rank ? rank[number] : number; id >= 0) {
          ++counts[static_cast<size_t>(id)];
          ++tokens;
          ++tail;
        }
      }
  }
};

std::vector<Block::Part> Block::measure(const std::vector<Piece>& pieces, const int32_t* rank, int threads) {
  int64_t all = 0;
  for (const Piece& piece : pieces) all += piece.size;
  const int64_t groups =
      std::clamp<int64_t>(std::min<int64_t>(threads ? threads : num_threads(), all >> 18), 1, 64);
  std::vector<Part> parts;
  int64_t seen = 0;
  for (size_t p = 0; p < pieces.size(); ++p) {
    if (parts.empty() || seen >= all * static_cast<int64_t>(parts.size()) / groups) {
      Part part;
      part.begin = p;
      part.counts.assign(static_cast<size_t>(size), 0);
      parts.push_back(std::move(part));
    }
    parts.back().end = p + 1;
    seen += pieces[p].size;
  }
  const auto see = [&](int64_t k) { parts[static_cast<size_t>(k)].see(pieces, rank); };
  parallel_for(static_cast<int64_t>(parts.size()), see, threads);
  return parts;
}

Block::Block(const std::vector<Piece>& given, const int32_t* rank, int64_t vocabulary, int64_t window,
             int threads)
    : size(vocabulary), pad(window), first(static_cast<size_t>(vocabulary) + 1, 0) {
  std::vector<Piece> pieces;
  constexpr int64_t kMost = 1 << 18;
  for (const Piece& each : given)
    for (int64_t at = 0; at < each.size; at += kMost)
      pieces.push_back({each.numbers + at, std::min(kMost, each.size - at)});
  if (vocabulary < UINT16_MAX)
    fill(pieces, rank, narrow, threads);
  else
    fill(pieces, rank, wide, threads);
}

template <class Id>
void Block::fill(const std::vector<Piece>& pieces, const int32_t* rank, Buffer<Id>& ids, int threads) {
  std::vector<Part> parts = measure(pieces, rank, threads);
  int64_t tokens = 0, breaks = 0, open = 0;
  for (const Part& part : parts) {
    tokens += part.tokens;
    breaks += part.breaks;
    longest = std::max({longest, part.longest, open + (part.head < 0 ? part.tail : part.head)});
    open = part.head < 0 ? open + part.tail : part.tail;
    longest = std::max(longest, open);
    for (size_t w = 0; w < part.counts.size(); ++w) first[w + 1] += part.counts[w];
  }
  pad = std::max<int64_t>(1, std::min(pad, longest - 1));
  if (pad > 64 || breaks * pad > tokens) pad = 1;
  for (size_t w = 1; w < first.size(); ++w) first[w] += first[w - 1];
  std::vector<uint32_t> next(first.begin(), first.end() - 1);
  for (Part& part : parts)  // counts become the places of the part's first occurrences
    for (size_t w = 0; w < next.size(); ++w) next[w] += std::exchange(part.counts[w], next[w]);

  const Id stop = static_cast<Id>(size);
  ids = Buffer<Id>(static_cast<size_t>(tokens + (breaks + 2) * pad));
  positions = Buffer<uint32_t>(static_cast<size_t>(tokens));
  std::fill(ids.begin(), ids.begin() + pad, stop);
  std::fill(ids.end() - pad, ids.end(), stop);
  std::vector<int64_t> begins(1, pad);
  for (const Part& part : parts) begins.push_back(begins.back() + part.tokens + part.breaks * pad);
  const auto write = [&](int64_t k) {
    Part& part = parts[static_cast<size_t>(k)];
    size_t at = static_cast<size_t>(begins[static_cast<size_t>(k)]);
    for (size_t p = part.begin; p < part.end; ++p)
      for (int64_t i = 0; i < pieces[p].size; ++i) {
        const int32_t number = pieces[p].numbers[i];
        if (number < 0) {
          for (int64_t d = 0; d < pad; ++d) ids[at++] = stop;
        } else if (const int32_t id = rank ? rank[number] : number; id >= 0) {
          positions[part.counts[static_cast<size_t>(id)]++] = static_cast<uint32_t>(at);
          ids[at++] = static_cast<Id>(id);
        }
      }
  };
  parallel_for(static_cast<int64_t>(parts.size()), write, threads);
}

}  // namespace kxfast::cooccurrence
