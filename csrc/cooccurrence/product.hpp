// A matrix in rows times a dense one.
#pragma once

#include <cstdint>

#include "core/isa.hpp"
#include "core/job.hpp"

namespace kxfast::cooccurrence {

template <class Real>
struct SparseRows {
  const int32_t *indptr, *indices;
  const Real* data;
};

#define KXFAST_DECLARE(set)                                                                           \
  namespace set {                                                                                     \
  void multiply_rows(const SparseRows<float>& rows, int64_t begin, int64_t end, const float* dense,   \
                     int64_t columns, float* out);                                                    \
  void multiply_rows(const SparseRows<double>& rows, int64_t begin, int64_t end, const double* dense, \
                     int64_t columns, double* out);                                                   \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE

// dense (any, columns), out (size, columns), all rows.
template <class Real>
void multiply(const SparseRows<Real>& rows, int64_t size, const Real* dense, int64_t columns, Real* out,
              int threads, Job& job);

}  // namespace kxfast::cooccurrence
