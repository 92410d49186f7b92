// Golub-Kahan Lanczos with one application of the map and its transpose per step, read together.
//
// With p = A v - beta u_before and t = A' p, alpha = |p| is known only afterwards, and lengths are scalars:
// u = p / alpha and A' u = t / alpha. So a map that can give both p and t in one pass over its data does.
// Only the basis V of the input side is kept and orthogonalised, twice, against all of it: that u are
// orthogonal follows (Simon and Zha 2000), and an exhausted space is noticed and left by a random direction,
// so that a start without any share of the leading vector does no harm.
#pragma once

#include <cmath>
#include <vector>

#include "core/random.hpp"
#include "lipschitz/rows.hpp"
#include "lipschitz/tridiagonal.hpp"

namespace kxfast::lipschitz {

inline void random_normal(Stream& random, double* x, int64_t n) {
  constexpr double kTurn = 6.283185307179586;
  for (int64_t i = 0; i < n; i += 2) {
    const double radius = std::sqrt(2 * random.exponential()), angle = kTurn * random.uniform();
    x[i] = radius * std::cos(angle);
    if (i + 1 < n) x[i + 1] = radius * std::sin(angle);
  }
}

// Map has rows(), cols() and step(v, before, p, t): p = A v - before, t = A' p.
// Kept: the type of the basis.
template <class Map, class Kept = double>
class Lanczos : public Bidiagonal {
 public:
  // `start` (cols) is where it begins; random if null or 0. `noise`: roundings of an application.
  Lanczos(Map& map, const double* start, Stream random, double noise)
      : map_(map),
        inputs_(map.cols()),
        outputs_(map.rows()),
        noise_(noise),
        random_(random),
        u_(static_cast<size_t>(outputs_)),
        before_(static_cast<size_t>(outputs_)),
        q_(static_cast<size_t>(inputs_)),
        v_(static_cast<size_t>(inputs_)),
        shares_(static_cast<size_t>(inputs_ < 64 ? inputs_ + 1 : 64)) {
    grow(std::min<int64_t>(8, inputs_));
    double* v = v_.data();
    double size = 0;
    if (start) std::copy(start, start + inputs_, v), size = length(v, inputs_);
    while (!(size > 0) || !std::isfinite(size)) random_normal(random_, v, inputs_), size = length(v, inputs_);
    divide(v, inputs_, size);
    std::copy(v_.begin(), v_.end(), basis_.begin());
  }

  // Whether nothing is left to be seen: the basis spans the input side, or random directions outside of it
  // are mapped to 0.
  bool full() const { return steps() >= inputs_ || vain_ >= 3; }

  void step() {
    const int64_t k = steps();
    const double beta = k ? betas.back() : 0.0;
    for (int64_t i = 0; i < outputs_; ++i) before_[at(i)] = beta * u_[at(i)];
    map_.step(v_.data(), beta != 0 ? before_.data() : nullptr, u_.data(), q_.data());
    double alpha = length(u_.data(), outputs_), size = largest_ > alpha ? largest_ : alpha;
    if (!(alpha > 64 * noise_ * size)) alpha = 0;
    vain_ = alpha > 0 ? 0 : vain_ + 1;
    largest_ = size;
    for (int64_t i = 0; i < outputs_; ++i) u_[at(i)] = alpha > 0 ? u_[at(i)] / alpha : 0.0;
    for (int64_t i = 0; i < inputs_; ++i) q_[at(i)] = alpha > 0 ? q_[at(i)] / alpha - alpha * v_[at(i)] : 0.0;
    alphas.push_back(alpha);
    betas.push_back(0.0);
    if (k + 1 < inputs_) betas.back() = next(k + 1, alpha);
  }

  // The vector of the input side for a vector in the basis.
  void expand(const std::vector<double>& shares, double* x) const {
    std::fill(x, x + inputs_, 0.0);
    KXFAST_PICK(Rows, add_weighted_rows)(basis_.data(), steps(), inputs_, shares.data(), x);
  }

