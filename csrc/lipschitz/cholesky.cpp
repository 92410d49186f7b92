// Cholesky factorisation R^H R of the upper triangle of a matrix in row order.
//
// Blocks of 64 rows, in blocks of 8: the 8 x 8 corner by scalars, the rest of its rows one register of
// columns at a time (solve_rows), and what they take from later rows as a product of tiles (subtract_gram),
// first in the block of 64, then, 64 at a time, in all that follows: the tiles of the last step are nearly
// all of the work, and its blocks of rows are the tasks. R is in rows, so that the operands of every product
// are read where they are. A pivot that fails ends it at once: a shift that is too small is usually found
// out early.
#include "lipschitz/cholesky.hpp"

#include <algorithm>
#include <cmath>

#include "core/threads.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr int64_t kOuter = 64, kInner = 8;

// The corner of rows and columns 0 .. size - 1.
bool factor_corner(Planes m, int64_t size) {
  for (int64_t k = 0; k < size; ++k) {
    double* row = m.data + k * m.stride;
    if (!(row[k] > 0)) return false;
    const double pivot = std::sqrt(row[k]);
    if (!std::isfinite(pivot)) return false;
    row[k] = pivot;
    for (int64_t j = k + 1; j < size; ++j) {
      row[j] /= pivot;
      if (m.plane) row[m.plane + j] /= pivot;
    }
    for (int64_t i = k + 1; i < size; ++i) {
      double* below = m.data + i * m.stride;
      const double x = row[i], y = m.plane ? row[m.plane + i] : 0;
      for (int64_t j = i; j < size; ++j) {
        below[j] -= x * row[j];
        if (m.plane) {
          below[j] -= y * row[m.plane + j];
          below[m.plane + j] -= x * row[m.plane + j] - y * row[j];
        }
      }
    }
  }
  return true;
}

}  // namespace

bool cholesky(Planes m, int64_t n, Job& job) {
  const auto solve = KXFAST_PICK(void (*)(Planes, int64_t, Planes, int64_t), solve_rows);
  const auto subtract =
      KXFAST_PICK(void (*)(Planes, Planes, int64_t, Planes, int64_t, int64_t), subtract_gram);
  for (int64_t begin = 0; begin < n; begin += kOuter) {
    if (!job.advance(0)) return false;
    const int64_t end = std::min(begin + kOuter, n);
    for (int64_t k = begin; k < end; k += kInner) {
      const int64_t after = std::min(k + kInner, end);
      if (!factor_corner(m.at(k, k), after - k)) return false;
      solve(m.at(k, k), after - k, m.at(k, after), n - after);
      for (int64_t i = after; i < end; i += kInner)
        subtract(m.at(k, i), m.at(k, i), after - k, m.at(i, i), std::min(kInner, end - i), n - i);
    }
    constexpr int64_t kRows = 24;
    const int64_t left = n - end;
    const auto update = [&](int64_t task) {
      if (!job.advance(0)) return;
      const int64_t i = end + task * kRows;
      subtract(m.at(begin, i), m.at(begin, i), end - begin, m.at(i, i), std::min(kRows, n - i), n - i);
    };
    parallel_for((left + kRows - 1) / kRows, update, left < 256 ? 1 : 0);
  }
  return !job.stopped();
}

}  // namespace kxfast::lipschitz
