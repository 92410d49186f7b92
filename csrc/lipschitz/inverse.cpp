// The inverse of x + g(x), each sample for itself.
//
// Fixed-point steps mixed by Anderson's method: with r = y - g(x) - x of the last points, the combination of
// their differences that is nearest to r is taken out, by the normal equations in double with as many
// unknowns as the window. A plain step from the best point always shrinks the residual of a contraction; so a
// mixed step that does not is taken back for a plain one, and if that does not either, g is no contraction
// and plain steps are all that is done. Samples that are done leave the batch: g is evaluated for the others
// alone, packed together, and is nearly all of the work.
//
// Steps are in floats until the next residual, if it shrinks as the last one did, is what the accuracy asked
// for needs, or as small as their rounding lets it become: the first evaluation in double, twice the work,
// then mostly is the last, since it has only to confirm. Changing over as soon as a residual of 1e-5 was met
// took one evaluation in double more. Where a plain step takes at least four fifths of the residual away,
// mixing gains nothing, and is not begun.
#include <algorithm>
#include <cmath>

#include "core/threads.hpp"
#include "lipschitz/network.hpp"
#include "lipschitz/rows.hpp"

namespace kxfast::lipschitz {
namespace {

double product(const double* a, const double* b, int64_t n) {
  double sums[4] = {0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; ++k) sums[k] += a[i + k] * b[i + k];
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Solves G w = b for a Gram matrix; directions that are nearly combinations of earlier ones get no share.
void solve_gram(std::vector<double>& g, std::vector<double>& b, size_t n) {
  std::vector<double> first(n);
  for (size_t i = 0; i < n; ++i) first[i] = g[i * n + i];
  for (size_t k = 0; k < n; ++k) {
    const bool lost = !(g[k * n + k] > 1e-14 * first[k]);
    const double pivot = lost ? 0 : 1 / std::sqrt(g[k * n + k]);
    for (size_t j = k; j < n; ++j) g[k * n + j] *= pivot;
    b[k] *= pivot;
    for (size_t i = k + 1; i < n; ++i) {
      for (size_t j = i; j < n; ++j) g[i * n + j] -= g[k * n + i] * g[k * n + j];
      b[i] -= g[k * n + i] * b[k];
    }
  }
  for (size_t k = n; k-- > 0;) {
    for (size_t j = k + 1; j < n; ++j) b[k] -= g[k * n + j] * b[j];
    b[k] = g[k * n + k] > 0 ? b[k] / g[k * n + k] : 0;
  }
}

class Sample {
 public:
  Sample(const double* y, int64_t count, int64_t window)
      : x(y, y + count), window_(static_cast<size_t>(window)), plain_(window == 0) {}

  bool diverged(const std::vector<double>& r) {
    size = length(r.data(), static_cast<int64_t>(r.size()));
    if (!std::isfinite(size)) size = HUGE_VAL;
    if (!std::isfinite(first_)) first_ = size;
    return !(size <= 1e8 * (1 + first_));
  }

  // Moves on from x, where the residual is r.
  void advance(const std::vector<double>& r) {
    if (plain_ || size < best_) {
      const bool fast = moves_.empty() && size < best_ / 5 && std::isfinite(best_);
      best_ = size, best_x_ = x, best_r_ = r, retried_ = false;
      if (plain_ || fast) {
        add(x, r);
        last_x_.clear();
      } else {
        mix(r);
      }
    } else if (!retried_) {
      x = best_x_;
      add(x, best_r_);
      retried_ = true;
      moves_.clear();
      last_x_.clear();
    } else {
      plain_ = true;
      add(x, r);
    }
  }

  std::vector<double> x;
  double size = HUGE_VAL;

 private:
  using Doubles = std::vector<double>;
  struct Move {
    Doubles x, r;
  };

  static void add(Doubles& to, const Doubles& what) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += what[i];
  }

  void mix(const Doubles& r) {
    if (!last_x_.empty()) {
      if (moves_.size() == window_) moves_.erase(moves_.begin());
      moves_.push_back({x, r});
      for (size_t i = 0; i < x.size(); ++i)
        moves_.back().x[i] -= last_x_[i], moves_.back().r[i] -= last_r_[i];
    }
    last_x_ = x, last_r_ = r;
    const size_t n = moves_.size();
    const auto count = static_cast<int64_t>(x.size());
    Doubles gram(n * n), weights(n);
    for (size_t i = 0; i < n; ++i) {  // the newest first: it is the one to keep
      const Move& a = moves_[n - 1 - i];
      for (size_t j = i; j < n; ++j) gram[i * n + j] = product(a.r.data(), moves_[n - 1 - j].r.data(), count);
      weights[i] = product(a.r.data(), r.data(), count);
    }
    solve_gram(gram, weights, n);
    add(x, r);
    for (size_t i = 0; i < n; ++i) {
      const Move& a = moves_[n - 1 - i];
      for (size_t k = 0; k < x.size(); ++k) x[k] -= weights[i] * (a.x[k] + a.r[k]);
    }
  }

  size_t window_;
  double best_ = HUGE_VAL, first_ = HUGE_VAL;
  Doubles best_x_, best_r_, last_x_, last_r_;
  std::vector<Move> moves_;
  bool plain_, retried_ = false;
};

}  // namespace

void residual_inverse(const Network<float>& coarse, const Network<double>& g, const double* y, int64_t batch,
                      double lipschitz, double tol, int64_t max_steps, int64_t window, Job& job,
                      const Solved& out) {
  // Residuals in floats are trusted down to kNoise; one that no longer halves has met their rounding.
  constexpr double kNoise = 4e-8, kCoarse = 1e-5;
  const int64_t size = g.inputs();
  const double ratio = lipschitz < 0 ? HUGE_VAL : lipschitz / (1 - lipschitz);
  const double goal = lipschitz < 0 ? tol : ratio > 0 ? tol / ratio : HUGE_VAL;
  const double enough = std::fmin(std::fmax(goal / 2, kNoise), kCoarse);
  std::vector<Sample> samples;
  std::vector<int64_t> active;  // first those in floats, then those in double
  std::vector<double> units;
  std::vector<char> goes_on(static_cast<size_t>(batch)), fine(static_cast<size_t>(batch), window == 0);
  for (int64_t b = 0; b < batch; ++b) {
    samples.emplace_back(y + b * size, size, window);
    units.push_back(std::fmax(1.0, length(y + b * size, size)));
    active.push_back(b);
    out.steps[b] = 0, out.bounds[b] = HUGE_VAL, out.converged[b] = false;
  }
  std::copy(y, y + batch * size, out.x);
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  for (int64_t step = 0; step < max_steps && !active.empty() && job.advance(0); ++step) {
    if (step + 1 == max_steps) std::fill(fine.begin(), fine.end(), true);
    const auto middle =
        std::stable_partition(active.begin(), active.end(), [&](int64_t b) { return !fine[at(b)]; });
    const int64_t rough = middle - active.begin(), count = static_cast<int64_t>(active.size());
    Buffer<float> floats(at(rough * size));
    Buffer<double> doubles(at((count - rough) * size));
    for (int64_t i = 0; i < count; ++i) {
      const std::vector<double>& x = samples[at(active[at(i)])].x;
      for (int64_t k = 0; k < size && i < rough; ++k) floats[at(i * size + k)] = static_cast<float>(x[at(k)]);
      if (i >= rough) std::copy(x.begin(), x.end(), doubles.begin() + (i - rough) * size);
    }
    const Buffer<float> low = rough ? coarse.forward(floats.data(), rough) : Buffer<float>();
    const Buffer<double> high = count > rough ? g.forward(doubles.data(), count - rough) : Buffer<double>();
    const auto one = [&](int64_t i) {
      const int64_t b = active[at(i)];
      Sample& sample = samples[at(b)];
      std::vector<double> r(at(size));
      for (int64_t k = 0; k < size; ++k) {
        const double value =
            i < rough ? static_cast<double>(low[at(i * size + k)]) : high[at((i - rough) * size + k)];
        r[at(k)] = y[b * size + k] - value - sample.x[at(k)];
      }
      ++out.steps[b];
      goes_on[at(b)] = false;
      const double before = sample.size;
      const bool diverged = sample.diverged(r);
      if (diverged && i < rough) {  // beyond the range of floats, perhaps: again in double
        sample = Sample(y + b * size, size, window);
        fine[at(b)] = goes_on[at(b)] = true;
      }
      if (diverged) return;
      for (int64_t k = 0; k < size; ++k) out.x[b * size + k] = sample.x[at(k)] + r[at(k)];
      if (i < rough) {
        const double rate = std::isfinite(before) ? std::fmin(sample.size / before, 1) : 1;
        fine[at(b)] = sample.size * rate <= enough * units[at(b)] ||
                      (sample.size <= kCoarse * units[at(b)] && rate > 0.5);
      } else {
        out.bounds[b] = lipschitz < 0 ? HUGE_VAL : ratio * sample.size;
        out.converged[b] = (lipschitz < 0 ? sample.size : out.bounds[b]) <= tol * units[at(b)];
        if (out.converged[b]) return;
      }
      goes_on[at(b)] = true;
      sample.advance(r);
    };
    parallel_for(count, one, count * size < (1 << 13) ? 1 : 0, &job);
    active.erase(std::remove_if(active.begin(), active.end(), [&](int64_t b) { return !goes_on[at(b)]; }),
                 active.end());
  }
}

}  // namespace kxfast::lipschitz
