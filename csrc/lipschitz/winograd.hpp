// A convolution in floats by minimal filtering.
#pragma once

#include "conv/weights.hpp"
#include "core/workspace.hpp"
#include "lipschitz/moves.hpp"

namespace kxfast::lipschitz {

class Winograd {
 public:
  static bool suits(const Moves& moves);
  // weight as that of Convolution; `back`: the transpose.
  Winograd(const float* weight, const Moves& moves, bool back);
  // Arrays have channels last; bias may be null.
  void run(const float* from, const float* bias, float* to, int64_t batch) const;

 private:
  static constexpr int64_t kPoints = 6;
  struct Axis {
    int64_t from, to, taps, before, points, tile, tiles;  // `before`: pixels of padding
  };
  void pack(const float* weight, bool back);
  void patch(const float* from, int64_t number, const float* zero, const float** pixels) const;
  void place(float* to, int64_t number, float** pixels) const;

  const Moves moves_;
  const int64_t inputs_, outputs_;  // channels of a group
  const conv::Panels panels_;
  Axis axis_[2];
  Buffer<float> packed_;  // [point][group][panel][input][column]
};

}  // namespace kxfast::lipschitz