 private:
  using Rows = Product<Kept, double>;
  static constexpr int kTurns = sizeof(Kept) == 8 ? 2 : 1;
  static size_t at(int64_t i) { return static_cast<size_t>(i); }

  void grow(int64_t count) {
    Buffer<Kept> larger(at(count * inputs_));
    std::copy(basis_.begin(), basis_.end(), larger.begin());
    basis_ = std::move(larger);
    shares_ = Buffer<double>(at(count));
  }

  void orthogonalise(double* x, int64_t k) {
    KXFAST_PICK(Rows, rows_times_vector)(basis_.data(), k, inputs_, x, shares_.data());
    for (int64_t i = 0; i < k; ++i) shares_[at(i)] = -shares_[at(i)];
    KXFAST_PICK(Rows, add_weighted_rows)(basis_.data(), k, inputs_, shares_.data(), x);
  }

  // Puts the next vector, number k of the basis: the part of q outside the basis; a random one, and 0
  // returned, if nothing is left.
  double next(int64_t k, double alpha) {
    if ((k + 1) * inputs_ > static_cast<int64_t>(basis_.size())) grow(std::min(2 * k, inputs_));
    const double size = std::max(length(q_.data(), inputs_), std::max(largest_, alpha));
    double* x = v_.data();
    std::copy(q_.begin(), q_.end(), x);
    for (int turn = 0; turn < kTurns; ++turn) orthogonalise(x, k);
    double beta = length(x, inputs_);
    if (beta > 64 * noise_ * size) {
      divide(x, inputs_, beta);
    } else {
      beta = 0;
      random_normal(random_, x, inputs_);
      for (int turn = 0; turn < 3; ++turn) {
        orthogonalise(x, k);
        divide(x, inputs_, length(x, inputs_));
      }
    }
    std::copy(v_.begin(), v_.end(), basis_.begin() + k * inputs_);
    return beta;
  }

  Map& map_;
  const int64_t inputs_, outputs_;
  const double noise_;
  double largest_ = 0;
  int vain_ = 0;  // steps in a row that led to 0
  Stream random_;
  Buffer<double> u_, before_, q_, v_, shares_;
  Buffer<Kept> basis_;
};

enum class Upper : int { none, proof, random };

struct Wanted {
  double tol;
  Upper upper;
  double delta;  // of the Lanczos polynomial; 0: the start was no random one, residuals are trusted
};

// Steps until the ends meet; without an upper end, until a norm above value (1 + tol) would have shown,
// unless the start had a share below delta of its vector. (How the value moves does not tell: by residuals,
// or by differences that shrink, one in ten estimates of random matrices ended on a plateau, up to 16 % low.)
// `prove(value, last)` returns a proven upper end, or inf if there is none.
template <class Process, class Prove>
Ritz enclose(Process& process, const Wanted& wanted, int64_t inputs, Job& job, Prove&& prove, double& top) {
  int64_t check = process.steps();
  Ritz ritz;
  top = HUGE_VAL;
  while (job.advance(0)) {
    if (!process.full()) process.step();
    const bool last = process.full();
    if (process.steps() < check && !last) continue;
    check = process.steps() + (wanted.upper == Upper::none ? 1 : std::max<int64_t>(1, process.steps() / 8));
    ritz = largest_ritz(process);
    if (wanted.upper == Upper::none) {
      const double end = ritz.value * (1 + wanted.tol);
      const bool settled = wanted.delta > 0
                               ? process.invariant() || lanczos_polynomial(process, end) >= 1 / wanted.delta
                               : ritz.error <= wanted.tol * ritz.value;
      if (settled || last) break;
    } else if (wanted.upper == Upper::random) {
      top = random_upper(process, ritz.value, wanted.delta, inputs);
      if (top <= ritz.value * (1 + wanted.tol) || last || process.invariant()) break;
    } else if (ritz.error <= wanted.tol / 4 * ritz.value || last) {
      top = prove(ritz.value, last);
      if (std::isfinite(top) || last) break;
    }
  }
  return ritz;
}

}  // namespace kxfast::lipschitz
