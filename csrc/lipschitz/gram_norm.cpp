// An enclosure by the Gram matrix of the shorter side: made first, in digits, where products of bytes are
// fast; then Lanczos on it, and its factorisation.
//
// A step on the Gram matrix of 1024 x 4096 reads 4 MB in place of 16, 2 where floats will do, and the matrix
// itself is read twice in all, for its digits and for the lower end. What the digits leave out is unknown in
// advance beside the norm: four products with the Gram matrix of the first stage, which Lanczos would have
// begun with, tell it well enough to see how many stages the width asked for needs.
#include "lipschitz/gram_norm.hpp"

#include <cmath>

#include "lipschitz/certificate.hpp"
#include "lipschitz/digits.hpp"
#include "lipschitz/symmetric.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr int64_t kFloatsFrom = 512;  // smaller matrices of doubles stay in the L2 cache

// Whether an interval of relative width `tol` has room for what is left out.
bool enough(const Digits& digits, int stages, double tol, double squared) {
  return digits.error(stages) <= 0.75 * tol * squared &&
         digits.apart(stages) <= 0.125 * tol * std::sqrt(squared);
}

int stages_for(const Digits& digits, double tol, double squared) {
  int stages = 1;
  while (stages <= digits.stages() && !enough(digits, stages, tol, squared)) ++stages;
  return stages;
}

// Moves x towards the leading vector; the square of the norm of what it saw.
template <class G>
double approach(Symmetric<G>& matrix, Buffer<double>& x) {
  const auto inner_product = KXFAST_PICK(double (*)(const double*, const double*, int64_t), inner);
  const int64_t n = matrix.size();
  Buffer<double> y(x.size());
  double squared = 0;
  for (int turn = 0; turn < 4; ++turn) {
    matrix.times(x.data(), y.data());
    squared = inner_product(x.data(), y.data(), n) / inner_product(x.data(), x.data(), n);
    const double size = length(y.data(), n);
    if (!(size > 0)) return 0;
    divide(y.data(), n, size);
    std::swap(x, y);
  }
  return squared;
}

// The upper triangle of a Gram matrix in floats: half of what a step reads.
Buffer<float> in_floats(const Gram& gram) {
  Buffer<float> floats(static_cast<size_t>(gram.size * gram.stride));
  const auto task = [&](int64_t i) {
    const double* from = gram.entries.data() + i * gram.stride;
    std::copy(from + i, from + gram.size, floats.data() + i * gram.stride + i);
  };
  parallel_for(gram.size, task);
  return floats;
}

}  // namespace

template <class T>
bool norm_by_gram(const T* a, int64_t rows, int64_t cols, int exponent, const Extent& extent, double margin,
                  const Wanted& wanted, const double* start, Stream random, Job& job, double* vector,
                  Found& found) {
  const int64_t n = std::min(rows, cols);
  if (!digits_fast() || n < 64) return false;
  Digits digits(a, rows, cols, exponent, extent.largest, wanted.tol < 1e-4 ? 4 : 3, job);
  if (stages_for(digits, wanted.tol, std::ldexp(extent.squares, -2 * exponent)) > digits.stages())
    return false;
  Certificate certificate;
  Gram& gram = certificate.gram;
  digits.add(0, gram, job);
  Symmetric<double> matrix(gram.entries.data(), n, gram.stride);
  Buffer<double> x(static_cast<size_t>(n));
  if (start && rows <= cols)
    Blocks<T, double>(a, rows, cols, 0).times(start, x.data());
  else if (start)
    std::copy_n(start, n, x.data());
  double squared = start && length(x.data(), n) > 0 ? approach(matrix, x) : 0;
  if (!(squared > 0)) {
    random_normal(random, x.data(), n);
    squared = approach(matrix, x);
  }
  const int stages = stages_for(digits, wanted.tol, squared);
  if (stages > digits.stages() || job.stopped()) return false;
  for (int stage = 1; stage < stages; ++stage) digits.add(stage, gram, job);
  const auto on = [&](auto& same, double apart) {  // `apart`: the norm of what the Gram matrix differs by
    const double wrong = gram.error * gram.frobenius + apart;
    const auto prove = [&](double value, bool last) {
      // the vector found has at least this image
      const double least = std::sqrt(std::fmax(value * value - wrong, 0)) - gram.apart;
      double tol = wanted.tol;
      double top = certificate.test(value, least * (1 + tol) - margin, job);
      for (; last && !std::isfinite(top) && !job.stopped(); tol *= 2)
        top = certificate.test(value, value * (1 + 2 * tol) - margin, job);
      return top;
    };
    GramLanczos lanczos(same, x.data(), random);
    const Ritz ritz = enclose(lanczos, wanted, n, job, prove, found.top);
    found.steps = lanczos.steps();
    if (!job.stopped()) lanczos.expand(ritz.vector, vector);
    return true;
  };
  // Of a matrix G of size n whose trace and norm are about these, |G|_F is at most sqrt(trace norm).
  const double rounded = 0x1p-23 * std::sqrt(gram.frobenius * squared);
  if (n >= kFloatsFrom && rounded <= 0.01 * wanted.tol * squared) {
    const Buffer<float> floats = in_floats(gram);
    Symmetric<float> same(floats.data(), n, gram.stride);
    return on(same, rounded);
  }
  return on(matrix, 0);
}

template bool norm_by_gram(const float*, int64_t, int64_t, int, const Extent&, double, const Wanted&,
                           const double*, Stream, Job&, double*, Found&);
template bool norm_by_gram(const double*, int64_t, int64_t, int, const Extent&, double, const Wanted&,
                           const double*, Stream, Job&, double*, Found&);

}  // namespace kxfast::lipschitz
