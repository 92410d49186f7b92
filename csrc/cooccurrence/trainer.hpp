// Epochs of training over records in blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "cooccurrence/train.hpp"
#include "core/job.hpp"
#include "core/workspace.hpp"

namespace kxfast::cooccurrence {

// Unordered pairs with their PMI and weight, and the order in which to visit them.
struct Pairs {
  const int32_t *rows, *columns;
  const double *values, *weights;
  const int64_t* order;
  int64_t size;
};

// Tasks are stretches of the order, rounds are stretches of tasks; the tasks of a round have no word in
// common.
struct Plan {
  std::vector<int64_t> tasks, rounds;
};

template <class Real>
class Trainer {
 public:
  // contexts: null where a word has one vector.
  Trainer(const Pairs& pairs, Plan plan, const Real* vectors, const Real* contexts, int64_t words,
          int64_t dim, double eta, int threads);
  // Visits all records once and returns their cost. Only a finished epoch is a state to go on from.
  double epoch(Job& job);
  void get(bool contexts, Real* out) const;
  int64_t size() const { return static_cast<int64_t>(records_.size()); }
  int64_t words() const { return words_; }
  int64_t dim() const { return dim_; }

 private:
  Buffer<Real> padded(const Real* rows) const;

  Plan plan_;
  int64_t words_, dim_, width_;
  Real eta_;
  int threads_;
  Buffer<Record<Real>> records_;
  Buffer<Real> vectors_, contexts_, seen_vectors_, seen_contexts_;
};

}  // namespace kxfast::cooccurrence
