// Sums of outer products over rows by products of pairs of bfloat16, in tasks that own some of them.
#pragma once

#include "conv/common.hpp"
#include "conv/outer.hpp"

#ifdef KXFAST_X86
namespace kxfast::conv {

using HalfOuter = OuterBlock<Bfloat16>;
constexpr int64_t kSumPairs = 64, kWidest = 64;

// Pairs of the rows of each tap, `height` channels together; the last row of an odd number meets a row of
// zeros.
inline Buffer<Bfloat16> paired(const HalfRows& x, int64_t height) {
  const auto kernel = interleaving<Bfloat16>();
  const int64_t pieces = (x.channels + height - 1) / height, pairs = (x.count + 1) / 2;
  constexpr int64_t kEach = 64;
  const int64_t stretches = (pairs + kEach - 1) / kEach;
  Buffer<Bfloat16> made(static_cast<size_t>(x.taps * pieces * pairs * 2 * height));
  const auto task = [&](int64_t i) {
    const int64_t tap = i / stretches, begin = i % stretches * kEach, end = std::min(pairs, begin + kEach);
    for (int64_t t = begin; t < end; ++t) {
      const Bfloat16* const* row = x.table + tap * x.count + 2 * t;
      const Bfloat16 *a = row[0], *b = 2 * t + 1 < x.count ? row[1] : x.zero;
      for (int64_t n = 0; n < pieces; ++n)
        kernel(a + n * height, b + n * height, std::min(height, x.channels - n * height),
               made.data() + ((tap * pieces + n) * pairs + t) * 2 * height);
    }
  };
  parallel_for(x.taps * stretches, task, x.count * x.taps * x.channels < (1 << 16) ? 1 : 0);
  return made;
}

// write(tap, first channel, height, panel, sums) for all taps and channels of x and all columns of z, two
// rows of which stand side by side.
template <class Write>
void outer_pairs_pass(const HalfRows& x, const Gradient<Bfloat16>& z, const Panels& panels, Write&& write) {
  const int64_t usual = (x.channels + kHeight - 1) / kHeight * x.taps * panels.count();
  const int64_t height = x.channels == 1 ? 1 : usual < 8 * num_threads() ? kHeight / 2 : kHeight;
  const int64_t pieces = (x.channels + height - 1) / height, pairs = (x.count + 1) / 2;
  const int64_t piece = pairs * 2 * height;
  const Buffer<Bfloat16> rows = paired(x, height);
  const auto task = [&](int64_t i) {
    alignas(64) float sum[kHeight * kWidest];
    const int64_t tap = i / pieces % x.taps, first = i % pieces * height, p = i / pieces / x.taps;
    HalfOuter block{};
    block.x_stride = 2 * height, block.z_stride = z.stride, block.sum = sum;
    block.height = std::min(height, x.channels - first), block.width = 2 * panels.padded(p);
    std::fill(sum, sum + block.height * block.width, 0.0f);
    for (int64_t t = 0; t < pairs; t += kSumPairs) {
      block.x = rows.data() + (tap * pieces + i % pieces) * piece + t * 2 * height;
      block.z = z.data.data() + t * z.stride + 4 * panels.first(p);
      block.count = std::min(kSumPairs, pairs - t);
      avx512_bf16::outer(block);
    }
    write(tap, first, block.height, p, sum);
  };
  const double work = static_cast<double>(x.count * x.taps * x.channels) * static_cast<double>(panels.total);
  parallel_for(panels.count() * x.taps * pieces, task, work < 2e6 ? 1 : 0);
}

}  // namespace kxfast::conv
#endif
