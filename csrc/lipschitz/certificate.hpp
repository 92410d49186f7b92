// That a norm is below an end: Cholesky factorisation of s^2 I - G for a Gram matrix G.
#pragma once

#include "lipschitz/gram.hpp"

namespace kxfast::lipschitz {

class Certificate {
 public:
  Gram gram;

  // An upper end of the norm that is `widest` at most, or a little above `value` where that is more; inf if
  // it cannot be proven. All are of the matrix whose Gram matrix it is.
  double test(double value, double widest, Job& job);

 private:
  double slack(double squared) const;

  Buffer<double> shifted_;
};

}  // namespace kxfast::lipschitz
