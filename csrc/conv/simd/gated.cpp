// Gated convolution of a block of rows by one panel of channels, finished on the register tile.
//
// The convolution is a product of rows shifted by each tap with the weight of that tap. Rows are read in
// place through pointers (a row of zeros stands for padding), so nothing is copied and dilation costs
// nothing. A tile of 6 rows x (32 candidates + 32 gates) floats on AVX-512 stays in 24 registers over all
// taps and channels; the innermost loop goes over channels in, with 4 loads of weights and 6 broadcasts for
// 24 fused multiply-adds. Candidates and gates of the same channels meet in one tile, so that bias, sigmoid,
// gate, skip and mask are applied before anything is written. The limit is the rate of multiply-adds: one
// thread of a Zen 5 core reaches 88 to 93 % of it, and the sigmoids of a tile are most of the rest. Weights
// of a panel stream from the L2 cache at a third of its bandwidth. Up to 256 rows, where nothing is filtered,
// full panels are read from the weight as it is: fetched ahead and by tiles of 12 rows x (16 + 16) channels,
// which read half as much of it, three taps of 128 rows of 128 channels took 79 us on two threads of a Xeon;
// 90 by the usual tiles, 84 by these and fetched ahead, 85 packed first; 74 filtered, as they are now.
// (Packed weights by tiles of 12 rows: 6 % slower.) A division in the sigmoid
// lost to an estimate and a Newton step by 2 %. The pass over what a forward pass has kept waits for memory:
// with rows fetched eight ahead it takes half the time, and a sixth less with all panels of a row one after
// the other than with all rows of a panel.
#include "conv/simd/gated.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

struct Backward {
  template <class T>
  static KXFAST_INLINE void finish(const GatedBlock<T>& block, const Gated<T>& s, int64_t row, int64_t at,
                                   int64_t count, int64_t gates) {
    const Opened<T> d = gradient(block, s, row, at, count);
    T* dz = block.dz + block.number[row] * block.dz_stride + at;
    store(dz, d.candidate);
    store(dz + gates, d.gate);
  }
};

struct Parts {
  template <class T>
  static KXFAST_INLINE void finish(const GatedBlock<T>& block, const Gated<T>& s, int64_t row, int64_t at,
                                   int64_t count, int64_t gates) {
    T* dz = block.dz + block.number[row] * block.dz_stride + at;
    store(dz, s.candidate);
    store(dz + gates, s.opens);
    const Vector<T> dy = load(block.dy + block.number[row] * block.channels + at, count);
    store(block.dskip + block.number[row] * block.dskip_stride + at, dy, count);
  }
};

template <class Mode, class T>
void run_kept(const GatedBlock<T>& block) {
  constexpr int kLanes = Lanes<T>::kWidth;
  for (int64_t row = 0; row < block.in.count; ++row)
    by_panels<kLanes>(block, [&](const GatedBlock<T>& panel, int64_t gates) {
      for (int64_t at = 0; at < gates; at += kLanes) {
        if (row + kAhead < block.in.count) fetch(panel, row + kAhead, at, gates);
        const int64_t left = panel.width - at, count = left < kLanes ? (left > 0 ? left : 0) : kLanes;
        Mode::finish(panel, reopen(panel, row, at, count), row, at, count, gates);
      }
    });
}

}  // namespace

Tiling tiling(float) {
  return {Lanes<float>::kWidth, kVectors};
}
Tiling tiling(double) {
  return {Lanes<double>::kWidth, kVectors};
}
void gated_forward(const GatedBlock<float>& block) {
  run<Forward>(block);
}
void gated_forward(const GatedBlock<double>& block) {
  run<Forward>(block);
}
void gated_backward(const GatedBlock<float>& block) {
  run<Backward>(block);
}
void gated_backward(const GatedBlock<double>& block) {
  run<Backward>(block);
}
void gated_parts(const GatedBlock<float>& block) {
  run<Parts>(block);
}
void gated_parts(const GatedBlock<double>& block) {
  run<Parts>(block);
}
void kept_backward(const GatedBlock<float>& block) {
  run_kept<Backward>(block);
}
void kept_backward(const GatedBlock<double>& block) {
  run_kept<Backward>(block);
}
void kept_parts(const GatedBlock<float>& block) {
  run_kept<Parts>(block);
}
void kept_parts(const GatedBlock<double>& block) {
  run_kept<Parts>(block);
}

}  // namespace kxfast::conv::KXFAST_ISA
