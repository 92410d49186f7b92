// Pieces that forward and backward share.
#pragma once

#include <cmath>

#include "conv/blocks.hpp"
#include "conv/layer.hpp"
#include "conv/weights.hpp"
#include "core/random.hpp"

namespace kxfast::conv {

template <class T>
using GatedKernel = void (*)(const GatedBlock<T>&);
template <class T>
using LinearKernel = void (*)(const LinearBlock<T>&);

template <class T>
Tiling tiling() {
  return KXFAST_PICK(Tiling (*)(T), tiling)(T{});
}
template <class T>
GatedKernel<T> forward_kernel() {
  return KXFAST_PICK(GatedKernel<T>, gated_forward);
}
template <class T>
LinearKernel<T> product_kernel() {
  return KXFAST_PICK(LinearKernel<T>, linear);
}
template <>
inline Tiling tiling<Bfloat16>() {
  return {16, in_tiles<Bfloat16>() ? 1 : 2};
}
template <>
inline GatedKernel<Bfloat16> forward_kernel() {
  return KXFAST_PICK_HALF(GatedKernel<Bfloat16>, gated_forward);
}
template <>
inline LinearKernel<Bfloat16> product_kernel() {
  return KXFAST_PICK_HALF(LinearKernel<Bfloat16>, linear);
}

template <class T>
Buffer<T> zeros(int64_t count) {
  Buffer<T> buffer(static_cast<size_t>(count));
  std::fill(buffer.begin(), buffer.end(), T{0});
  return buffer;
}

inline Buffer<int64_t> progression(int64_t count, int64_t step) {
  Buffer<int64_t> buffer(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) buffer[static_cast<size_t>(i)] = i * step;
  return buffer;
}

// What is convolved, as seen from each tap, and what is skipped.
template <class T>
Source<T> convolved(const Layer<T>& layer, const Input<T>& input, const T* zero) {
  const bool* hidden = layer.mask_input ? input.mask : nullptr;
  return {input.x, input.row, hidden, zero, layer.taps, layer.dilation, layer.left, input.extra()};
}
template <class T>
Source<T> skipped(const Layer<T>& layer, const Input<T>& input, const T* zero) {
  const bool* hidden = layer.mask_input || layer.skip != Skip::add ? input.mask : nullptr;
  return {input.x, input.row, hidden, zero, 1, 0, 0, input.extra()};
}

// Rows of a gradient that products read: an odd number of cache lines apart, a row of zeros at the end.
template <class T>
struct Gradient {
  int64_t columns, stride, rows;
  Buffer<T> data;

