// A stretch of the corpus in memory, and where each word stands in it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/workspace.hpp"

namespace kxfast::cooccurrence {

// Numbers of tokens; -1 ends a document.
struct Piece {
  const int32_t* numbers;
  int64_t size;
};

// Ids in place of numbers: rank[number], where -1 or less is a word to be left out; without ranks, numbers
// are ids. Before, between and behind documents stands the vocabulary's size, `pad` times.
struct Block {
  Block(const std::vector<Piece>& pieces, const int32_t* rank, int64_t vocabulary, int64_t window,
        int threads);

  int64_t size, pad, longest = 0;  // of the vocabulary; between documents; document
  Buffer<uint16_t> narrow;         // the ids, if they fit
  Buffer<uint32_t> wide;
  std::vector<uint32_t> first;  // of each word in `positions`
  Buffer<uint32_t> positions;

 private:
  template <class Id>
  void fill(const std::vector<Piece>& pieces, const int32_t* rank, Buffer<Id>& ids, int threads);
  struct Part;
  std::vector<Part> measure(const std::vector<Piece>& pieces, const int32_t* rank, int threads);
};

}  // namespace kxfast::cooccurrence
