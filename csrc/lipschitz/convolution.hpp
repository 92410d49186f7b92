// A convolution (cross-correlation) and its transpose as products of gathered rows.
#pragma once

#include <memory>
#include <vector>

#include "conv/weights.hpp"
#include "core/workspace.hpp"
#include "lipschitz/moves.hpp"
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
  Convolution(const T* weight, const Moves& moves, bool filtered = false);
  bool filtered() const { return filter_ != nullptr; }
  void forward(const T* x, const T* bias, T* y, int64_t batch) const;
  void transposed(const T* y, T* x, int64_t batch) const;
  const Moves moves;

 private:
  // Rows that have the same taps: of each its number, and for each tap the row it meets (-1: none).
  struct Part {
    std::vector<int64_t> number, meets;  // meets[tap * number.size() + i]
    std::vector<int64_t> taps;           // numbers in the kernel
  };
  struct Side {
    std::vector<Part> parts;
    std::vector<conv::LinearWeight<T>> weights;  // of each part and group
    int64_t from_rows, from_channels, to_rows, to_channels;
  };
  Side forward_side() const;
  Side back_side() const;
  void pack(Side& side, const T* weight, bool back) const;
  void run(const Side& side, const T* from, const T* bias, T* to, int64_t batch) const;

  Side forward_, back_;
  std::unique_ptr<Winograd<T>> filter_, back_filter_;
};

}  // namespace kxfast::lipschitz
