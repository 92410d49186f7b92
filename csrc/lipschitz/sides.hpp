// Which rows a convolution and its transpose multiply.
#pragma once

#include <vector>

#include "core/workspace.hpp"
#include "lipschitz/moves.hpp"

namespace kxfast::lipschitz {

// Rows that have the same taps: of each its number, and for each tap the row it meets (-1: none).
struct Part {
  std::vector<int64_t> number, meets;  // meets[tap * number.size() + i]
  std::vector<int64_t> taps;           // numbers in the kernel
};

struct Side {
  std::vector<Part> parts;
  int64_t from_rows, from_channels, to_rows, to_channels;
  bool back;

  // Where the rows of a part's matrix begin in a group's weights, whose columns are step() apart.
  Buffer<int64_t> offsets(const Part& part, const Moves& m) const;
  int64_t step(const Moves& m) const { return back ? m.taps() : m.inputs * m.taps(); }
};

// With a stride of one and nothing wrapped around, taps are all that a part has to tell.
Side plain_side(const Moves& m, bool back);
Side forward_side(const Moves& m);
Side back_side(const Moves& m);

}  // namespace kxfast::lipschitz
