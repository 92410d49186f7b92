// AdaGrad on one record after the other, for word vectors that fit PMI.
#pragma once

#include <cstdint>

#include "core/isa.hpp"

namespace kxfast::cooccurrence {

template <class Real>
struct Record {
  int32_t row, column;
  Real value, weight;
};

// Vectors and their accumulated squared gradients, each row padded with 0 to whole registers of 64 bytes;
// contexts may be the vectors themselves.
template <class Real>
struct Model {
  Real *vectors, *contexts;
  Real *seen_vectors, *seen_contexts;
  int64_t width;  // of a padded row
  Real eta;
};

// Trains on the records begin .. end, and returns their cost. `moves` has room for two rows, aligned as they
// are.
#define KXFAST_DECLARE(set)                                                                                \
  namespace set {                                                                                          \
  double train_records(const Record<float>* begin, const Record<float>* end, const Model<float>& model,    \
                       float* moves);                                                                      \
  double train_records(const Record<double>* begin, const Record<double>* end, const Model<double>& model, \
                       double* moves);                                                                     \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE

}  // namespace kxfast::cooccurrence
