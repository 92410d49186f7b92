// The bidiagonal matrix that Lanczos leaves: its largest singular value, and what is known of the limit.
#pragma once

#include <cstdint>
#include <vector>

namespace kxfast::lipschitz {

struct Bidiagonal {
  std::vector<double> alphas, betas;  // betas[j] couples step j to j + 1; 0 where the space was invariant

  int64_t steps() const { return static_cast<int64_t>(alphas.size()); }
  bool invariant() const;
};

// The largest Ritz value, how far it may be from its limit, and its vector in the basis.
struct Ritz {
  double value = 0, error = 0;
  std::vector<double> vector;
};
Ritz largest_ritz(const Bidiagonal& b);

// The same for a tridiagonal matrix with this diagonal and these squares of what is beside it: the value is
// an eigenvalue.
Ritz largest_eigenvalue(const std::vector<double>& diagonal, const std::vector<double>& beside);

// The Lanczos polynomial at sigma, beyond its last root: the norm is below sigma unless the start had a share
// below its reciprocal of the leading vector.
double lanczos_polynomial(const Bidiagonal& b, double sigma);

// What the norm exceeds only if the start had a share below `delta` of the leading vector.
double random_upper(const Bidiagonal& b, double value, double delta, int64_t inputs);

}  // namespace kxfast::lipschitz
