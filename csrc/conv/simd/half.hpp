// Gradients in bfloat16 as far as they are the same with pairs and with tiles.
#pragma once

#include "conv/simd/gated.hpp"

namespace kxfast::conv::KXFAST_ISA {
namespace {

constexpr int64_t kHalfLanes = 16;  // of one register or tile of a panel, whatever the width of vectors

KXFAST_INLINE void interleave_run(const Bfloat16* a, const Bfloat16* b, int64_t count, Bfloat16* to) {
  int64_t n = 0;
  for (; n + kHalfLanes <= count; n += kHalfLanes) interleave_16(a + n, b + n, to + 2 * n);
  for (; n < count; ++n) to[2 * n] = a[n], to[2 * n + 1] = b[n];
}

// dz of two rows at a time, by rows for products with transposed weights and by pairs of rows for sums of
// outer products. The last row of an odd number is paired with zeros, which are written to `nowhere` too.
inline void kept_backward_run(const GatedBlock<Bfloat16>& block) {
  constexpr int kLanes = Lanes<float>::kWidth;
  Bfloat16 nowhere[4 * kHalfLanes];
  for (int64_t row = 0; row < block.in.count; row += 2)
    by_panels<kHalfLanes>(block, [&](const GatedBlock<Bfloat16>& panel, int64_t gates) {
      const bool both = row + 1 < block.in.count;
      Bfloat16* first = panel.dz + block.number[row] * block.dz_stride;
      Bfloat16* second = both ? panel.dz + block.number[row + 1] * block.dz_stride : nowhere;
      Bfloat16* pairs = panel.pairs + row * block.pairs_stride;
      for (int64_t at = 0; at < gates; at += kLanes) {
        for (int64_t next = row + kAhead; next < row + kAhead + 2 && next < block.in.count; ++next)
          fetch(panel, next, at, gates);
        const int64_t left = panel.width - at, count = left < kLanes ? (left > 0 ? left : 0) : kLanes;
        const Opened<Bfloat16> a = gradient(panel, reopen(panel, row, at, count), row, at, count);
        Opened<Bfloat16> b{};
        if (both) b = gradient(panel, reopen(panel, row + 1, at, count), row + 1, at, count);
        store_rows(first + at, second + at, pairs + 2 * at, a.candidate, b.candidate);
        store_rows(first + gates + at, second + gates + at, pairs + 2 * (gates + at), a.gate, b.gate);
      }
    });
}

}  // namespace
}  // namespace kxfast::conv::KXFAST_ISA
