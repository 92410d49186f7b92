#include "cooccurrence/product.hpp"

#include <algorithm>
#include <vector>

#include "core/threads.hpp"

namespace kxfast::cooccurrence {
namespace {

template <class Real>
using Kernel = void (*)(const SparseRows<Real>&, int64_t, int64_t, const Real*, int64_t, Real*);

}  // namespace

template <class Real>
void multiply(const SparseRows<Real>& rows, int64_t size, const Real* dense, int64_t columns, Real* out,
              int threads, Job& job) {
  const Kernel<Real> kernel = KXFAST_PICK(Kernel<Real>, multiply_rows);
  std::vector<int64_t> bounds(1, 0);  // of tasks with about as many cells each
  for (int64_t row = 0; row < size; ++row)
    if (rows.indptr[row + 1] - rows.indptr[bounds.back()] >= 1 << 15 || row + 1 - bounds.back() >= 1 << 10)
      bounds.push_back(row + 1);
  if (bounds.back() != size) bounds.push_back(size);
  const auto task = [&](int64_t t) {
    const size_t at = static_cast<size_t>(t);
    kernel(rows, bounds[at], bounds[at + 1], dense, columns, out);
  };
  parallel_for(static_cast<int64_t>(bounds.size()) - 1, task, threads, &job);
}

template void multiply(const SparseRows<float>&, int64_t, const float*, int64_t, float*, int, Job&);
template void multiply(const SparseRows<double>&, int64_t, const double*, int64_t, double*, int, Job&);

}  // namespace kxfast::cooccurrence
