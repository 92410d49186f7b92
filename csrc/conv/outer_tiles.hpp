// Sums of outer products over rows in tiles of bfloat16 (simd/outer_amx.cpp), in tasks that own some of them.
#pragma once

#include "conv/outer.hpp"

namespace kxfast::conv {

// x transposed: for each tap and 32 channels, of 32 rows at a time two tiles of 16 channels. Rows beyond the
// last one are zeros.
class TransposedRows {
 public:
  static constexpr int64_t kChannels = 32, kRows = 32, kTile = 16 * kRows;

  explicit TransposedRows(const HalfRows& x)
      : strips((x.channels + kChannels - 1) / kChannels),
        blocks((x.count + kRows - 1) / kRows),
        made_(static_cast<size_t>(x.taps * strips * blocks * 2 * kTile)) {
    const auto kernel =
        KXFAST_PICK_TILES(void (*)(const Bfloat16* const*, int64_t, Bfloat16*), transpose_rows);
    const auto task = [&](int64_t i) {
      const int64_t tap = i / blocks, block = i % blocks, first = block * kRows;
      const Bfloat16* rows[kRows];
      for (int64_t half = 0; half < 2 * strips; ++half) {
        const int64_t channel = half * kChannels / 2, left = x.channels - channel;
        for (int64_t r = 0; r < kRows; ++r)
          rows[r] = first + r < x.count && left > 0 ? x.table[tap * x.count + first + r] + channel : x.zero;
        Bfloat16* to = made_.data() + (((tap * strips + half / 2) * blocks + block) * 2 + half % 2) * kTile;
        kernel(rows, std::min(std::max<int64_t>(0, left), kChannels / 2), to);
      }
    };
    parallel_for(x.taps * blocks, task, x.count * x.taps * x.channels < (1 << 16) ? 1 : 0);
  }
  const Bfloat16* strip(int64_t tap, int64_t strip) const {
    return made_.data() + (tap * strips + strip) * blocks * 2 * kTile;
  }

  const int64_t strips, blocks;

 private:
  Buffer<Bfloat16> made_;
};

// write(tap, first channel, height, panel, sums) for all taps and channels of x, 32 together, and all columns
// of z, two rows of which stand side by side. A task takes some panels, which stay in the L2 cache, while the
// transposed rows of the next one come from farther away.
template <class Write>
void outer_tiles_pass(const HalfRows& x, Gradient<Bfloat16>& z, const Panels& panels, Write&& write) {
  constexpr int64_t kMost = 8, kRows = TransposedRows::kRows, kChannels = TransposedRows::kChannels;
  Bfloat16* pairs = z.data.data();
  std::fill(pairs + (x.count + 1) / 2 * z.stride,
            pairs + (x.count + kRows - 1) / kRows * kRows / 2 * z.stride, Bfloat16{0});
  const TransposedRows rows(x);
  const int64_t strips = x.taps * rows.strips, wanted = strips * panels.count() / (4 * num_threads());
  const int64_t each = std::max<int64_t>(1, std::min(kMost, wanted));
  const int64_t groups = (panels.count() + each - 1) / each;
  const auto kernel = KXFAST_PICK_TILES(void (*)(const OuterTiles&), outer_tiles);
  const auto task = [&](int64_t i) {
    const int64_t tap = i % strips / rows.strips, strip = i % rows.strips, first = i / strips * each;
    alignas(64) float sum[TransposedRows::kChannels * TransposedRows::kRows];
    for (int64_t p = first; p < std::min(panels.count(), first + each); ++p) {
      kernel({rows.strip(tap, strip), pairs + 4 * panels.first(p), z.stride, rows.blocks, sum});
      write(tap, strip * kChannels, std::min(kChannels, x.channels - strip * kChannels), p, sum);
    }
  };
  parallel_for(strips * groups, task, rows.blocks * strips * panels.count() < 128 ? 1 : 0);
}

}  // namespace kxfast::conv
