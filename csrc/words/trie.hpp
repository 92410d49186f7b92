// A trie over 21-bit codes whose edges lie in one open-addressing table: key (node, code), value the child.
// Nodes are numbered from 0, the root, in the order they were made, so callers keep what they know of a node
// in plain arrays.
#pragma once

#include <cstdint>
#include <vector>

namespace kxfast::words {

class Trie {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit Trie(size_t nodes = 256) {
    size_t size = 1024;
    while (size < 2 * nodes) size *= 2;
    edges_.assign(size, Edge{kFree, 0});
  }

  uint32_t size() const { return nodes_; }

  uint32_t child(uint32_t node, uint32_t code) const {
    if (node == 0) return code < root_.size() ? root_[code] : kNone;
    const uint64_t key = key_of(node, code);
    for (size_t at = slot(key);; at = (at + 1) & (edges_.size() - 1)) {
      if (edges_[at].key == key) return edges_[at].child;
      if (edges_[at].key == kFree) return kNone;
    }
  }

  uint32_t add(uint32_t node, uint32_t code) {
    if (node == 0) {
      if (code >= root_.size()) root_.resize(code + code / 4 + 1, kNone);
      if (root_[code] == kNone) root_[code] = nodes_++;
      return root_[code];
    }
    const uint64_t key = key_of(node, code);
    size_t at = slot(key);
    for (; edges_[at].key != kFree; at = (at + 1) & (edges_.size() - 1))
      if (edges_[at].key == key) return edges_[at].child;
    edges_[at] = Edge{key, nodes_};
    if (2 * static_cast<size_t>(nodes_) > edges_.size()) grow();
    return nodes_++;
  }

  template <class Code>
  uint32_t add_string(const Code* codes, int64_t length) {
    uint32_t node = 0;
    for (int64_t i = 0; i < length; ++i) node = add(node, codes[i]);
    return node;
  }

 private:
  struct Edge {
    uint64_t key;
    uint32_t child;
  };
  static constexpr uint64_t kFree = UINT64_MAX;

  static uint64_t key_of(uint32_t node, uint32_t code) { return uint64_t{node} << 21 | code; }
  size_t slot(uint64_t key) const {
    const uint64_t hash = key * 0x9E3779B97F4A7C15u;
    return (hash ^ hash >> 29) & (edges_.size() - 1);
  }
  void grow() {
    std::vector<Edge> old(2 * edges_.size(), Edge{kFree, 0});
    old.swap(edges_);
    for (const Edge& edge : old) {
      if (edge.key == kFree) continue;
      size_t at = slot(edge.key);
      while (edges_[at].key != kFree) at = (at + 1) & (edges_.size() - 1);
      edges_[at] = edge;
    }
  }

  std::vector<uint32_t> root_;
  std::vector<Edge> edges_;
  uint32_t nodes_ = 1;
};

}  // namespace kxfast::words
