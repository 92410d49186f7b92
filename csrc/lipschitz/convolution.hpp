// A convolution (cross-correlation) and its transpose as products of gathered rows.
#pragma once

#include <memory>
#include <vector>

#include "conv/weights.hpp"
#include "core/workspace.hpp"
#include "lipschitz/halves.hpp"
#include "lipschitz/sides.hpp"
#include "lipschitz/winograd.hpp"

namespace kxfast::conv {

template <class T>
auto linear_kernel() {
  return KXFAST_PICK(void (*)(const LinearBlock<T>&), linear);
}

}  // namespace kxfast::conv

namespace kxfast::lipschitz {

// Arrays have channels last: x (batch, pixels, groups * inputs), y (batch, out pixels, groups * outputs).
template <class T>
class Convolution {
 public:
  // `filtered`: by fewer multiplications and with more rounding, where that suits (see winograd.cpp).
  // `forward`: that is all it does.
  Convolution(const T* weight, const Moves& moves, bool filtered = false, bool forward = false);
  bool filtered() const { return filter_ != nullptr; }
  // `exactness`: of floats where tiles multiply them (halves.hpp); as exact as T elsewhere.
  void forward(const T* x, const T* bias, T* y, int64_t batch, Exactness exactness = Exactness::floats) const;
  void transposed(const T* y, T* x, int64_t batch, Exactness exactness = Exactness::floats) const;
  const Moves moves;

 private:
  using Weights = std::vector<conv::LinearWeight<T>>;  // of each part and group
  Weights pack(const Side& side, const T* weight) const;
  void run(const Side& side, const Weights& weights, const T* from, const T* bias, T* to,
           int64_t batch) const;

  Side forward_, back_;
  Weights weights_, back_weights_;
  std::unique_ptr<Winograd<T>> filter_, back_filter_;
  std::unique_ptr<HalfConvolution> halves_, back_halves_;
};

}  // namespace kxfast::lipschitz
