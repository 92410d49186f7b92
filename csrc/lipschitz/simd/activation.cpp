// Nonlinearities of layers and their slopes.
//
// One pass: values in, values and, where asked for, slopes out. The exponential is that of the gated
// convolutions (conv/simd/vector.hpp), 2 ulp, and tanh is 2 sigmoid(2 z) - 1; softplus alone needs a
// logarithm and takes the library's, element by element.
#include <cmath>

#include "conv/simd/vector.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz::KXFAST_ISA {
namespace {

using conv::KXFAST_ISA::all;
using conv::KXFAST_ISA::exp_negative;
using conv::KXFAST_ISA::Lanes;
using conv::KXFAST_ISA::load;
using conv::KXFAST_ISA::sigmoids;
using conv::KXFAST_ISA::store;
using conv::KXFAST_ISA::Vector;

template <class T, class Function>
KXFAST_INLINE void over(const T* z, int64_t n, T* y, T* slope, Function&& function) {
  constexpr int64_t kLanes = Lanes<T>::kWidth;
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t count = n - i < kLanes ? n - i : kLanes;
    Vector<T> value{}, change{};
    function(load(z + i, count), value, change);
    if (y) store(y + i, value, count);
    if (slope) store(slope + i, change, count);
  }
}

template <class T>
void run(Curve curve, const T* z, int64_t n, T* y, T* slope) {
  using V = Vector<T>;
  switch (curve) {
    case Curve::tanh:
      return over(z, n, y, slope, [](V x, V& value, V& change) {
        V opens, keeps;
        sigmoids<T>(x + x, opens, keeps);
        value = opens - keeps;
        change = T{4} * opens * keeps;
      });
    case Curve::elu:
      return over(z, n, y, slope, [](V x, V& value, V& change) {
        const V power = exp_negative<T>(x > T{0} ? V{} : x);
        value = x > T{0} ? x : power - T{1};
        change = x > T{0} ? all(T{1}) : power;
      });
    case Curve::relu:
      return over(z, n, y, slope, [](V x, V& value, V& change) {
        value = x > T{0} ? x : V{};
        change = x > T{0} ? all(T{1}) : V{};
      });
    case Curve::leaky_relu:
      return over(z, n, y, slope, [](V x, V& value, V& change) {
        change = x > T{0} ? all(T{1}) : all(static_cast<T>(0.01));
        value = x * change;
      });
    case Curve::lipswish:
      return over(z, n, y, slope, [](V x, V& value, V& change) {
        V opens, keeps;
        sigmoids<T>(x, opens, keeps);
        value = x * opens / static_cast<T>(1.1);
        change = (opens + x * opens * keeps) / static_cast<T>(1.1);
      });
    case Curve::sigmoid:
      return over(z, n, y, slope, [](V x, V& value, V& change) {
        V keeps;
        sigmoids<T>(x, value, keeps);
        change = value * keeps;
      });
    case Curve::softplus:
      for (int64_t i = 0; y && i < n; ++i)
        y[i] = (z[i] > 0 ? z[i] : T{0}) + std::log1p(std::exp(z[i] > 0 ? -z[i] : z[i]));
      return over(z, n, static_cast<T*>(nullptr), slope, [](V x, V&, V& change) {
        V keeps;
        sigmoids<T>(x, change, keeps);
      });
  }
}

template <class T>
void times(T* x, const T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= y[i];
}

}  // namespace

void activate(Curve curve, const float* z, int64_t n, float* y, float* slope) {
  run(curve, z, n, y, slope);
}
void activate(Curve curve, const double* z, int64_t n, double* y, double* slope) {
  run(curve, z, n, y, slope);
}
void multiply_by(float* x, const float* y, int64_t n) {
  times(x, y, n);
}
void multiply_by(double* x, const double* y, int64_t n) {
  times(x, y, n);
}

}  // namespace kxfast::lipschitz::KXFAST_ISA
