// Weights that are kept from call to call.
#pragma once

#include <optional>

#include "conv/filtered_backward.hpp"

namespace kxfast::conv {

// A layer's weight as forward and backward read it, of few rows and of many, for the instruction set in use:
// a copy, which later changes of the weight do not reach.
template <class T>
struct Packed {
  Packed(const Layer<T>& layer, const Tiling& tiling)
      : set(isa()),
        forward(layer, tiling, INT64_MAX),
        back(layer.weight, transposed_rows(layer, forward.panels), 2 * layer.out, layer.in, tiling) {
    if constexpr (std::is_same_v<T, float>) {
      if (!filterable(layer)) return;
      filtered_forward.emplace(layer);
      filtered_back.emplace(layer, forward.panels);
    }
  }

  const Isa set;
  const GatedWeight<T> forward;
  const LinearWeight<T> back;
  std::optional<PointWeight<Straight>> filtered_forward;
  std::optional<PointWeight<Transposed>> filtered_back;
};

// What was kept of a layer, if it serves the instruction set in use.
template <class T>
const Packed<T>* kept_weights(const Layer<T>& layer) {
  return layer.packed && layer.packed->set == isa() ? layer.packed : nullptr;
}

}  // namespace kxfast::conv