  Gradient(int64_t count, int64_t width)
      : columns(width),
        stride(((width * static_cast<int64_t>(sizeof(T)) + 63) / 64 | 1) * 64 /
               static_cast<int64_t>(sizeof(T))),
        rows(count),
        data(static_cast<size_t>((count + 1) * stride)) {
    std::fill(data.begin() + count * stride, data.end(), T{0});
  }
  const T* zero() const { return data.data() + rows * stride; }
  // Where a row is, for -1 that of zeros.
  const T* at(int64_t row) const { return row < 0 ? zero() : data.data() + row * stride; }
  Buffer<const T*> at(const Rows& given) const {
    Buffer<const T*> table(static_cast<size_t>(given.count));
    for (int64_t i = 0; i < given.count; ++i) table[static_cast<size_t>(i)] = at(*given.number(i));
    return table;
  }
};

// run(input, first row, whether it is the first) for groups of sequences whose dz stays in the cache from
// pass to pass (2 MB gained 5 % over 8; in bfloat16 half of one gained 4 % over 2), so that memory does not
// grow with the batch. Groups depend on sizes alone, and so do the sums.
template <class T>
int64_t group_size(const Layer<T>& layer, const Input<T>& input) {
  constexpr int64_t kGroup = int64_t{sizeof(T) == 2 ? 1 : 4} << 19;
  const int64_t bytes = std::max<int64_t>(1, input.length * 2 * layer.out * static_cast<int64_t>(sizeof(T)));
  return std::max<int64_t>(1, std::min(input.batch, kGroup / bytes));
}
template <class T, class Run>
void by_groups(const Layer<T>& layer, const Input<T>& input, Run&& run) {
  const int64_t group = group_size(layer, input);
  for (int64_t b = 0; b == 0 || b < input.batch; b += group) {
    const int64_t row = b * input.length;
    run(Input<T>{input.x + b * input.sequence, input.mask ? input.mask + row : nullptr,
                 std::min(group, input.batch - b), input.length, input.row, input.sequence, input.first + row,
                 input.parts ? input.parts + row * 2 * layer.out : nullptr},
        row, b == 0);
  }
}

// 0 for dropped gates and 1/(1 - rate) for kept ones, by row number; none without dropout.
template <class T>
Buffer<Wide<T>> gate_scales(const Layer<T>& layer, const Input<T>& input, const Rows& rows) {
  if (layer.drop == 0) return {};
  Buffer<Wide<T>> scale(static_cast<size_t>(rows.all * layer.out));
  const auto limit = static_cast<uint64_t>(std::nearbyint(layer.drop * 0x1p32));
  const auto kept = static_cast<Wide<T>>(1 / (1 - layer.drop));
  constexpr int64_t kBlock = 64;
  const auto task = [&](int64_t block) {
    for (int64_t i = block * kBlock; i < std::min(rows.count, (block + 1) * kBlock); ++i) {
      const int64_t row = *rows.number(i);
      Wide<T>* to = scale.data() + row * layer.out;
      for (int64_t o = 0; o < layer.out; o += 4) {
        const Philox random(layer.seed, static_cast<uint64_t>(input.first + row),
                            static_cast<uint64_t>(o / 4));
        for (int64_t k = 0; k < std::min<int64_t>(4, layer.out - o); ++k)
          to[o + k] = random.word[k] < limit ? 0 : kept;
      }
    }
  };
  parallel_for((rows.count + kBlock - 1) / kBlock, task);
  return scale;
}

// out[row] = sum over taps of source[row] @ weight + bias, plus out[row] if `add`; to `rounded` if there is
// one. A panel of weights is taken by groups of taps that stay in the L2 cache beside the rows.
template <class T>
void linear_pass(const Rows& rows, const Source<T>& source, const LinearWeight<T>& weight, int64_t channels,
                 const T* bias, Wide<T>* out, int64_t out_stride, bool add, T* rounded = nullptr,
                 bool relu = false) {
  const auto kernel = product_kernel<T>();
  const Panels& panels = weight.panels;
  constexpr int64_t kCached = (int64_t{400} << 10) / static_cast<int64_t>(sizeof(T));
  const int64_t most = std::max<int64_t>(1, kCached / (channels * panels.size));
  const double work =
      static_cast<double>(rows.count * source.taps * channels) * static_cast<double>(panels.total);
  over_blocks(rows, source, channels, panels.count(), work, Order::panels,
              [&](const Products<T>& in, int64_t row, int64_t begin, int64_t end) {
                for (int64_t p = begin; p < end; ++p)
                  for (int64_t tap = 0; tap < in.taps; tap += most) {
                    const int64_t first = panels.first(p), taps = std::min(most, in.taps - tap);
                    kernel({{in.rows + tap * in.stride, in.stride, in.count, taps, channels},
                            weight.panel(p) + tap * channels * panels.padded(p),
                            bias && tap == 0 ? bias + first : nullptr,
                            panels.width(p),
                            rows.number(row),
                            out + first,
                            out_stride,
                            add || tap > 0,
                            rounded && tap + taps == in.taps ? rounded + first : nullptr,
                            relu && tap + taps == in.taps});
                  }
              });
}

// The skipped input after its 1x1 convolution, by row number; none without one.
template <class T>
Buffer<T> project(const Layer<T>& layer, const Input<T>& input, const Rows& rows, const T* zero) {
  if (!layer.shortcut) return {};
  Buffer<T> out(static_cast<size_t>(rows.all * layer.out));
  const LinearWeight<T> weight(layer.shortcut, progression(layer.in, layer.out), 1, layer.out, tiling<T>());
  linear_pass(rows, skipped(layer, input, zero), weight, layer.in, layer.shortcut_bias, out.data(), layer.out,
              false);
  return out;
}

// Where each row's skipped values are.
template <class T>
Buffer<const T*> skip_rows(const Layer<T>& layer, const Input<T>& input, const Rows& rows,
                           const Buffer<T>& projected, const T* zero) {
  if (layer.skip == Skip::none) return {};
  Source<T> source = skipped(layer, input, zero);
  if (projected.size()) source = {projected.data(), layer.out, nullptr, zero, 1, 0, 0};
  Buffer<const T*> table(static_cast<size_t>(rows.count));
  source.point(rows, 0, rows.count, table.data());
  return table;
}

// Points a block, which comes with what is the same for all, at some rows and at the panel whose first
// channel is `first`.
template <class T>
void aim(GatedBlock<T>& block, const int64_t* number, int64_t row, int64_t first) {
  block.number = number;
  if (block.skipped) block.skipped += row;
  block.skipped_offset = first;
  if (block.y) block.y += first;
  for (const Wide<T>** place : {&block.scale, &block.parts})
    if (*place) *place += first;
  if (block.dy) block.dy += first;
  for (Wide<T>** place : {&block.kept, &block.dskip})
    if (*place) *place += first;
  if (block.dz) block.dz += 2 * first;
  if (block.pairs) block.pairs += row * block.pairs_stride + 4 * first;
}

template <class T>
void point_bias(const Layer<T>& layer, int64_t first, GatedBlock<T>& block) {
  if (!layer.bias) return;
  block.candidate_bias = layer.bias + layer.candidates() + first;
  block.gate_bias = layer.bias + layer.gates() + first;
}

// Runs a gated kernel on every block.
template <class T, class After>
void gated_pass(GatedKernel<T> kernel, const Rows& rows, const Layer<T>& layer, const Source<T>& source,
                const GatedWeight<T>& weight, const GatedBlock<T>& common, After&& after) {
  const Panels& panels = weight.panels;
  const double work =
      2.0 * static_cast<double>(rows.count * layer.taps * layer.in) * static_cast<double>(layer.out);
  over_blocks(rows, source, layer.in, panels.count(), work, Order::rows,
              [&](const Products<T>& in, int64_t row, int64_t begin, int64_t end) {
                const int64_t each = in_tiles<T>() ? end - begin : 1;
                for (int64_t p = begin; p < end; p += each) {
                  GatedBlock<T> block = common;
                  aim(block, rows.number(row), row, panels.first(p));
                  weight.point(p, block);
                  block.width = panels.first(p + each - 1) + panels.width(p + each - 1) - panels.first(p);
                  point_bias(layer, panels.first(p), block);
                  block.in = in;
                  kernel(block);
                }
                if (begin == 0) after(row, row + in.count);
              });
}

// Runs a kernel of what was kept on every block of rows. (By panels, so that threads read what they wrote: 3
// to 6 % of forward and backward of few rows slower, as dz is then read from the others.)
template <class T>
void kept_pass(GatedKernel<T> kernel, const Rows& rows, const Panels& panels, const GatedBlock<T>& common) {
  constexpr int64_t kRows = 64;
  const auto task = [&](int64_t i) {
    GatedBlock<T> block = common;
    aim(block, rows.number(i * kRows), i * kRows, 0);
    block.panel = panels.size;
    block.in.count = std::min(kRows, rows.count - i * kRows);
    kernel(block);
  };
  parallel_for((rows.count + kRows - 1) / kRows, task, rows.count * panels.total < (1 << 13) ? 1 : 0);
}

}  // namespace kxfast::conv
