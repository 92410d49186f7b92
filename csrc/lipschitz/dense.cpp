// Enclosure of the spectral norm of a matrix.
//
// From below by Lanczos (lanczos.hpp), with one read of the matrix per step; vectors are in floats where
// neither the width asked for nor a statement on chances sees their rounding: the end is that of the vector
// found, evaluated in double. From above by a Cholesky factorisation of s^2 I - A'A in double
// (certificate.cpp). The Gram matrix is most of the work; where products of bytes are fast it is made of
// these, first, and all else is done with it (gram_norm.cpp). Elsewhere, where the width asked for allows the
// rounding of short sums of floats it is made of these, in half the time; a bound for long sums of floats, or
// a factorisation in floats, would be wider than any interval of interest (|A|_F^2 / |A|^2, a hundred or
// more, and n^2 multiply the unit of rounding). When the factorisation fails, s was below the norm: Lanczos
// goes on.
#include <cfloat>
#include <cmath>
#include <cstdlib>

#include "lipschitz/certificate.hpp"
#include "lipschitz/gram_norm.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr double kRound = 0x1p-53;

// A matrix of type T beside vectors of type V.
template <class T, class V>
class Matrix {
 public:
  using Value = V;

  Matrix(const T* a, int64_t rows, int64_t cols)
      : rows_(rows), cols_(cols), blocks_(a, rows, cols, 0), before_(static_cast<size_t>(rows)) {}
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  void step(const V* v, V weight, V* u, V* t) {
    if (weight != 0) mixed<V>(u, weight, nullptr, 0, rows_, before_.data());
    blocks_.there_and_back(v, weight != 0 ? before_.data() : nullptr, u, t);
  }
  void back(const V* u, V* t) const { blocks_.transposed(u, t); }

 private:
  const int64_t rows_, cols_;
  const Blocks<T, V> blocks_;
  Buffer<V> before_;
};

// The proof for one matrix; the Gram matrix is made when it is first needed, again when it is too coarse.
template <class T>
class Proof {
 public:
  Proof(const T* a, int64_t rows, int64_t cols, int exponent, double frobenius)
      : a_(a), rows_(rows), cols_(cols), exponent_(exponent), frobenius_(frobenius) {}

  // An upper end of at most value (1 + tol) - margin, or inf; where `last`, a wider one if need be. All are
  // of 2^-exponent A.
  double operator()(double value, double tol, double margin, bool last, Job& job) {
    double widest = value * (1 + tol) - margin;
    int64_t run = sizeof(T) == 4 ? 64 : 0;
    while (run && 2 * gram_error(0, run) * frobenius_ > widest * widest - value * value)
      run = run > 16 ? run / 2 : 0;
    Gram& now = certificate_.gram;
    if (run) {
      if (!now.size) now = gram(a_, rows_, cols_, exponent_, run, job);
    } else if (!now.size || now.error > gram_error(std::max(rows_, cols_), 0)) {
      now = gram(a_, rows_, cols_, exponent_, 0, job);
    }
    double top = certificate_.test(value, widest, job);
    for (; last && !std::isfinite(top) && !job.stopped(); tol *= 2)  // less was asked for than can be proven
      top = certificate_.test(value, value * (1 + 2 * tol) - margin, job);
    return top;
  }

 private:
  const T* a_;
  const int64_t rows_, cols_;
  const int exponent_;
  const double frobenius_;  // about |A|_F^2
  Certificate certificate_;
};

}  // namespace

Ends finish(double top, double margin, int64_t steps, double* u, double* v, int64_t rows, int64_t cols) {
  const double image = length(u, rows), back = length(v, cols);
  if (image > 0) divide(u, rows, image);
  if (back > 0) divide(v, cols, back);
  const double lower = std::fmax((image > 0 ? back / image : 0.0) - margin, 0.0);
  return {lower, std::fmax(top, lower), steps};
}

