// Cohesion of n-grams, and which of them hold together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/job.hpp"

namespace kxfast::words {

// The n-grams of one order as code points in lexicographic order.
struct TableView {
  const uint32_t* grams;
  const int64_t* counts;
  int64_t rows;
};

class Cohesion {
 public:
  // tables[n - 1] for n = 1 .. max_order; a prefix of an n-gram must be in the table below.
  Cohesion(std::vector<TableView> tables, int64_t total, Job& job);

  // min over splits of N c(w) / (c(left) c(right)), in the order of operations of the reference; a part that
  // is missing counts N.
  double least_ratio(int n, int64_t row) const;

  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t find(const uint32_t* gram, int n) const;  // row, or kNone

  const TableView& table(int n) const { return tables_[static_cast<std::size_t>(n - 1)]; }
  int orders() const { return static_cast<int>(tables_.size()); }

 private:
  struct Links {  // of one table's rows
    std::vector<uint32_t> parent,
        suffix;                      // rows of order n - 1: without the last, without the first character
    std::vector<uint32_t> children;  // first row of order n + 1 that extends each row, and the end
  };
  void link(int n, Job& job);

  std::vector<TableView> tables_;
  std::vector<Links> links_;
  int64_t total_;
};

struct Words {
  std::vector<uint32_t> codes;
  std::vector<int64_t> offsets{0};
  void add(const uint32_t* word, int64_t length) {
    codes.insert(codes.end(), word, word + length);
    offsets.push_back(static_cast<int64_t>(codes.size()));
  }
};

// n-grams from order 2 on whose ratio is at least min_ratio[n - 1], or (above) more than it.
Words kept_ngrams(const Cohesion& cohesion, const std::vector<double>& min_ratio, bool above, Job& job);

// Pairs (order 2) with p(ab) > min_proba and ln(p(ab) / (p(a) p(b))) > min_pmi, p(ab) as a share of all
// pairs.
Words kept_pairs(const Cohesion& cohesion, double min_proba, double min_pmi, Job& job);

}  // namespace kxfast::words
