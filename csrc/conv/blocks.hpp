// Which rows are computed, where their taps are, and how rows and columns are dealt out as tasks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "conv/kernels.hpp"
#include "core/threads.hpp"
#include "core/workspace.hpp"

namespace kxfast::conv {

// Columns in panels of `size`, the last one `narrow` wide where no more are left.
struct Panels {
  int64_t size, narrow, total;

  static Panels gated(const Tiling& tiling, int64_t channels) {
    return {tiling.channels(), tiling.lanes, channels};
  }
  static Panels linear(const Tiling& tiling, int64_t columns) {
    return {2 * tiling.channels(), tiling.channels(), columns};
  }
  int64_t count() const { return (total + size - 1) / size; }
  int64_t first(int64_t p) const { return p * size; }
  int64_t width(int64_t p) const { return std::min(size, total - p * size); }
  int64_t padded(int64_t p) const { return width(p) <= narrow ? narrow : size; }
  int64_t padded_total() const { return first(count() - 1) + padded(count() - 1); }
};

// The positions a mask leaves, by number in the batch and by position in their sequence.
class Rows {
 public:
  Rows(const bool* mask, int64_t batch, int64_t each)
      : length(each),
        all(batch * each),
        number_(static_cast<size_t>(all)),
        position_(static_cast<size_t>(all)) {
    int64_t row = 0;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t t = 0; t < each; ++t, ++row) {
        number_[static_cast<size_t>(count)] = row;
        position_[static_cast<size_t>(count)] = t;
        count += !mask || mask[row];
      }
  }
  const int64_t* number(int64_t i) const { return number_.data() + i; }
  const int64_t* position(int64_t i) const { return position_.data() + i; }

  // Zeroes the rows of `out` between row i and row `end`, and those at the ends, that are not among these.
  template <class T>
  void clear_others(T* out, int64_t width, int64_t begin, int64_t end) const {
    int64_t next = begin == 0 ? 0 : *number(begin);
    for (int64_t i = begin; i <= end; ++i) {
      const int64_t here = i < count ? *number(i) : all;
      if (here > next) std::fill(out + next * width, out + here * width, T{0});
      next = here + 1;
    }
  }

  const int64_t length, all;
  int64_t count = 0;

 private:
  Buffer<int64_t> number_, position_;
};

// Tap a of row t is row t + a step - left of an array, or `zero` outside of the sequence and where hidden.
template <class T>
struct Source {
  const T* base;
  int64_t stride;
  const bool* mask;  // rows to be hidden are false; or null
  const T* zero;
  int64_t taps, step, left;

  void point(const Rows& rows, int64_t begin, int64_t count, const T** table) const {
    const int64_t *number = rows.number(begin), *position = rows.position(begin);
    for (int64_t a = 0; a < taps; ++a, table += count) {
      const int64_t shift = a * step - left;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t row = number[i] + shift;
        const bool inside = static_cast<uint64_t>(position[i] + shift) < static_cast<uint64_t>(rows.length);
        table[i] = inside && (!mask || mask[row]) ? base + row * stride : zero;
      }
    }
  }
};

// Whether products are made in tiles of AMX.
template <class T>
bool in_tiles() {
  const HalfProducts products = sizeof(T) == 2 ? half_products() : HalfProducts::none;
  return products == HalfProducts::tiles || products == HalfProducts::emulated;
}
// Rows of a register tile, or of two tiles of AMX.
template <class T>
int64_t tile_rows() {
  return in_tiles<T>() ? 32 : 6;
}

// Blocks of rows, and groups of panels where there are few rows. No result depends on the split.
struct Split {
  int64_t rows, blocks, groups;
  int threads;

  Split(int64_t count, int64_t panels, double work, int64_t tile) {
    const int64_t most = 128 / tile * tile;
    constexpr double kLone = 2e6;  // multiply-adds that are over before a thread has woken
    threads = work < kLone ? 1 : num_threads();
    blocks = (count + most - 1) / most;
    groups = 1;
    if (threads > 1) {
      blocks = (blocks + threads - 1) / threads * threads;
      if (blocks * most / 4 > count) blocks = std::max<int64_t>(1, count / (2 * tile));
      blocks = std::min<int64_t>(blocks, (count + most - 1) / most * 4);
      groups = std::min<int64_t>(panels, (4 * threads + blocks - 1) / blocks);
      if (blocks >= 4 * threads) groups = 1;
    }
    rows = ((count + blocks - 1) / blocks + tile - 1) / tile * tile;
    blocks = (count + rows - 1) / rows;
  }
};

// body(products, first row, first panel, last panel + 1) for every task.
template <class T, class Body>
void over_blocks(const Rows& rows, const Source<T>& source, int64_t channels, int64_t panels, double work,
                 Body&& body) {
  if (rows.count == 0) return;
  const Split split(rows.count, panels, work, tile_rows<T>());
  Buffer<const T*> table(static_cast<size_t>(rows.count * source.taps));
  const auto block = [&](int64_t b, bool fill) {
    const int64_t begin = b * split.rows, count = std::min(split.rows, rows.count - begin);
    const T** mine = table.data() + begin * source.taps;
    if (fill) source.point(rows, begin, count, mine);
    return Products<T>{mine, count, count, source.taps, channels};
  };
  if (split.groups > 1)
    for (int64_t b = 0; b < split.blocks; ++b) block(b, true);
  const auto task = [&](int64_t i) {
    const int64_t b = i / split.groups, group = i % split.groups;
    body(block(b, split.groups == 1), b * split.rows, group * panels / split.groups,
         (group + 1) * panels / split.groups);
  };
  parallel_for(split.blocks * split.groups, task, split.threads);
}

}  // namespace kxfast::conv
