// Lanczos on a convolution as a linear map.
//
// Unless less than 4e-7 is asked for, vectors and the two filtered convolutions of a step, nearly all of the
// work, are in floats: their rounding moves a singular value by as much as one application, some 1e-6 of the
// norm at most, and the value of the vector found by the square of that. What is reported as the lower end is
// then computed in double from the vector alone, so that it is one whatever the vector. Where tiles multiply
// bfloat16, three products of parts (halves.hpp) do for 1e-4 or more: an application is wrong by 1e-5 of the
// norm.
#include "lipschitz/conv_norm.hpp"

#include <cmath>
#include <limits>

#include "lipschitz/digits.hpp"

namespace kxfast::lipschitz {
namespace {

template <class T>
class Map {
 public:
  using Value = T;

  Map(const double* weight, const Moves& moves, bool filtered, Exactness exactness = Exactness::floats)
      : moves_(moves),
        exactness_(exactness),
        weight_(converted(weight, moves.groups * moves.outputs * moves.inputs * moves.taps())),
        convolution_(weight_.data(), moves, filtered),
        image_(static_cast<size_t>(moves.rows())) {}

  int64_t rows() const { return moves_.rows(); }
  int64_t cols() const { return moves_.cols(); }
  double noise() const {
    if (exactness_ == Exactness::most) return 0x1p-18;
    return std::numeric_limits<T>::epsilon() * (convolution_.filtered() ? 8 : 0.5);
  }

  void step(const T* v, T weight, T* u, T* t) {
    T* y = weight != 0 ? image_.data() : u;
    convolution_.forward(v, nullptr, y, 1, exactness_);
    if (weight != 0) mixed<T>(y, 1, u, -weight, moves_.rows(), u);
    convolution_.transposed(u, t, 1, exactness_);
  }

 private:
  static Buffer<T> converted(const double* from, int64_t count) {
    Buffer<T> to(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) to[static_cast<size_t>(i)] = static_cast<T>(from[i]);
    return to;
  }

  const Moves moves_;
  const Exactness exactness_;
  const Buffer<T> weight_;
  const Convolution<T> convolution_;
  Buffer<T> image_;
};

template <class T>
Found run(const double* weight, const Moves& moves, const Wanted& wanted, uint64_t seed, Job& job,
          double* v) {
  const bool tiles = sizeof(T) == 4 && wanted.tol >= 1e-4 && digits_fast();
  Map<T> map(weight, moves, !tiles, tiles ? Exactness::most : Exactness::floats);
  Lanczos<Map<T>> lanczos(map, nullptr, Stream(seed, 0), map.noise(), wanted.upper != Upper::none);
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
    return run<float>(weight, moves, wanted, seed, job, v);
  return run<double>(weight, moves, wanted, seed, job, v);
}

Ends conv_ends(const double* weight, const Moves& moves, double top, double margin, double* u, double* v) {
  const double size = length(v, moves.cols());
  if (size > 0) divide(v, moves.cols(), size);
  Map<double> map(weight, moves, false);
  Buffer<double> t(static_cast<size_t>(moves.cols()));
  map.step(v, 0, u, t.data());
  std::copy(t.begin(), t.end(), v);
  return finish(top, margin, 0, u, v, moves.rows(), moves.cols());
}

}  // namespace kxfast::lipschitz
