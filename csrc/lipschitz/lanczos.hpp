// Golub-Kahan Lanczos with one application of the map and its transpose per step, read together.
//
// With p = A v - beta u_before and t = A' p, alpha = |p| is known only afterwards, and lengths are scalars:
// u = p / alpha and A' u = t / alpha. So a map that can give both p and t in one pass over its data does.
// Only the basis V of the input side is kept and orthogonalised, twice, against all of it: that u are
// orthogonal follows (Simon and Zha 2000).
#pragma once

#include "lipschitz/basis.hpp"
#include "lipschitz/tridiagonal.hpp"

namespace kxfast::lipschitz {

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
        inputs_(map.cols()),
        outputs_(map.rows()),
        noise_(noise),
        basis_(inputs_, start, random, whole),
        u_(static_cast<size_t>(outputs_)),
        q_(static_cast<size_t>(inputs_)) {}

  // Whether nothing is left to be seen: the basis spans the input side, or random directions outside of it
  // are mapped to 0.
  bool full() const { return steps() >= inputs_ || vain_ >= 3; }

  void step() {
    const int64_t k = steps();
    const double beta = k ? betas.back() : 0.0, last = k ? alphas.back() : 0.0;
    const Value* v = basis_[k];
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
    const double next = alpha > 0 ? std::sqrt(squares) : 0.0;
    betas.back() = basis_.put(k + 1, q_.data(), next, 64 * noise_ * std::max(next, largest_));
  }

  // The vector of the input side for a vector in the basis.
  void expand(const std::vector<double>& shares, double* x) const { basis_.expand(shares, steps(), x); }

 private:
  Map& map_;
  const int64_t inputs_, outputs_;
  const double noise_;
  double largest_ = 0;
  int vain_ = 0;  // steps in a row that led to 0
  Basis<Value> basis_;
  Buffer<Value> u_, q_;
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
