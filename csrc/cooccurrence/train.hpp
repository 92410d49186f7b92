// AdaGrad on one record after the other, for word vectors that fit PMI.
#pragma once

#include <cstdint>

#include "core/isa.hpp"

namespace kxfast::cooccurrence {

struct Records {
  const int64_t *rows, *columns;
  const double *values, *weights;
};

// Vectors and their accumulated squared gradients; contexts may be the vectors themselves.
struct Model {
  double *vectors, *contexts;
  double *seen_vectors, *seen_contexts;
  int64_t dim;
};

// Trains on records begin .. end, and returns their cost. `moves` has room for 2 dim numbers.
#define KXFAST_DECLARE(set)                                                                                \
  namespace set {                                                                                          \
  double train_records(const Records& records, int64_t begin, int64_t end, const Model& model, double eta, \
                       double* moves);                                                                     \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE

}  // namespace kxfast::cooccurrence