namespace {

// The largest size of an entry, and the sum of all squares.
template <class T>
Extent extent(const T* a, int64_t size) {
  constexpr int64_t kPiece = 1 << 18;
  const auto part = KXFAST_PICK(Extent (*)(const T*, int64_t), survey);
  const int64_t pieces = (size + kPiece - 1) / kPiece;
  Buffer<Extent> parts(static_cast<size_t>(pieces));
  const auto task = [&](int64_t i) {
    parts[static_cast<size_t>(i)] = part(a + i * kPiece, std::min(kPiece, size - i * kPiece));
  };
  parallel_for(pieces, task);
  Extent all{0, 0};
  for (const Extent& each : parts) {
    all.largest = std::fmax(all.largest, each.largest);
    all.squares += each.squares;
  }
  return all;
}

// An end times 2^exponent, rounded outwards where it leaves the range of normal numbers.
double scaled(double end, int exponent, bool up) {
  const double value = std::ldexp(end, exponent);
  if (up) return value > DBL_MIN || end == 0 ? value : std::nextafter(value, HUGE_VAL);
  return std::fmin(value > DBL_MIN ? value : std::nextafter(value, 0.0), DBL_MAX);
}

// Lanczos with vectors of type V: in floats where neither a proof nor the width asked for sees their
// rounding.
template <class V, class T, class Prove>
Found search(const T* a, int64_t rows, int64_t cols, const Wanted& wanted, const double* start, Stream random,
             Job& job, const Prove& prove, double* v) {
  if constexpr (sizeof(V) < sizeof(T)) {
    return {HUGE_VAL, 0};
  } else {
    constexpr bool kWhole = sizeof(V) == 8;
    Matrix<T, V> matrix(a, rows, cols);
    Lanczos<Matrix<T, V>> lanczos(matrix, start, random, kWhole ? kRound : 0x1p-22, kWhole);
    double top;
    const Ritz ritz = enclose(lanczos, wanted, cols, job, prove, top);
    if (!job.stopped()) lanczos.expand(ritz.vector, v);
    return {top, lanczos.steps()};
  }
}

}  // namespace

template <class T>
Ends spectral_norm(const T* a, int64_t rows, int64_t cols, const Wanted& wanted, const double* start,
                   Stream random, Job& job, double* u, double* v) {
  const Extent size = extent(a, rows * cols);
  const bool finite = std::isfinite(size.largest) && !std::isnan(size.squares);  // a NaN is no largest one
  if (size.largest == 0 || !finite) {
    std::fill(u, u + rows, 0.0);
    std::fill(v, v + cols, 0.0);
    if (!finite) return {NAN, NAN, 0};
    return {0.0, wanted.upper == Upper::none ? HUGE_VAL : 0.0, 0};
  }
  int exponent;
  std::frexp(size.largest, &exponent);
  if (std::abs(exponent) > 60) {  // squares would leave the range
    Buffer<double> copy(static_cast<size_t>(rows * cols));
    for (int64_t i = 0; i < rows * cols; ++i)
      copy[static_cast<size_t>(i)] = std::ldexp(static_cast<double>(a[i]), -exponent);
    const Ends ends = spectral_norm(copy.data(), rows, cols, wanted, start, random, job, u, v);
    return {scaled(ends.lower, exponent, false), scaled(ends.upper, exponent, true), ends.steps};
  }
  const double unit = std::ldexp(1.0, exponent);
  const double rounded =
      kRound * static_cast<double>(rows + cols + 16) * std::sqrt(size.squares) * (1 + 1e-6);
  const bool wide = rows <= cols;
  Matrix<T, double> matrix(a, rows, cols);
  Found found;
  if (wanted.upper == Upper::proof && norm_by_gram(a, rows, cols, exponent, size, 4 * rounded / unit, wanted,
                                                   start, random, job, wide ? u : v, found)) {
    if (job.stopped()) return {0, 0, 0};
    found.top *= unit;
    if (wide) {
      matrix.back(u, v);
      return finish(found.top, rounded, found.steps, u, v, rows, cols);
    }
  } else {
    Proof<T> proof(a, rows, cols, exponent, size.squares / (unit * unit));
    const auto prove = [&](double value, bool last) {
      return proof(value / unit, wanted.tol, 4 * rounded / unit, last, job) * unit;
    };
    const bool coarse = sizeof(T) == 4 && std::min(rows, cols) >= 64 && wanted.upper != Upper::random &&
                        wanted.tol >= (wanted.upper == Upper::none ? 4e-7 : 1e-5);
    found = coarse ? search<float>(a, rows, cols, wanted, start, random, job, prove, v)
                   : search<double>(a, rows, cols, wanted, start, random, job, prove, v);
  }
  if (job.stopped()) return {0, 0, 0};
  const double amount = length(v, cols);
  if (amount > 0) divide(v, cols, amount);
  Buffer<double> t(static_cast<size_t>(cols));
  matrix.step(v, 0, u, t.data());
  std::copy(t.begin(), t.end(), v);
  return finish(found.top, rounded, found.steps, u, v, rows, cols);
}

template Ends spectral_norm(const float*, int64_t, int64_t, const Wanted&, const double*, Stream, Job&,
                            double*, double*);
template Ends spectral_norm(const double*, int64_t, int64_t, const Wanted&, const double*, Stream, Job&,
                            double*, double*);

}  // namespace kxfast::lipschitz
