// The norm of a circular convolution, from above by one Cholesky factorisation at each frequency.
//
// Gram matrices are those of sums.hpp.
//
// A convolution with zeros around it is a corner of one on a torus, plain or twisted (what goes around comes
// back negated, a phase that the corner never meets). Both bound it from above, at frequencies that differ by
// half a step: a bound is the nearer to the norm the farther its frequencies are from where the symbol is
// largest, as the lowest state of a box lies half a wave off it too.
//
// Frequencies are taken in waves of fixed sizes, the largest Frobenius norms first, all of a wave against one
// bound: nothing depends on the number of threads. Where a factorisation fails, the norm is above the bound,
// and Lanczos on that block raises it for the next wave.
#include "lipschitz/circular.hpp"

#include <algorithm>
#include <cmath>

#include "lipschitz/cholesky.hpp"
#include "lipschitz/hermitian.hpp"
#include "lipschitz/sums.hpp"

namespace kxfast::lipschitz {
Peak circular_norm(const Torus& torus, Goal goal, uint64_t seed, Job& job) {
  const Sums sums(torus, job);
  const int64_t n = sums.side(), plane = sums.stride(), stride = odd_lines(2 * plane), each = n * stride;
  std::vector<Frequency> all = sums.frequencies();
  std::vector<size_t> left(all.size());
  for (size_t i = 0; i < left.size(); ++i) left[i] = left.size() - 1 - i;  // the next ones are at the end
  Peak peak;
  peak.value = goal.value;
  const double size = static_cast<double>(n);
  const auto slack = [&](double squared, const Frequency& f) {
    const double trace = std::fmax(size * squared - f.frobenius, 0) + 8 * size * kRound * squared;
    return sums.error(f.group) + 8 * kRound * ((size + 2) * trace + 4 * squared);
  };
  double floor = 0;  // of bounds, where the norm is lost in the roundings of what cancels
  for (size_t wave = goal.value > 0 ? 32 : 4; !left.empty() && job.advance(0);
       wave = std::min<size_t>(2 * wave, 64)) {
    const size_t count = std::min(wave, left.size());
    std::vector<size_t> now(left.end() - static_cast<std::ptrdiff_t>(count), left.end());
    left.resize(left.size() - count);
    std::stable_sort(now.begin(), now.end(), [&](size_t a, size_t b) { return all[a].group < all[b].group; });
    std::vector<std::pair<size_t, size_t>> runs;  // of one group, kTogether at most
    for (size_t i = 0; i < now.size(); ++i)
      if (!runs.empty() && i - runs.back().first < kTogether &&
          all[now[runs.back().first]].group == all[now[i]].group)
        runs.back().second = i + 1;
      else
        runs.push_back({i, i + 1});
    const double bound =
        std::fmax(floor, std::fmax(goal.value * (1 + 0.75 * goal.tol), peak.value * (1 + 0.75 * goal.rise)));
    std::vector<double> found(now.size(), -1.0), proven(now.size(), 0.0);
    std::vector<std::vector<double>> vectors(now.size());
    const auto task = [&](int64_t number) {
      const auto [begin, end] = runs[static_cast<size_t>(number)];
      const Frequency* which[kTogether];
      for (size_t i = begin; i < end; ++i) which[i - begin] = &all[now[i]];
      Buffer<double> g(static_cast<size_t>(kTogether * each)), m(static_cast<size_t>(each));
      sums.compute(which, static_cast<int64_t>(end - begin), {g.data(), stride, plane}, each);
      for (size_t i = begin; i < end && job.advance(0); ++i) {
        const Frequency& f = all[now[i]];
        const double* from = g.data() + static_cast<int64_t>(i - begin) * each;
        const double squared = bound * bound * (1 - 8 * kRound) - slack(bound * bound, f);
        bool passed = false;
        if (squared > 0) {
          for (int64_t row = 0; row < n; ++row) {
            const double* x = from + row * stride;
            double* y = m.data() + row * stride;
            for (int64_t k = row; k < n; ++k) y[k] = -x[k], y[plane + k] = -x[plane + k];
            y[row] += squared;
          }
          passed = cholesky({m.data(), stride, plane}, n, job);
        }
        if (passed) {
          proven[i] = std::sqrt(squared + slack(squared, f)) * (1 + 4 * kRound);
        } else {
          const Planes planes{const_cast<double*>(from), stride, plane};
          const double tol = std::fmax(goal.rise / 4, 1e-15);
          found[i] =
              std::fmax(hermitian_lanczos(planes, n, tol, Stream(seed, now[i]), vectors[i]).value, 0.0);
        }
      }
    };
    parallel_for(static_cast<int64_t>(runs.size()), task, 0, &job);
    const double before = peak.value;
    bool failed = false;
    for (size_t i = 0; i < now.size(); ++i) {
      peak.top = std::fmax(peak.top, proven[i]);
      if (found[i] < 0) continue;
      failed = true;
      left.push_back(now[i]);
      const double sigma = std::sqrt(found[i]);
      const bool first = peak.value == 0 && peak.vector.empty();
      if (sigma <= peak.value && !first) continue;
      peak.value = sigma;
      for (int k = 0; k < 2; ++k) peak.frequency[k] = all[now[i]].at[k];
      peak.group = all[now[i]].group;
      peak.vector = std::move(vectors[i]);
    }
    // Where nothing larger was found, less was asked for than the roundings allow to prove.
    if (failed && peak.value <= before * (1 + goal.rise / 8)) {
      goal.tol *= 2, goal.rise *= 2;
      floor = std::fmax(2 * floor, std::sqrt(sums.error()));
    }
    if (peak.value > goal.limit) {
      peak.top = HUGE_VAL;
      break;
    }
  }
  return peak;
}

}  // namespace kxfast::lipschitz
