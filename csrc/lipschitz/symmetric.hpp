// Lanczos on a Gram matrix G = A'A, of which the upper triangle is read once per step.
//
// The tridiagonal matrix T that it leaves is B'B of the bidiagonal B that Golub-Kahan Lanczos on A would
// leave from the same start, so B is kept and everything that is known of it applies; alpha^2 is a pivot of
// T, which is 0 only where the space is exhausted.
#pragma once

#include "lipschitz/basis.hpp"
#include "lipschitz/tridiagonal.hpp"

namespace kxfast::lipschitz {

// A symmetric matrix (size) given by its upper triangle, rows `stride` apart, in double or float.
template <class G>
class Symmetric {
 public:
  Symmetric(const G* entries, int64_t size, int64_t stride)
      : entries_(entries), size_(size), stride_(stride) {
    constexpr int64_t kMost = 8, kLeast = 64;
    height_ = std::max(kLeast, ((size + kMost - 1) / kMost + 3) / 4 * 4);
    count_ = (size + height_ - 1) / height_;
    parts_ = Buffer<double>(static_cast<size_t>(count_ * size));
  }
  int64_t size() const { return size_; }

  // y = G x; a block of rows adds to a row of its own, and these are summed in the order of blocks.
  void times(const double* x, double* y) {
    const auto kernel = KXFAST_PICK(Kernel, symmetric_times);
    const auto task = [&](int64_t b) {
      const int64_t row = b * height_;
      double* part = parts_.data() + b * size_;
      std::fill(part + row, part + size_, 0.0);
      kernel(entries_ + row * stride_ + row, stride_, std::min(height_, size_ - row), size_ - row, x + row,
             part + row);
    };
    parallel_for(count_, task, size_ < 512 ? 1 : 0);
    std::copy_n(parts_.data(), size_, y);
    for (int64_t b = 1; b < count_; ++b)
      for (int64_t j = b * height_; j < size_; ++j) y[j] += parts_[static_cast<size_t>(b * size_ + j)];
  }

 private:
  using Kernel = void (*)(const G*, int64_t, int64_t, int64_t, const double*, double*);

  const G* entries_;
  int64_t size_, stride_, height_, count_;
  Buffer<double> parts_;
};

template <class G>
class GramLanczos : public Bidiagonal {
 public:
  // `start` (size) is where it begins.
  GramLanczos(Symmetric<G>& matrix, const double* start, Stream random)
      : matrix_(matrix),
        size_(matrix.size()),
        basis_(size_, start, random, true),
        product_(static_cast<size_t>(size_)) {}

  bool full() const { return steps() >= size_ || vain_ >= 3; }

  void step() {
    constexpr double kLost = 0x1p-47;  // of the largest value, what roundings leave
    const auto inner_product = KXFAST_PICK(double (*)(const double*, const double*, int64_t), inner);
    const int64_t k = steps();
    const double *x = basis_[k], before = k ? betas.back() : 0.0;
    double* y = product_.data();
    matrix_.times(x, y);
    const double diagonal = inner_product(x, y, size_);
    largest_ = std::max(largest_, diagonal);
    const double pivot = diagonal - before * before;
    const double alpha = pivot > kLost * largest_ ? std::sqrt(pivot) : 0.0;
    vain_ = alpha > 0 ? 0 : vain_ + 1;
    alphas.push_back(alpha);
    betas.push_back(0.0);
    if (k + 1 == size_) return;
    const double left = alpha > 0 ? std::sqrt(mixed(y, 1.0, x, -diagonal, size_, y)) : 0.0;
    const double beside = basis_.put(k + 1, y, left, kLost * largest_);
    if (alpha > 0) betas.back() = beside / alpha;
  }

  void expand(const std::vector<double>& shares, double* x) const { basis_.expand(shares, steps(), x); }

 private:
  Symmetric<G>& matrix_;
  const int64_t size_;
  double largest_ = 0;
  int vain_ = 0;  // steps in a row that led to 0
  Basis<double> basis_;
  Buffer<double> product_;
};

}  // namespace kxfast::lipschitz
