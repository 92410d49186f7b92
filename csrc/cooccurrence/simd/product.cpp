// Rows of a sparse matrix times a dense one of some hundred columns: for each stored cell a row of the dense
// matrix is scaled and added to a row of sums. The sums of up to 128 columns stay in registers, so a cell
// costs the loads of a dense row alone, and these come from the L2 and L3 caches: that is the limit. The next
// cells' rows are prefetched. Cells are added in order, so the bits do not depend on the instruction set.
#include "cooccurrence/product.hpp"

namespace kxfast::cooccurrence::KXFAST_ISA {
namespace {

template <class Real, int kLanes>
struct Vectors;
template <>
struct Vectors<float, 16> {
  typedef float Type __attribute__((vector_size(64), aligned(4), may_alias));
};
template <>
struct Vectors<double, 8> {
  typedef double Type __attribute__((vector_size(64), aligned(8), may_alias));
};

// kCount registers of columns from `column` on.
template <class Real, int kCount>
void stripe(const SparseRows<Real>& rows, int64_t begin, int64_t end, const Real* dense, int64_t columns,
            int64_t column, Real* out) {
  constexpr int kLanes = 64 / sizeof(Real);
  typedef typename Vectors<Real, kLanes>::Type Vector;
  for (int64_t row = begin; row < end; ++row) {
    Vector sums[kCount];
    for (int c = 0; c < kCount; ++c) sums[c] = Vector{};
    const int64_t last = rows.indptr[row + 1];
    for (int64_t k = rows.indptr[row]; k < last; ++k) {
      const Real* ahead = dense + rows.indices[k + 8 < last ? k + 8 : last - 1] * columns + column;
      for (int c = 0; c < kCount; ++c) __builtin_prefetch(ahead + c * kLanes);
      const Real* from = dense + rows.indices[k] * columns + column;
      const Real value = rows.data[k];
      for (int c = 0; c < kCount; ++c) sums[c] += value * *reinterpret_cast<const Vector*>(from + c * kLanes);
    }
    for (int c = 0; c < kCount; ++c)
      *reinterpret_cast<Vector*>(out + row * columns + column + c * kLanes) = sums[c];
  }
}

template <class Real>
void rest(const SparseRows<Real>& rows, int64_t begin, int64_t end, const Real* dense, int64_t columns,
          int64_t column, Real* out) {
  for (int64_t row = begin; row < end; ++row) {
    Real* to = out + row * columns;
    for (int64_t c = column; c < columns; ++c) to[c] = 0;
    for (int64_t k = rows.indptr[row]; k < rows.indptr[row + 1]; ++k) {
      const Real *from = dense + rows.indices[k] * columns, value = rows.data[k];
      for (int64_t c = column; c < columns; ++c) to[c] += value * from[c];
    }
  }
}

template <class Real>
void all(const SparseRows<Real>& rows, int64_t begin, int64_t end, const Real* dense, int64_t columns,
         Real* out) {
  constexpr int64_t kLanes = 64 / static_cast<int64_t>(sizeof(Real));
  int64_t column = 0;
  for (; column + 8 * kLanes <= columns; column += 8 * kLanes)
    stripe<Real, 8>(rows, begin, end, dense, columns, column, out);
  for (; column + 4 * kLanes <= columns; column += 4 * kLanes)
    stripe<Real, 4>(rows, begin, end, dense, columns, column, out);
  for (; column + kLanes <= columns; column += kLanes)
    stripe<Real, 1>(rows, begin, end, dense, columns, column, out);
  if (column < columns) rest(rows, begin, end, dense, columns, column, out);
}

}  // namespace

void multiply_rows(const SparseRows<float>& rows, int64_t begin, int64_t end, const float* dense,
                   int64_t columns, float* out) {
  all(rows, begin, end, dense, columns, out);
}

void multiply_rows(const SparseRows<double>& rows, int64_t begin, int64_t end, const double* dense,
                   int64_t columns, double* out) {
  all(rows, begin, end, dense, columns, out);
}

}  // namespace kxfast::cooccurrence::KXFAST_ISA
