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
using PackTiles = void (*)(const T*, int64_t, int64_t, T*);

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

HeadMask Pattern::of(int64_t b, int64_t h, int64_t row) const {
  HeadMask mask;
  if (!words_.data) return mask;
  mask.row = words_.stride(2);
  mask.bits = words_.head(b, h) + row * mask.row;
  return mask;
}

template <class T>
Buffer<T> packed(const T* x, int64_t heads, int64_t rows, int64_t d) {
  const int64_t tiles = (rows + kTile - 1) / kTile;
  Buffer<T> memory(static_cast<size_t>(heads * tiles * kTile * d));
  const auto pack = KXFAST_PICK(PackTiles<T>, pack_tiles);
  const auto task = [&](int64_t index) {
    const int64_t head = index / tiles, begin = index % tiles * kTile;
    pack(x + (head * rows + begin) * d, std::min(kTile, rows - begin), d, memory.data() + index * kTile * d);
  };
  parallel_for(heads * tiles, task);
  return memory;
}

template <class T>
Rows<T>::Rows(const T* x, int64_t rows, int64_t columns) : width_(padded<T>(columns)), data_(x) {
  if (width_ == columns) return;
  memory_ = Buffer<T>(static_cast<size_t>(rows * width_));
  constexpr int64_t kRows = 256;
  const auto pad = [&](int64_t part) {
    for (int64_t r = part * kRows; r < std::min(rows, (part + 1) * kRows); ++r) {
      T* to = memory_.data() + r * width_;
      std::copy(x + r * columns, x + (r + 1) * columns, to);
      std::fill(to + columns, to + width_, T{0});
    }
  };
  parallel_for((rows + kRows - 1) / kRows, pad);
  data_ = memory_.data();
}

template Buffer<float> packed(const float*, int64_t, int64_t, int64_t);
template Buffer<double> packed(const double*, int64_t, int64_t, int64_t);
template class Rows<float>;
template class Rows<double>;

}  // namespace kxfast::attention
