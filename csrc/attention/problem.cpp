// What both directions of attention prepare: mask bits, packed tiles, padded rows. Each is shared out to
// threads.
#include "attention/problem.hpp"

#include <algorithm>
#include <cstring>

#include "core/threads.hpp"

namespace kxfast::attention {
namespace {

// Booleans to bits, eight at a time: the product gathers the last bits of eight bytes in its highest byte.
void pack_bits(const bool* row, int64_t count, uint64_t* words) {
  for (int64_t begin = 0; begin < count; begin += kTile) {
    const int64_t end = std::min(begin + kTile, count);
    uint64_t word = 0;
    int64_t k = begin;
    for (; k + 8 <= end; k += 8) {
      uint64_t eight;
      std::memcpy(&eight, row + k, 8);
      word |= (eight * 0x0102040810204080u >> 56) << (k - begin);
    }
    for (; k < end; ++k) word |= uint64_t{row[k]} << (k - begin);
    *words++ = word;
  }
}

void fill_bits(bool value, int64_t count, uint64_t* words) {
  for (; count > 0; count -= kTile)
    *words++ = !value ? 0 : count >= kTile ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

template <class T>
using PackTiles = void (*)(const Source<T>&, T*);

template <class T>
int64_t row_width(int64_t columns) {
  const bool tiles = sizeof(T) == 2 && half_products() != HalfProducts::pairs;
  return tiles ? packed_columns<T>(columns) : padded<T>(columns);
}
}  // namespace

Pattern::Pattern(const Broadcast<bool>& mask, int64_t k_len) {
  if (!mask.data) return;
  const int64_t rows = mask.size[0] * mask.size[1] * mask.size[2], words = (k_len + kTile - 1) / kTile;
  memory_ = Buffer<uint64_t>(static_cast<size_t>(rows * words + 1));
  constexpr int64_t kRows = 64;
  const auto pack = [&](int64_t part) {
    for (int64_t r = part * kRows; r < std::min(rows, (part + 1) * kRows); ++r) {
      uint64_t* to = memory_.data() + r * words;
      if (mask.size[3] == k_len)
        pack_bits(mask.data + r * k_len, k_len, to);
      else
        fill_bits(mask.data[r], k_len, to);
    }
  };
  parallel_for((rows + kRows - 1) / kRows, pack);
  words_.data = memory_.data();
  std::copy(mask.size, mask.size + 3, words_.size);
  words_.size[3] = words;
}

// For each group of queries the keys that any of them may attend to, and keys that each of them may: tiles
// outside of the ones and within the others need no look at single queries.
Pattern::Pattern(const Broadcast<Interval>& intervals) : intervals_(intervals), groups_(intervals) {
  const int64_t rows = intervals.size[2], groups = groups_of(rows);
  groups_.size[2] = groups;
  group_memory_ = Buffer<Interval>(static_cast<size_t>(intervals.size[0] * intervals.size[1] * groups * 2));
  groups_.data = group_memory_.data();
  for (int64_t head = 0; head < intervals.size[0] * intervals.size[1]; ++head)
    for (int64_t g = 0; g < groups; ++g) {
      Interval any{INT32_MAX, 0}, each{0, INT32_MAX};
      for (int64_t row = g * kGroup; row < std::min(rows, (g + 1) * kGroup); ++row) {
        const Interval* pair = intervals.data + (head * rows + row) * 2;
        for (const Interval& keys : {pair[0], pair[1]})
          if (keys.start < keys.stop) {
            any.start = std::min(any.start, keys.start);
            any.stop = std::max(any.stop, keys.stop);
          }
        each.start = std::max(each.start, pair[0].start);
        each.stop = std::min(each.stop, pair[0].stop);
      }
      group_memory_[static_cast<size_t>((head * groups + g) * 2)] = any;
      group_memory_[static_cast<size_t>((head * groups + g) * 2 + 1)] = each;
    }
}

HeadMask Pattern::of(int64_t b, int64_t h, int64_t row) const {
  HeadMask mask;
  if (words_.data) {
    mask.row = words_.stride(2);
    mask.bits = words_.head(b, h) + row * mask.row;
  }
  if (intervals_.data) {
    mask.row = intervals_.stride(2);
    mask.intervals = intervals_.head(b, h) + row * mask.row;
    mask.group = intervals_.size[2] == 1 ? 0 : 2;
    mask.groups = groups_.head(b, h) + row / kGroup * mask.group;
  }
  return mask;
}

template <class T>
Buffer<Interval> attended(const Problem<T>& x) {
  const Sizes& n = x.size;
  Buffer<Interval> keys(static_cast<size_t>(n.batch * n.key_heads));
  std::fill(keys.begin(), keys.end(), Interval{INT32_MAX, 0});
  for (int64_t b = 0; b < n.batch; ++b)
    for (int64_t h = 0; h < n.heads; ++h) {
      Interval& mine = keys[static_cast<size_t>(x.key_head(b, h))];
      const HeadMask mask = x.mask_of(b, h, 0);
      if (!mask.groups) mine = {0, static_cast<int32_t>(n.k_len)};
      for (int64_t g = 0; mask.groups && g < (mask.group ? groups_of(n.q_len) : 1); ++g) {
        const Interval any = mask.groups[g * mask.group];
        mine = {std::min(mine.start, any.start), std::max(mine.stop, any.stop)};
      }
    }
  return keys;
}

template <class T>
bool by_heads(const Problem<T>& x) {
  constexpr int64_t kMost = 4 << 20;  // bytes: a core's share of a third level cache
  const Sizes& n = x.size;
  const int64_t heads = n.batch * n.key_heads, threads = num_threads(), each = heads / threads;
  return sizeof(T) > 2 && x.key_bytes() <= kMost && (each >= 8 || (each >= 4 && heads % threads == 0));
}

template <class T>
bool aligns(const Problem<T>& x) {
  constexpr int64_t kMost = int64_t{16} << 20;  // bytes
  const Sizes& n = x.size;
  const int64_t size =
      n.batch * n.key_heads * n.k_len * std::max(n.d, n.dv) * static_cast<int64_t>(sizeof(T));
  if (sizeof(T) == 2 || size > kMost || size == 0) return false;
  const HeadMask mask = x.mask_of(0, 0, 0);
  const int64_t groups = mask.group ? groups_of(n.q_len) : 1;
  int64_t keys = 0;
  for (int64_t g = 0; mask.groups && g < groups; ++g) {
    const Interval any = mask.groups[g * mask.group];
    keys += std::max(any.stop - any.start, 0);
  }
  return !mask.groups || keys >= groups * n.k_len / 4;
}

template <class T>
Buffer<T> packed(const Heads<T>& x, const Interval* needed, Wide<T> scale) {
  const int64_t tiles = (x.rows + kTile - 1) / kTile, size = kTile * packed_columns<T>(x.columns);
  Buffer<T> memory(static_cast<size_t>(x.batch * x.heads * tiles * size));
  const auto pack = KXFAST_PICK(PackTiles<T>, pack_tiles);
  const auto task = [&](int64_t index) {
    const int64_t head = index / tiles, begin = index % tiles * kTile, rows = std::min(kTile, x.rows - begin);
    if (begin >= needed[head].stop || begin + kTile <= needed[head].start) return;
    T* out = memory.data() + index * size;
    const int64_t* places =
        x.order.places ? x.order.places + head / x.heads * x.order.batch + begin : nullptr;
    const T* first = x.place(head / x.heads, head % x.heads, places ? 0 : begin);
    pack({first, places, rows, x.columns, x.place.row, scale}, out);
  };
  parallel_for(x.batch * x.heads * tiles, task);
  return memory;
}

template <class T>
Rows<T>::Rows(const Heads<T>& x, bool aligned) : width_(row_width<T>(x.columns)), data_(x.place.data) {
  const bool good = !aligned || reinterpret_cast<uintptr_t>(data_) % kAlign == 0;
  if (width_ == x.columns && !x.order.places && x.dense() && good) return;
  memory_ = Buffer<T>(static_cast<size_t>(x.count() * width_));
  constexpr int64_t kRows = 256, kAhead = 8, kLine = 64 / sizeof(T);
  const auto pad = [&](int64_t part) {
    const int64_t end = std::min(x.count(), (part + 1) * kRows);
    for (int64_t r = part * kRows; r < end; ++r) {
      if (x.order.places && r + kAhead < end)
        for (int64_t k = 0; k < x.columns; k += kLine)
          __builtin_prefetch(x.row((r + kAhead) / x.rows, (r + kAhead) % x.rows) + k);
      T* to = memory_.data() + r * width_;
      std::copy_n(x.row(r / x.rows, r % x.rows), x.columns, to);
      std::fill(to + x.columns, to + width_, T{});
    }
  };
  parallel_for((x.count() + kRows - 1) / kRows, pad);
  data_ = memory_.data();
}

template Buffer<float> packed(const Heads<float>&, const Interval*, Wide<float>);
template Buffer<Interval> attended(const Problem<float>&);
template bool by_heads(const Problem<float>&);
template bool aligns(const Problem<float>&);
template Buffer<double> packed(const Heads<double>&, const Interval*, Wide<double>);
template Buffer<Interval> attended(const Problem<double>&);
template bool by_heads(const Problem<double>&);
template bool aligns(const Problem<double>&);
template class Rows<float>;
template class Rows<double>;

template Buffer<Bfloat16> packed(const Heads<Bfloat16>&, const Interval*, Wide<Bfloat16>);
template Buffer<Interval> attended(const Problem<Bfloat16>&);
template bool by_heads(const Problem<Bfloat16>&);
template bool aligns(const Problem<Bfloat16>&);
template class Rows<Bfloat16>;

Buffer<Bfloat16> paired(const Rows<Bfloat16>& x, int64_t heads, int64_t rows, bool columns) {
  constexpr int64_t kRows = 256;
  using Pack = void (*)(const Bfloat16*, int64_t, int64_t, Bfloat16*);
  const int64_t width = x.width(), parts = (rows + kRows - 1) / kRows, size = packed_rows(rows) * width;
  Buffer<Bfloat16> memory(static_cast<size_t>(heads * size));
  const Pack pack = columns ? KXFAST_PICK(Pack, pack_columns) : KXFAST_PICK(Pack, pack_pairs);
  const auto task = [&](int64_t index) {
    const int64_t head = index / parts, begin = index % parts * kRows;
    pack(x.data() + (head * rows + begin) * width, std::min(kRows, rows - begin), width,
         memory.data() + head * size + begin * width);
  };
  parallel_for(heads * parts, task);
  return memory;
}

}  // namespace kxfast::attention
