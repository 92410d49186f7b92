// Sums of outer products over rows, in tasks that own some of the sums.
#pragma once

#include "conv/common.hpp"

namespace kxfast::conv {

// What a panel of a gradient is for: its first column, and `padded` of them.
struct Columns {
  int64_t first, padded;
};

// Both factors by pointers to their rows.
template <class T>
struct Factors {
  const T *const *x, *const *z;
};

constexpr int64_t kSumRows = 96, kHeight = 48, kPanelBytes = 256;

// Rows of bfloat16 for each tap, and a row of zeros.
struct HalfRows {
  const Bfloat16* const* table;
  int64_t count, taps, channels;
  const Bfloat16* zero;
};

// write(tap, first channel, height, panel, sums) for the products x'z over `count` rows for all taps,
// channels and panels. `from(tap)` says where the rows are, and `panel_at(p)` which columns of z.
template <class T, class From, class PanelAt, class Write>
void outer_pass(int64_t count, int64_t taps, int64_t channels, From&& from, int64_t panels,
                PanelAt&& panel_at, Write&& write) {
  const auto kernel = KXFAST_PICK(void (*)(const OuterBlock<T>&), outer);
  const int64_t height =
      taps * panels * ((channels + kHeight - 1) / kHeight) < 8 * num_threads() ? kHeight / 2 : kHeight;
  const int64_t pieces = (channels + height - 1) / height;
  const auto task = [&](int64_t i) {
    alignas(64) T sum[kHeight * kPanelBytes / sizeof(T)];
    const int64_t tap = i / pieces % taps, first = i % pieces * height, p = i / pieces / taps;
    const Columns at = panel_at(p);
    const Factors<T> factors = from(tap);
    const int64_t tall = std::min(height, channels - first);
    for (int64_t row = 0; row == 0 || row < count; row += kSumRows)
      kernel({factors.x + row, factors.z + row, first, at.first, std::min(kSumRows, count - row), tall,
              at.padded, sum, row == 0});
    write(tap, first, tall, p, sum);
  };
  const double work = static_cast<double>(count * taps) * static_cast<double>(channels * panels * 32);
  parallel_for(panels * taps * pieces, task, work < 2e6 ? 1 : 0);
}

// Sets or adds to some numbers.
template <class T>
void put(const T* from, int64_t count, T* to, bool fresh) {
  if (fresh)
    std::copy_n(from, count, to);
  else
    for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace kxfast::conv
