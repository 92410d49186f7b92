// The vectors of a Krylov space, orthonormal, in rows.
//
// A space that is exhausted is noticed and left by a random direction, so that a start without any share of
// the leading vector does no harm.
#pragma once

#include <cmath>
#include <vector>

#include "core/random.hpp"
#include "lipschitz/rows.hpp"

namespace kxfast::lipschitz {

inline void random_normal(Stream& random, double* x, int64_t n) {
  constexpr double kTurn = 6.283185307179586;
  for (int64_t i = 0; i < n; i += 2) {
    const double radius = std::sqrt(2 * random.exponential()), angle = kTurn * random.uniform();
    x[i] = radius * std::cos(angle);
    if (i + 1 < n) x[i + 1] = radius * std::sin(angle);
  }
}

template <class Value>
class Basis {
 public:
  // `start` (size) is the first direction; random if null or 0. Without `whole` vectors are taken as they
  // come.
  Basis(int64_t size, const double* start, Stream random, bool whole)
      : size_(size), whole_(whole), random_(random) {
    grow(std::min<int64_t>(64, size_));
    const double amount = start ? length(start, size_) : 0;
    if (amount > 0 && std::isfinite(amount))
      for (int64_t i = 0; i < size_; ++i) vectors_[at(i)] = static_cast<Value>(start[i] / amount);
    else
      set_random(vectors_.data());
  }

  const Value* operator[](int64_t k) const { return vectors_.data() + k * size_; }

  // Puts vector number k: the part of q, `amount` long, outside the others, and returns its length; a random
  // one, and 0 returned, if that is not more than `least`.
  double put(int64_t k, Value* q, double amount, double least) {
    if ((k + 1) * size_ > static_cast<int64_t>(vectors_.size())) grow(std::min(2 * k, size_));
    Value* x = vectors_.data() + k * size_;
    for (int turn = 0; turn < (whole_ ? 2 : 0); ++turn) {
      orthogonalise(q, k);
      amount = std::sqrt(mixed<Value>(q, 1, nullptr, 0, size_, nullptr));
    }
    if (amount > least) {
      mixed<Value>(q, static_cast<Value>(1 / amount), nullptr, 0, size_, x);
      return amount;
    }
    set_random(x);
    for (int turn = 0; turn < 3; ++turn) {
      orthogonalise(x, k);
      divide(x, size_, length(x, size_));
    }
    return 0;
  }

  // The vector with these shares of the first `count`.
  void expand(const std::vector<double>& shares, int64_t count, double* x) const {
    const auto add = KXFAST_PICK(Sum, add_weighted_rows);
    constexpr int64_t kPiece = 1 << 12;
    const auto task = [&](int64_t piece) {
      const int64_t begin = piece * kPiece, here = std::min(kPiece, size_ - begin);
      std::fill(x + begin, x + begin + here, 0.0);
      for (int64_t k = 0; k < count; ++k)
        add(vectors_.data() + k * size_ + begin, 1, here, shares.data() + k, x + begin);
    };
    parallel_for((size_ + kPiece - 1) / kPiece, task, size_ * count < (1 << 17) ? 1 : 0);
  }

 private:
  using Sum = Product<Value, double>;
  using Rows = Product<Value, Value>;
  static size_t at(int64_t i) { return static_cast<size_t>(i); }

  void grow(int64_t count) {
    Buffer<Value> larger(at(count * size_));
    std::copy(vectors_.begin(), vectors_.end(), larger.begin());
    vectors_ = std::move(larger);
    shares_ = Buffer<Value>(at(count));
  }

  void set_random(Value* x) {
    Buffer<double> normal(at(size_));
    double amount = 0;
    while (!(amount > 0)) random_normal(random_, normal.data(), size_), amount = length(normal.data(), size_);
    for (int64_t i = 0; i < size_; ++i) x[i] = static_cast<Value>(normal[at(i)] / amount);
  }

  void orthogonalise(Value* x, int64_t k) {
    KXFAST_PICK(Rows, rows_times_vector)(vectors_.data(), k, size_, x, shares_.data());
    for (int64_t i = 0; i < k; ++i) shares_[at(i)] = -shares_[at(i)];
    KXFAST_PICK(Rows, add_weighted_rows)(vectors_.data(), k, size_, shares_.data(), x);
  }

  const int64_t size_;
  const bool whole_;
  Stream random_;
  Buffer<Value> vectors_, shares_;
};

}  // namespace kxfast::lipschitz
