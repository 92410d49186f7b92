// Which rows are computed, where their taps are, and how rows and columns are dealt out as tasks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

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
  int64_t extra = 0;  // elements between sequences, beyond their rows

  // Where row `number` stands, of sequences of `length` rows.
  const T* at(int64_t number, int64_t length) const {
    return base + number * stride + (extra ? number / length * extra : 0);
  }
  void point(const Rows& rows, int64_t begin, int64_t count, const T** table) const {
    const int64_t *number = rows.number(begin), *position = rows.position(begin);
    for (int64_t a = 0; a < taps; ++a, table += count) {
      const int64_t shift = a * step - left;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t row = number[i] + shift;
        const bool inside = static_cast<uint64_t>(position[i] + shift) < static_cast<uint64_t>(rows.length);
        table[i] = inside && (!mask || mask[row]) ? at(row, rows.length) : zero;
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
// What the taps of a block read, copied to rows of whole cache lines, once for each run of neighbours:
// products of tiles take a third longer with rows that straddle lines, as those of most arrays of NumPy do.
template <class T>
class Staged {
 public:
  static bool pays(const Source<T>& source, int64_t panels) {
    constexpr int64_t kFew = 4;
    const auto place = reinterpret_cast<uintptr_t>(source.base);
    return in_tiles<T>() && panels >= kFew && (place % 64 || (source.stride | source.extra) * sizeof(T) % 64);
  }

  Staged(const Rows& rows, int64_t begin, const Source<T>& source, const Products<T>& in)
      : apart_((in.channels + kLine - 1) / kLine * kLine),
        bytes_(static_cast<size_t>(in.channels) * sizeof(T)),
        copies_(static_cast<size_t>(in.count * in.taps * apart_)),
        table_(static_cast<size_t>(in.count * in.taps)),
        made_(in) {
    made_.rows = table_.data();
    const int64_t *number = rows.number(begin), *position = rows.position(begin);
    T* to = copies_.data();
    for (int64_t i = 0, n = 1; i < in.count; i += n, n = 1) {
      while (i + n < in.count && number[i + n] == number[i] + n && position[i + n] == position[i] + n) ++n;
      const int64_t reach = (in.taps - 1) * std::abs(source.step);
      to = n + reach < n * in.taps ? run(rows, begin + i, n, i, source, reach, to) : each(in, i, n, to);
    }
  }
  const Products<T>& products() const { return made_; }

 private:
  static constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));

  // n rows that follow one another, with what is around them.
  T* run(const Rows& rows, int64_t row, int64_t n, int64_t i, const Source<T>& source, int64_t reach, T* to) {
    const int64_t low = (source.step < 0 ? (source.taps - 1) * source.step : 0) - source.left;
    const int64_t number = *rows.number(row) + low, position = *rows.position(row) + low;
    for (int64_t r = 0; r < n + reach; ++r) {
      const bool inside = static_cast<uint64_t>(position + r) < static_cast<uint64_t>(rows.length);
      const bool there = inside && (!source.mask || source.mask[number + r]);
      std::memcpy(to + r * apart_, there ? source.at(number + r, rows.length) : source.zero, bytes_);
    }
    for (int64_t a = 0; a < source.taps; ++a)
      for (int64_t k = 0; k < n; ++k) at(a, i + k) = to + (k + a * source.step - source.left - low) * apart_;
    return to + (n + reach) * apart_;
  }
  // n rows, for each tap of their own.
  T* each(const Products<T>& in, int64_t i, int64_t n, T* to) {
    for (int64_t a = 0; a < in.taps; ++a)
      for (int64_t k = i; k < i + n; ++k, to += apart_) {
        std::memcpy(to, in.rows[a * in.stride + k], bytes_);
        at(a, k) = to;
      }
    return to;
  }
  const T*& at(int64_t tap, int64_t i) { return table_[static_cast<size_t>(tap * made_.stride + i)]; }

  const int64_t apart_;
  const size_t bytes_;
  Buffer<T> copies_;
  Buffer<const T*> table_;
  Products<T> made_;
};

// Rows of a register tile, or of two tiles of AMX; and of a block where there are few, and at most: tiles are
// so fast that a panel of weights, if it comes from the L3 cache, wants more rows.
struct RowSizes {
  int64_t tile, few, many;
};
template <class T>
RowSizes row_sizes() {
  return in_tiles<T>() ? RowSizes{32, 128, 512} : RowSizes{6, 126, 126};
}

// Blocks of rows, and groups of panels where there are few rows. No result depends on the split.
struct Split {
  int64_t rows, blocks, groups;
  int threads;

  Split(int64_t count, int64_t panels, double work, RowSizes size) {
    constexpr double kLone = 2e6;  // multiply-adds that are over before a thread has woken
    threads = work < kLone ? 1 : num_threads();
    const int64_t tile = size.tile, share = count / (4 * threads) / tile * tile;
    const int64_t most = std::min(size.many, std::max(size.few, share));
    blocks = (count + most - 1) / most;
    groups = 1;
    if (threads > 1) {
      blocks = (blocks + threads - 1) / threads * threads;
      if (blocks * most / 4 > count) blocks = std::max<int64_t>(1, count / (2 * tile));
      blocks = std::min<int64_t>(blocks, (count + most - 1) / most * 4);
      groups = std::min<int64_t>(panels, (4 * threads + blocks - 1) / blocks);
      if (blocks >= 4 * threads) groups = 1;
      const int64_t finer = std::min((4 * threads + groups - 1) / groups, count / (2 * tile));
      blocks = std::max(blocks, finer);
    }
    rows = ((count + blocks - 1) / blocks + tile - 1) / tile * tile;
    blocks = (count + rows - 1) / rows;
  }
};

// Which tasks follow one another, and so are mostly one thread's: those of the same rows, or those of the
// same panels, where threads have just packed them (dx of 128 rows, two threads: forward and backward 10 %
// faster).
enum class Order { rows, panels };

// body(products, first row, first panel, last panel + 1) for every task.
template <class T, class Body>
void over_blocks(const Rows& rows, const Source<T>& source, int64_t channels, int64_t panels, double work,
                 Order order, Body&& body) {
  if (rows.count == 0) return;
  const Split split(rows.count, panels, work, row_sizes<T>());
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
    const bool panels_first = order == Order::panels;
    const int64_t b = panels_first ? i % split.blocks : i / split.groups, row = b * split.rows;
    const int64_t group = panels_first ? i / split.blocks : i % split.groups;
    const int64_t first = group * panels / split.groups, last = (group + 1) * panels / split.groups;
    const Products<T> in = block(b, split.groups == 1);
    if (!Staged<T>::pays(source, last - first)) return body(in, row, first, last);
    const Staged<T> staged(rows, row, source, in);
    body(staged.products(), row, first, last);
  };
  each_task(split.blocks * split.groups, task, split.threads);
}

}  // namespace kxfast::conv
