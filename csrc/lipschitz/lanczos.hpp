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

// Map has a type Value of its vectors, rows(), cols() and step(v, weight, u, t): u = A v - weight u, of which
// nothing is read where weight is 0, and t = A' u.
template <class Map>
class Lanczos : public Bidiagonal {
 public:
  using Value = typename Map::Value;

  // `start` (cols) is where it begins; random if null or 0. `noise`: roundings of an application.
  // Without `whole` a vector is held against the two before it alone, which is enough until the largest value
  // is found: what is lost then is that others are not found twice.
  Lanczos(Map& map, const double* start, Stream random, double noise, bool whole = true)
      : map_(map),
        whole_(whole),
        inputs_(map.cols()),
        outputs_(map.rows()),
        noise_(noise),
        random_(random),
        u_(at(outputs_)),
        q_(at(inputs_)) {
    grow(std::min<int64_t>(64, inputs_));
    const double size = start ? length(start, inputs_) : 0;
    if (size > 0 && std::isfinite(size))
      for (int64_t i = 0; i < inputs_; ++i) basis_[at(i)] = static_cast<Value>(start[i] / size);
    else
      set_random(basis_.data());
  }

  // Whether nothing is left to be seen: the basis spans the input side, or random directions outside of it
  // are mapped to 0.
  bool full() const { return steps() >= inputs_ || vain_ >= 3; }

  void step() {
    const int64_t k = steps();
    const double beta = k ? betas.back() : 0.0, last = k ? alphas.back() : 0.0;
    const Value* v = basis_.data() + k * inputs_;
    map_.step(v, static_cast<Value>(beta > 0 && last > 0 ? beta / last : 0.0), u_.data(), q_.data());
    double alpha = std::sqrt(mixed<Value>(u_.data(), 1, nullptr, 0, outputs_, nullptr));
    const double size = largest_ > alpha ? largest_ : alpha;
    if (!(alpha > 64 * noise_ * size)) alpha = 0;
    vain_ = alpha > 0 ? 0 : vain_ + 1;
    largest_ = size;
    alphas.push_back(alpha);
    betas.push_back(0.0);
    if (k + 1 == inputs_) return;
    double squares = 0;
    if (alpha > 0)
      squares =
          mixed(q_.data(), static_cast<Value>(1 / alpha), v, static_cast<Value>(-alpha), inputs_, q_.data());
    betas.back() = next(k + 1, alpha > 0 ? std::sqrt(squares) : 0.0);
  }

  // The vector of the input side for a vector in the basis.
  void expand(const std::vector<double>& shares, double* x) const {
    const auto add = KXFAST_PICK(Sum, add_weighted_rows);
    constexpr int64_t kPiece = 1 << 12;
    const auto task = [&](int64_t piece) {
      const int64_t begin = piece * kPiece, count = std::min(kPiece, inputs_ - begin);
      std::fill(x + begin, x + begin + count, 0.0);
      for (int64_t k = 0; k < steps(); ++k)
        add(basis_.data() + k * inputs_ + begin, 1, count, shares.data() + k, x + begin);
    };
    parallel_for((inputs_ + kPiece - 1) / kPiece, task, inputs_ * steps() < (1 << 17) ? 1 : 0);
  }

 private:
  using Sum = Product<Value, double>;
  using Rows = Product<Value, Value>;
  static size_t at(int64_t i) { return static_cast<size_t>(i); }

  void grow(int64_t count) {
    Buffer<Value> larger(at(count * inputs_));
    std::copy(basis_.begin(), basis_.end(), larger.begin());
    basis_ = std::move(larger);
    shares_ = Buffer<Value>(at(count));
  }

  void set_random(Value* x) {
    Buffer<double> normal(at(inputs_));
    double size = 0;
    while (!(size > 0)) random_normal(random_, normal.data(), inputs_), size = length(normal.data(), inputs_);
    for (int64_t i = 0; i < inputs_; ++i) x[i] = static_cast<Value>(normal[at(i)] / size);
  }

  void orthogonalise(Value* x, int64_t k) {
    KXFAST_PICK(Rows, rows_times_vector)(basis_.data(), k, inputs_, x, shares_.data());
    for (int64_t i = 0; i < k; ++i) shares_[at(i)] = -shares_[at(i)];
    KXFAST_PICK(Rows, add_weighted_rows)(basis_.data(), k, inputs_, shares_.data(), x);
  }

  // Puts the next vector, number k of the basis: the part of q, `beta` long, outside the basis; a random one,
  // and 0 returned, if nothing is left.
  double next(int64_t k, double beta) {
    if ((k + 1) * inputs_ > static_cast<int64_t>(basis_.size())) grow(std::min(2 * k, inputs_));
    const double size = std::max(beta, largest_);
    Value *x = basis_.data() + k * inputs_, *q = q_.data();
    for (int turn = 0; turn < (whole_ ? 2 : 0); ++turn) {
      orthogonalise(q, k);
      beta = std::sqrt(mixed<Value>(q, 1, nullptr, 0, inputs_, nullptr));
    }
    if (beta > 64 * noise_ * size) {
      mixed<Value>(q, static_cast<Value>(1 / beta), nullptr, 0, inputs_, x);
      return beta;
    }
    set_random(x);
    for (int turn = 0; turn < 3; ++turn) {
      orthogonalise(x, k);
      divide(x, inputs_, length(x, inputs_));
    }
    return 0;
  }

  Map& map_;
  const bool whole_;
  const int64_t inputs_, outputs_;
  const double noise_;
  double largest_ = 0;
  int vain_ = 0;  // steps in a row that led to 0
  Stream random_;
  Buffer<Value> u_, q_, shares_, basis_;
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
  // The error is mostly a twentieth of what residuals say, and a proof that fails early costs little.
  double likely = 2 * wanted.tol;
  top = HUGE_VAL;
  while (job.advance(0)) {
    if (!process.full()) process.step();
    const bool last = process.full();
    if (process.steps() < check && !last) continue;
    check = process.steps() + (wanted.upper == Upper::none ? 1 : std::max<int64_t>(1, process.steps() / 12));
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
    } else if (ritz.error <= likely * ritz.value || last) {
      top = prove(ritz.value, last);
      if (std::isfinite(top) || last) break;
      likely = ritz.error / ritz.value / 4;
    }
  }
  return ritz;
}

}  // namespace kxfast::lipschitz
