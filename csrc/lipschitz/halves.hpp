// Convolutions of floats by products of bfloat16 in tiles.
#pragma once

#include <vector>

#include "core/halves.hpp"
#include "lipschitz/kernels.hpp"
#include "lipschitz/sides.hpp"

namespace kxfast::lipschitz {

// Products of parts: as exact as floats, to 2^-15, to 2^-6.
enum class Exactness : int { floats = 6, most = 3, some = 1 };

// One side of a convolution; arrays have channels last.
class HalfConvolution {
 public:
  static bool suits(const Moves& moves, bool back);
  HalfConvolution(const float* weight, const Moves& moves, bool back);
  void run(const float* from, const float* bias, float* to, int64_t batch, Exactness exactness) const;

 private:
  // The columns of a part's matrix for one group, in tiles.
  struct Weight {
    int64_t depth, columns;
    std::vector<int64_t> places;
    Buffer<uint16_t> tiles;
  };
  // An image with what is around it, where taps are other places: sides, its place in it, and of each row of
  // products the number of the pixel (-1: none).
  struct Frame {
    int64_t size[2], begin[2];
    std::vector<int64_t> number;
  };
  void pack(const float* weight, const Buffer<int64_t>& offset);
  void frame();
  void run_frame(const float* from, const float* bias, float* to, int64_t batch, Exactness exactness) const;
  void run_part(size_t p, const float* from, const float* bias, float* to, int64_t batch,
                Exactness exactness) const;
  int64_t taps(const Part& part) const { return static_cast<int64_t>(part.taps.size()); }

  const Moves moves_;
  const bool framed_;
  const Side side_;
  const int64_t channels_, columns_;  // of a group
  std::vector<Weight> weights_;       // of each part and group
  Frame frame_;
};

}  // namespace kxfast::lipschitz
