// A convolution by minimal filtering.
#pragma once

#include "conv/weights.hpp"
#include "core/workspace.hpp"
#include "lipschitz/moves.hpp"

namespace kxfast::lipschitz {

template <class T>
class Winograd {
 public:
  static bool suits(const Moves& moves);
  // weight as that of Convolution; `back`: the transpose.
  Winograd(const T* weight, const Moves& moves, bool back);
  // Arrays have channels last; bias may be null.
  void run(const T* from, const T* bias, T* to, int64_t batch) const;

 private:
  static constexpr int64_t kPoints = 6;
  struct Axis {
    int64_t from, to, taps, before, points, tile, tiles;  // `before`: pixels of padding
  };
  void pack(const T* weight, bool back);
  void patch(const T* from, int64_t number, const T* zero, const T** pixels) const;
  void place(T* to, int64_t number, T** pixels) const;

  const Moves moves_;
  const int64_t inputs_, outputs_;  // channels of a group
  const conv::Panels panels_;
  Axis axis_[2];
  Buffer<T> packed_;  // [point][group][panel][input][column]
};

}  // namespace kxfast::lipschitz
