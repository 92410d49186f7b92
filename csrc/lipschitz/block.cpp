// A step of block iteration with Rayleigh-Ritz.
//
// P = W X and T = W'P of all directions come from one read of W, four rows at a time (rows.hpp): what follows
// is made of their inner products, matrices as small as the block. With the eigenvectors of P'P as
// coefficients, P turns into an orthonormal basis Q of the outputs and T into W'Q without another read; those
// of (W'Q)'(W'Q) turn W'Q into the new directions. Memory is the limit for large weights, the L2 cache for
// blocks of more than one direction. Vectors are in the type of W: a direction whose share is below their
// rounding, as all but one are of a matrix of rank one, is left where it was and made orthogonal to the
// others. Decomposing P and T themselves would see smaller shares; the directions are judged in double by the
// enclosure that starts at the best, so nothing is gained by it.
#include "lipschitz/block.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "lipschitz/rows.hpp"

namespace kxfast::lipschitz {
namespace {

using Doubles = std::vector<double>;

// Eigenvalues, descending, and eigenvectors (in rows) of a symmetric matrix, by Jacobi's rotations.
void decompose(Doubles a, size_t n, Doubles& values, Doubles& vectors) {
  vectors.assign(n * n, 0.0);
  for (size_t i = 0; i < n; ++i) vectors[i * n + i] = 1;
  const auto turn = [n](double& x, double& y, double c, double s) {
    const double old = x;
    x = c * x - s * y, y = s * old + c * y;
  };
  for (int sweep = 0; sweep < 30; ++sweep) {
    double beside = 0, all = 0;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) (i == j ? all : beside) += a[i * n + j] * a[i * n + j];
    if (!(beside > 1e-30 * all)) break;
    for (size_t p = 0; p < n; ++p)
      for (size_t q = p + 1; q < n; ++q) {
        if (a[p * n + q] == 0) continue;
        const double apart = a[q * n + q] - a[p * n + p];  // of the two turns the smaller one
        const double angle = 0.5 * std::atan2(std::copysign(2, apart) * a[p * n + q], std::fabs(apart));
        const double c = std::cos(angle), s = std::sin(angle);
        for (size_t k = 0; k < n; ++k) turn(a[k * n + p], a[k * n + q], c, s);
        for (size_t k = 0; k < n; ++k) turn(a[p * n + k], a[q * n + k], c, s);
        for (size_t k = 0; k < n; ++k) turn(vectors[p * n + k], vectors[q * n + k], c, s);
      }
  }
  values.resize(n);
  for (size_t i = 0; i < n; ++i) values[i] = a[i * n + i];
  for (size_t i = 0; i < n; ++i) {
    const auto best = static_cast<size_t>(
        std::max_element(values.begin() + static_cast<std::ptrdiff_t>(i), values.end()) - values.begin());
    std::swap(values[i], values[best]);
    if (best != i)
      std::swap_ranges(vectors.begin() + static_cast<std::ptrdiff_t>(i * n),
                       vectors.begin() + static_cast<std::ptrdiff_t>((i + 1) * n),
                       vectors.begin() + static_cast<std::ptrdiff_t>(best * n));
  }
}

template <class T>
double product(const T* a, const T* b, int64_t n) {
  double sums[4] = {0, 0, 0, 0};
  for (int64_t i = 0; i < n; ++i) sums[i & 3] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <class T>
Doubles inner_products(const Buffer<T>& x, int64_t rank, int64_t n) {
  Doubles all(static_cast<size_t>(rank * rank));
  for (int64_t i = 0; i < rank; ++i)
    for (int64_t j = i; j < rank; ++j)
      all[static_cast<size_t>(i * rank + j)] = all[static_cast<size_t>(j * rank + i)] =
          product(x.data() + i * n, x.data() + j * n, n);
  return all;
}

// to = sum over j of shares[j] x_j
template <class T>
void combine(const double* shares, const Buffer<T>& x, int64_t rank, int64_t n, double* to) {
  std::fill(to, to + n, 0.0);
  for (int64_t j = 0; j < rank; ++j)
    for (int64_t i = 0; i < n; ++i)
      to[i] += shares[j] * static_cast<double>(x[static_cast<size_t>(j * n + i)]);
}

// Makes direction `number` orthogonal to those before it, and of length 1: itself, or else the first unit
// vector that can be.
void complete(double* block, int64_t number, int64_t n) {
  double* x = block + number * n;
  for (int64_t unit = -1; unit < n; ++unit) {
    if (unit >= 0) {
      std::fill(x, x + n, 0.0);
      x[unit] = 1;
    }
    double before = length(x, n), size = before;
    for (int turn = 0; turn < 2; ++turn) {
      for (int64_t k = 0; k < number; ++k) {
        const double share = product(block + k * n, x, n);
        for (int64_t i = 0; i < n; ++i) x[i] -= share * block[k * n + i];
      }
      size = length(x, n);
    }
    if (!(size > 1e-3 * before)) continue;
    return divide(x, n, size);
  }
}

}  // namespace

template <class T>
void block_step(const T* w, int64_t rows, int64_t cols, int64_t rank, double* block, double* u) {
  const auto r = static_cast<size_t>(rank);
  Buffer<T> x(r * static_cast<size_t>(cols)), p(r * static_cast<size_t>(rows)), t(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(block[i]);
  Blocks<T, T>(w, rows, cols, 0).there_and_back(x.data(), nullptr, p.data(), t.data(), rank);
  const double least = std::pow(64 * static_cast<double>(std::numeric_limits<T>::epsilon()), 2);
  Doubles values, vectors;
  decompose(inner_products(p, rank, rows), r, values, vectors);
  size_t kept = 0;
  while (kept < r && values[kept] > least * values[0]) ++kept;
  std::fill(u, u + rows, 0.0);
  if (!(values[0] > 0) || !std::isfinite(values[0])) return;  // nothing was seen
  int exponent;
  std::frexp(std::sqrt(values[0]), &exponent);
  if (std::abs(exponent) > (sizeof(T) == 4 ? 50 : 400)) {  // products would leave the range
    Buffer<double> copy(static_cast<size_t>(rows * cols));
    for (size_t i = 0; i < copy.size(); ++i) copy[i] = std::ldexp(static_cast<double>(w[i]), -exponent);
    return block_step(copy.data(), rows, cols, rank, block, u);
  }
  for (size_t k = 0; k < kept; ++k)
    for (size_t j = 0; j < r; ++j) vectors[k * r + j] /= std::sqrt(values[k]);
  const Doubles images = inner_products(t, rank, cols);
  Doubles projected(kept * kept, 0.0), squares, turns;
  for (size_t a = 0; a < kept; ++a)
    for (size_t b = 0; b < kept; ++b)
      for (size_t i = 0; i < r; ++i)
        for (size_t j = 0; j < r; ++j)
          projected[a * kept + b] += vectors[a * r + i] * images[i * r + j] * vectors[b * r + j];
  decompose(projected, kept, squares, turns);
  int64_t done = 0;
  for (size_t k = 0; k < kept && squares[k] > least * squares[0]; ++k, ++done) {
    Doubles shares(r, 0.0);
    for (size_t a = 0; a < kept; ++a)
      for (size_t j = 0; j < r; ++j) shares[j] += turns[k * kept + a] * vectors[a * r + j];
    if (k == 0) combine(shares.data(), p, rank, rows, u);
    double* to = block + done * cols;
    combine(shares.data(), t, rank, cols, to);
    divide(to, cols, std::sqrt(squares[k]));
  }
  for (; done < rank; ++done) complete(block, done, cols);
}

template void block_step(const float*, int64_t, int64_t, int64_t, double*, double*);
template void block_step(const double*, int64_t, int64_t, int64_t, double*, double*);

}  // namespace kxfast::lipschitz
