// All singular values of a circular convolution, those of its blocks at half of the frequencies.
//
// Gram matrices in double (sums.hpp), as many frequencies at a time as a register has lanes, are brought to
// tridiagonal form together (simd/reduce.cpp), nearly all of the work, and each then gives its eigenvalues to
// QL steps without square roots. Beside the roundings of doubles the squares of values lose nothing that
// weights in float have: values are exact to 1e-7 of the largest, and those below as far as that goes, like
// those of a decomposition in float. That decomposition, by LAPACK, took four times as long.
#include <cmath>

#include "lipschitz/sums.hpp"

namespace kxfast::lipschitz {
namespace {

// Eigenvalues of a tridiagonal matrix: the diagonal becomes them; `beside` squared. The steps of Pal, Walker
// and Kahan (Parlett, The Symmetric Eigenvalue Problem, section 8.15), with the shift of Wilkinson.
void eigenvalues(double* diagonal, double* beside, int64_t n) {
  double norm = 0;
  for (int64_t i = 0; i < n; ++i)
    norm = std::fmax(norm, std::fabs(diagonal[i]) + (i + 1 < n ? std::sqrt(beside[i]) : 0.0));
  const double tiny = (kRound * norm) * (kRound * norm);
  int64_t left = 60 * n;
  for (int64_t l = 0; l + 1 < n;) {
    int64_t m = l;
    while (m + 1 < n && beside[m] > tiny) ++m;
    if (m == l || --left < 0) {
      ++l;
      continue;
    }
    const double root = std::sqrt(beside[l]), half = (diagonal[l + 1] - diagonal[l]) / (2 * root);
    const double shift = diagonal[l] - root / (half + std::copysign(std::sqrt(half * half + 1), half));
    double c = 1, s = 0, gamma = diagonal[m] - shift, p = gamma * gamma;
    for (int64_t i = m - 1; i >= l; --i) {
      const double square = beside[i], r = p + square, old_c = c, old_gamma = gamma;
      if (i + 1 < m) beside[i + 1] = s * r;
      if (r > 0) {
        const double over = 1 / r;
        c = p * over, s = square * over;
      } else {
        c = 1, s = 0;
      }
      gamma = c * (diagonal[i] - shift) - s * old_gamma;
      diagonal[i + 1] = old_gamma + (diagonal[i] - gamma);
      p = c > 0 ? gamma * gamma / c : old_c * square;
    }
    beside[l] = s * p;
    diagonal[l] = shift + gamma;
  }
}

}  // namespace

std::vector<double> circular_values(const Torus& torus, Job& job) {
  const Sums sums(torus, job);
  const int64_t n = sums.side(), plane = sums.stride(), stride = 2 * plane, each = n * stride;
  std::vector<Frequency> all = sums.frequencies();
  std::stable_sort(all.begin(), all.end(),
                   [](const Frequency& a, const Frequency& b) { return a.group < b.group; });
  const int64_t lanes = KXFAST_PICK(int64_t (*)(), lanes_together)();
  const auto reduce = KXFAST_PICK(void (*)(double*, int64_t, double*, double*, double*), tridiagonal);
  std::vector<std::pair<size_t, int64_t>> runs;  // of one group, `lanes` at most
  for (size_t i = 0; i < all.size(); ++i)
    if (!runs.empty() && runs.back().second < lanes && all[runs.back().first].group == all[i].group)
      ++runs.back().second;
    else
      runs.push_back({i, 1});
  std::vector<double> values(all.size() * static_cast<size_t>(n));
  const auto task = [&](int64_t number) {
    if (!job.advance(0)) return;
    const auto [first, count] = runs[static_cast<size_t>(number)];
    Buffer<double> g(static_cast<size_t>(kTogether * each)), a(static_cast<size_t>(2 * n * n * lanes));
    Buffer<double> diagonal(static_cast<size_t>(n * lanes)), beside(static_cast<size_t>(n * lanes));
    Buffer<double> work(static_cast<size_t>(8 * n * lanes)), one(static_cast<size_t>(2 * n));
    for (int64_t lane = 0; lane < lanes; lane += kTogether) {
      const Frequency* which[kTogether];
      for (int64_t f = 0; f < kTogether; ++f)  // lanes that are left over repeat the last
        which[f] = &all[first + static_cast<size_t>(std::min(lane + f, count - 1))];
      sums.compute(which, kTogether, {g.data(), stride, plane}, each);
      for (int64_t f = 0; f < kTogether && lane + f < lanes; ++f)
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = i; j < n; ++j) {
            const double* from = g.data() + f * each + i * stride + j;
            double* to = a.data() + (i * n + j) * 2 * lanes + lane + f;
            to[0] = from[0], to[lanes] = from[plane];
          }
    }
    reduce(a.data(), n, diagonal.data(), beside.data(), work.data());
    for (int64_t lane = 0; lane < count && job.advance(0); ++lane) {
      for (int64_t i = 0; i < n; ++i) {
        one[static_cast<size_t>(i)] = diagonal[static_cast<size_t>(i * lanes + lane)];
        if (i + 1 < n) one[static_cast<size_t>(n + i)] = beside[static_cast<size_t>(i * lanes + lane)];
      }
      eigenvalues(one.data(), one.data() + n, n);
      for (int64_t i = 0; i < n; ++i)
        values[(first + static_cast<size_t>(lane)) * static_cast<size_t>(n) + static_cast<size_t>(i)] =
            std::sqrt(std::fmax(one[static_cast<size_t>(i)], 0.0));
    }
  };
  parallel_for(static_cast<int64_t>(runs.size()), task, 0, &job);
  for (size_t i = 0; i < all.size(); ++i) {  // conjugate frequencies have the same values
    bool alone = true;
    for (int k = 0; k < 2; ++k) alone &= 2 * all[i].at[k] % torus.sides[k] == 0;
    for (size_t j = 0; j < static_cast<size_t>(n) && !alone; ++j)
      values.push_back(values[i * static_cast<size_t>(n) + j]);
  }
  std::sort(values.begin(), values.end(), std::greater<double>());
  return values;
}

}  // namespace kxfast::lipschitz
