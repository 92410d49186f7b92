// Where the factorisation of s^2 I - G in double succeeds, s^2 plus a bound of all roundings, of G too,
// exceeds |A|^2 (Rump, BIT 46, 2006; with twice its constants).
#include "lipschitz/certificate.hpp"

#include <cmath>

#include "lipschitz/cholesky.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr double kRound = 0x1p-53;

}  // namespace

double Certificate::slack(double squared) const {
  const double k = static_cast<double>(gram.size);
  const double trace = std::fmax(k * squared - gram.frobenius, 0) + 8 * k * kRound * squared;
  return gram.error * gram.frobenius + 2 * kRound * ((k + 2) * trace + 4 * squared);
}

double Certificate::test(double value, double widest, Job& job) {
  const double high = widest - gram.apart, low = value + gram.apart;
  const double guess = slack(high * high);
  const double squared = std::fmax(high * high * (1 - 8 * kRound) - guess, low * low + guess);
  const int64_t n = gram.size;
  if (!shifted_.size()) shifted_ = Buffer<double>(static_cast<size_t>(n * gram.stride));
  const double* from = gram.entries.data();
  double* to = shifted_.data();
  for (int64_t i = 0; i < n; ++i, from += gram.stride, to += gram.stride) {
    for (int64_t j = i; j < n; ++j) to[j] = -from[j];
    to[i] += squared;
  }
  if (!cholesky({shifted_.data(), gram.stride, 0}, n, job)) return HUGE_VAL;
  return (std::sqrt(squared + slack(squared)) + gram.apart) * (1 + 4 * kRound);
}

}  // namespace kxfast::lipschitz
