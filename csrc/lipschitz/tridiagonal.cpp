// Eigenvalues of a small tridiagonal matrix by bisection, its leading vector by inverse iteration.
//
// T = B'B of the bidiagonal B has the squares of its singular values. Only the two largest are wanted: a
// bisection on Sturm counts costs a few divisions per row and step, needs no storage and does not depend on
// gaps; the first is then found exactly by Newton's steps. Inverse iteration with pivoting gives the vector,
// of which the last entry is the residual.
#include "lipschitz/tridiagonal.hpp"

#include <algorithm>
#include <cmath>

namespace kxfast::lipschitz {
namespace {

using Doubles = std::vector<double>;

// How many eigenvalues are above x, counted up to `most`.
int above(const Doubles& diagonal, const Doubles& beside, double x, int most, double tiny) {
  int count = 0;
  double pivot = 1;
  for (size_t i = 0; i < diagonal.size(); ++i) {
    pivot = diagonal[i] - x - (i ? beside[i - 1] * beside[i - 1] / pivot : 0.0);
    if (std::fabs(pivot) < tiny) pivot = -tiny;
    if (pivot > 0 && ++count == most) break;
  }
  return count;
}

// The number-th largest eigenvalue, to a relative width.
double bisect(const Doubles& diagonal, const Doubles& beside, int number, double low, double high,
              double width) {
  const double tiny = 1e-300 + 1e-32 * high;
  while (high - low > width * high) {
    const double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) break;
    (above(diagonal, beside, middle, number, tiny) >= number ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

// The largest eigenvalue, between low and high: from above Newton's steps never pass it, and some five of
// them take the place of forty halvings, but for values so close that each gains little.
double largest_between(const Doubles& diagonal, const Doubles& beside, double low, double high) {
  double x = high;
  for (int turn = 0; turn < 12; ++turn) {
    double pivot = diagonal[0] - x, slope = -1, sum = slope / pivot;
    for (size_t i = 1; i < diagonal.size() && pivot < 0; ++i) {
      const double over = beside[i - 1] / pivot;
      slope = over * over * slope - 1;
      pivot = diagonal[i] - x - over * beside[i - 1];
      sum += slope / pivot;
    }
    if (!(pivot < 0)) break;
    if (!(1 / sum > 1e-16 * x)) return x;
    x -= 1 / sum;
  }
  return bisect(diagonal, beside, 1, low, high, 1e-16);
}

// The eigenvector of `value`: inverse iteration with (T - value) factored with row exchanges.
Doubles vector_of(const Doubles& diagonal, const Doubles& beside, double value) {
  const size_t n = diagonal.size();
  const double tiny = 1e-300 + 2e-16 * std::fabs(value);
  Doubles a(n), b(n, 0.0), c(n, 0.0), factor(n, 0.0), x(n, 1.0);  // a pivot and the two places to its right
  std::vector<char> exchanged(n, 0);
  double here = diagonal[0] - value, right = n > 1 ? beside[0] : 0.0;
  for (size_t i = 0; i + 1 < n; ++i) {
    const double below = beside[i], next = diagonal[i + 1] - value, after = i + 2 < n ? beside[i + 1] : 0.0;
    if (std::fabs(below) > std::fabs(here)) {
      exchanged[i] = 1;
      a[i] = below, b[i] = next, c[i] = after, factor[i] = here / below;
      here = right - factor[i] * next, right = -factor[i] * after;
    } else {
      if (std::fabs(here) < tiny) here = tiny;
      a[i] = here, b[i] = right, factor[i] = below / here;
      here = next - factor[i] * right, right = after;
    }
  }
  a[n - 1] = std::fabs(here) < tiny ? tiny : here;
  for (size_t i = 1; i < n; ++i) x[i] = 1 + 0.01 * static_cast<double>(i * 2654435761u % 97);  // no symmetry
  for (int turn = 0; turn < 3; ++turn) {
    for (size_t i = 0; i + 1 < n && turn; ++i) {  // the first turn starts behind the elimination
      if (exchanged[i]) std::swap(x[i], x[i + 1]);
      x[i + 1] -= factor[i] * x[i];
    }
    double largest = 0;
    for (size_t i = n; i-- > 0;) {
      const double rest = (i + 1 < n ? b[i] * x[i + 1] : 0.0) + (i + 2 < n ? c[i] * x[i + 2] : 0.0);
      x[i] = (x[i] - rest) / a[i];
      largest = std::max(largest, std::fabs(x[i]));
      if (largest > 1e200)
        for (size_t k = 0; k < n; ++k) x[k] *= 1e-200;
    }
    double length = 0;
    for (const double each : x) length = std::max(length, std::fabs(each));
    for (double& each : x) each /= length;
    length = 0;
    for (const double each : x) length += each * each;
    for (double& each : x) each /= std::sqrt(length);
  }
  return x;
}

}  // namespace

bool Bidiagonal::invariant() const {
  return std::count(alphas.begin(), alphas.end(), 0.0) + std::count(betas.begin(), betas.end(), 0.0) > 0;
}

Ritz largest_eigenvalue(const Doubles& diagonal, const Doubles& beside) {
  const size_t n = diagonal.size();
  double bound = 0, largest = 0;
  for (size_t i = 0; i < n; ++i) {
    const double left = i ? std::fabs(beside[i - 1]) : 0.0, right = i + 1 < n ? std::fabs(beside[i]) : 0.0;
    bound = std::max(bound, diagonal[i] + left + right);
    largest = std::max(largest, diagonal[i]);
  }
  Ritz found;
  found.value = bisect(diagonal, beside, 1, largest * (1 - 1e-15), bound * (1 + 1e-15), 1e-3);
  found.value = largest_between(diagonal, beside, found.value * (1 - 1e-3), found.value * (1 + 1e-3));
  found.vector = vector_of(diagonal, beside, found.value);
  // the gap to the second, for the error; a coarse value will do
  found.error = n > 1 ? found.value - bisect(diagonal, beside, 2, 0.0, found.value, 1e-3) : 0.0;
  return found;
}

Ritz largest_ritz(const Bidiagonal& b) {
  const size_t k = b.alphas.size();
  Doubles diagonal(k), beside(k);
  for (size_t i = 0; i < k; ++i) {
    const double before = i ? b.betas[i - 1] : 0.0;
    diagonal[i] = b.alphas[i] * b.alphas[i] + before * before;
    beside[i] = b.alphas[i] * b.betas[i];
  }
  Ritz found = largest_eigenvalue(diagonal, beside);
  const double sigma = std::sqrt(found.value), second = std::sqrt(std::max(0.0, found.value - found.error));
  found.value = sigma;
  if (sigma == 0) return found;
  // A singular value is within the residual r; within about r^2 / gap, by the gap to the next Ritz value.
  const double r = std::fabs(b.betas[k - 1] * b.alphas[k - 1] * found.vector[k - 1]) / sigma;
  const double gap = k > 1 ? sigma - second : 0.0;
  found.error = gap > 0 ? std::min(r, r * r / gap) : r;
  return found;
}

double lanczos_polynomial(const Bidiagonal& b, double sigma) {
  double before = 0, now = 1, coupling = 0, old_beta = 0;
  for (size_t i = 0; i < b.alphas.size(); ++i) {
    const double alpha = b.alphas[i], beta = b.betas[i], scale = alpha * beta;
    const double following =
        ((sigma * sigma - alpha * alpha - old_beta * old_beta) * now - coupling * before) / scale;
    before = now, now = following, coupling = scale, old_beta = beta;
    if (now > 1e200) break;  // above its roots the sequence grows
  }
  return now;
}

double random_upper(const Bidiagonal& b, double value, double delta, int64_t inputs) {
  const double roundings = 1 + 64 * static_cast<double>(inputs) * 0x1p-53;
  if (b.invariant()) return value * roundings;  // all that the start knows has been seen
  double low = value, high = 2 * value;
  while (lanczos_polynomial(b, high) < 1 / delta) low = high, high *= 2;
  while (high - low > 1e-13 * high) {
    const double middle = 0.5 * (low + high);
    (lanczos_polynomial(b, middle) < 1 / delta ? low : high) = middle;
  }
  return high * roundings;
}

}  // namespace kxfast::lipschitz
