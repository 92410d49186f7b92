// A dictionary that is only read, in arrays that may lie in a file: an open-addressing table of edges in
// which a node is the place of the edge that leads to it, so one load of 16 bytes tells whether a step
// exists, whether a word ends there and what it scores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "words/runs.hpp"

namespace kxfast::words {

struct Edge {
  uint32_t parent;  // the place of another edge, kRoot, or kFree
  uint32_t
      code;      // 21 bits; above them one bit for each eleventh of the codes, set if an edge goes on with it
  double score;  // -infinity: no word ends here

  static constexpr uint32_t kCode = (1u << 21) - 1;
  static uint32_t bit_of(uint32_t code) { return 1u << (21 + ((code & 0x3FF) * 11 >> 10)); }
};
static_assert(sizeof(Edge) == 16);

class FrozenTrie {
 public:
  static constexpr uint32_t kFree = UINT32_MAX, kRoot = UINT32_MAX - 1, kNone = UINT32_MAX;
  static constexpr uint32_t kProbes = 128;  // no edge lies farther from where its hash points

  // The size is a power of two; whatever the arrays hold, no step leaves them or goes on without end.
  FrozenTrie(const Edge* edges, const int32_t* words, size_t size)
      : edges_(edges), words_(words), mask_(static_cast<uint32_t>(size - 1)) {}

  uint32_t child(uint32_t node, uint32_t code) const {
    if (node != kRoot && !(edges_[node].code & Edge::bit_of(code))) return kNone;  // most walks end here
    uint32_t at = hash(node, code) & mask_;
    for (uint32_t probe = 0; probe < kProbes; ++probe, at = (at + 1) & mask_) {
      if (edges_[at].parent == node && (edges_[at].code & Edge::kCode) == code) return at;
      if (edges_[at].parent == kFree) break;
    }
    return kNone;
  }
  // Asks the memory for the edge, which `child` is to look at soon.
  void prefetch(uint32_t node, uint32_t code) const { __builtin_prefetch(&edges_[hash(node, code) & mask_]); }
  double score(uint32_t node) const { return edges_[node].score; }
  int32_t word(uint32_t node) const { return words_[node]; }

  static uint32_t hash(uint32_t node, uint32_t code) {
    const uint64_t mixed = (uint64_t{node} << 21 ^ code) * 0x9E3779B97F4A7C15u;
    return static_cast<uint32_t>(mixed >> 32);
  }

 private:
  const Edge* edges_;
  const int32_t* words_;
  uint32_t mask_;
};

struct FrozenTrieData {
  std::vector<Edge> edges;
  std::vector<int32_t> words;  // by node; -1: none
  bool repeats = false;        // whether a word is in the list more than once
};

// No word is empty; of one that is twice in the list the last counts.
FrozenTrieData freeze(const Strings& words, const double* scores);

}  // namespace kxfast::words
