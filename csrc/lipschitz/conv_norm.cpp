// Lanczos on a convolution as a linear map.
//
// Vectors and what is done with them are in double; the two convolutions of a step, nearly all of the work,
// are in floats unless less than 4e-7 is asked for: their rounding moves a singular value by as much as one
// application, some 1e-7 of the norm. What is reported as the lower end is then computed in double from the
// vector alone, so that it is one whatever the vector.
#include "lipschitz/conv_norm.hpp"

#include <cmath>

namespace kxfast::lipschitz {
namespace {

template <class T>
class Map {
 public:
  Map(const double* weight, const Moves& moves)
      : moves_(moves),
        weight_(converted(weight, moves.groups * moves.outputs * moves.inputs * moves.taps())),
        convolution_(weight_.data(), moves),
        x_(static_cast<size_t>(moves.cols())),
        y_(static_cast<size_t>(moves.rows())) {}

  int64_t rows() const { return moves_.rows(); }
  int64_t cols() const { return moves_.cols(); }
  void step(const double* v, const double* before, double* p, double* t) {
    for (size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<T>(v[i]);
    convolution_.forward(x_.data(), nullptr, y_.data(), 1);
    for (size_t i = 0; i < y_.size(); ++i) {
      p[i] = static_cast<double>(y_[i]) - (before ? before[i] : 0.0);
      y_[i] = static_cast<T>(p[i]);
    }
    convolution_.transposed(y_.data(), x_.data(), 1);
    for (size_t i = 0; i < x_.size(); ++i) t[i] = static_cast<double>(x_[i]);
  }

 private:
  static Buffer<T> converted(const double* from, int64_t count) {
    Buffer<T> to(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) to[static_cast<size_t>(i)] = static_cast<T>(from[i]);
    return to;
  }

  const Moves moves_;
  const Buffer<T> weight_;
  const Convolution<T> convolution_;
  Buffer<T> x_, y_;
};

template <class T>
Found run(const double* weight, const Moves& moves, const Wanted& wanted, uint64_t seed, Job& job, double* v,
          double noise) {
  Map<T> map(weight, moves);
  Lanczos<Map<T>, T> lanczos(map, nullptr, Stream(seed, 0), noise, wanted.upper != Upper::none);
  double top;
  const auto none = [](double, bool) { return HUGE_VAL; };
  const Ritz ritz = enclose(lanczos, wanted, moves.cols(), job, none, top);
  if (!job.stopped()) lanczos.expand(ritz.vector, v);
  return {ritz.value, top, lanczos.steps()};
}

}  // namespace

Found conv_lanczos(const double* weight, const Moves& moves, const Wanted& wanted, uint64_t seed, Job& job,
                   double* v) {
  if (wanted.upper == Upper::none && wanted.tol >= 4e-7)
    return run<float>(weight, moves, wanted, seed, job, v, 0x1p-24);
  return run<double>(weight, moves, wanted, seed, job, v, 0x1p-53);
}

Ends conv_ends(const double* weight, const Moves& moves, double top, double margin, double* u, double* v) {
  const double size = length(v, moves.cols());
  if (size > 0) divide(v, moves.cols(), size);
  Map<double> map(weight, moves);
  Buffer<double> t(static_cast<size_t>(moves.cols()));
  map.step(v, nullptr, u, t.data());
  std::copy(t.begin(), t.end(), v);
  return finish(top, margin, 0, u, v, moves.rows(), moves.cols());
}

}  // namespace kxfast::lipschitz
