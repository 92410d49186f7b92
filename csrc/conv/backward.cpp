// Gradients of one layer, from its input alone.
//
// Candidates and gates are computed again, block by block, and finished on the register tile as dz, the
// gradient of both (and of what is skipped). The gradient of the input is the same kind of product: rows of
// dz, shifted the other way, with the transposed weights. The gradient of the weights is a sum of outer
// products over rows; a task owns some of its elements and takes the rows in blocks of 128, in order, so that
// there is nothing to add up afterwards and no result depends on the number of threads.
#include "conv/common.hpp"
#include "conv/norm.hpp"

namespace kxfast::conv {
namespace {

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
};

// What a panel of a gradient is for: its first column, and `padded` of them.
struct Columns {
  int64_t first, padded;
};

constexpr int64_t kSumRows = 128, kHeight = 48, kPanelBytes = 256;

// write(tap, first channel, height, panel, sums) for the products x'z of all taps, channels and panels; x by
// table[tap * rows.count + i]. `panel_at(p)` says which columns of z.
template <class T, class PanelAt, class Write>
void outer_pass(const Rows& rows, const T* const* table, int64_t taps, int64_t channels, const T* z,
                int64_t z_stride, int64_t panels, PanelAt&& panel_at, Write&& write) {
  const auto kernel = KXFAST_PICK(void (*)(const OuterBlock<T>&), outer);
  const int64_t height =
      taps * panels * ((channels + kHeight - 1) / kHeight) < 8 * num_threads() ? kHeight / 2 : kHeight;
  const int64_t pieces = (channels + height - 1) / height;
  const auto task = [&](int64_t i) {
    alignas(64) T sum[kHeight * kPanelBytes / sizeof(T)];
    const int64_t tap = i / pieces % taps, first = i % pieces * height, p = i / pieces / taps;
    const Columns at = panel_at(p);
    OuterBlock<T> block{
        nullptr,   z + at.first, nullptr, z_stride, 0, first, std::min(height, channels - first),
        at.padded, sum};
    std::fill(sum, sum + block.height * block.width, T{0});
    for (int64_t row = 0; row < rows.count; row += kSumRows) {
      block.x = table + tap * rows.count + row;
      block.number = rows.number(row);
      block.count = std::min(kSumRows, rows.count - row);
      kernel(block);
    }
    write(tap, first, block.height, p, sum);
  };
  const double work = static_cast<double>(rows.count * taps) * static_cast<double>(channels * panels * 32);
  parallel_for(panels * taps * pieces, task, work < 2e6 ? 1 : 0);
}

template <class T>
class Backward {
 public:
  Backward(const Layer<T>& layer, const Input<T>& input, const T* dy, const Gradients<T>& out)
      : layer_(layer),
        input_(input),
        dy_(dy),
        out_(out),
        zero_(zeros<T>(std::max(layer.in, layer.out))),
        one_(T{1}),
        counted_(layer.skip == Skip::add ? nullptr : input.mask),
        rows_(counted_, input.batch, input.length),
        panels_(Panels::gated(tiling<T>(), layer.out)),
        dz_(rows_.all, 2 * panels_.padded_total()),
        dskip_(layer.shortcut ? rows_.all : 0, layer.shortcut ? layer.out : 0) {}

  void run() {
    if (input_.mask) std::fill(out_.dx, out_.dx + rows_.all * layer_.in, T{0});
    gates();
    inputs();
    weights();
    if (layer_.shortcut) shortcut();
  }

 private:
  void gates() {
    const Buffer<T> scale = gate_scales(layer_, rows_);
    const Buffer<T> projected =
        layer_.skip == Skip::gated ? project(layer_, input_, rows_, zero_.data()) : Buffer<T>();
    const Buffer<const T*> skip = skip_rows(layer_, input_, rows_, projected, zero_.data());
    const GatedWeight<T> weight(layer_, tiling<T>(), rows_.count);
    GatedBlock<T> common{};
    common.channels = layer_.out;
    common.skip = layer_.skip;
    common.sign = layer_.sign();
    common.scale = scale.data();
    common.skipped = skip.data();
    common.dy = dy_;
    common.dz = dz_.data.data();
    common.dz_stride = dz_.stride;
    common.dskip = layer_.skip == Skip::none ? nullptr : layer_.shortcut ? dskip_.data.data() : out_.dx;
    common.dskip_stride = layer_.shortcut ? dskip_.stride : layer_.in;
    const auto kernel =
        layer_.gamma ? KXFAST_PICK(GatedKernel<T>, gated_parts) : KXFAST_PICK(GatedKernel<T>, gated_backward);
    gated_pass(kernel, rows_, layer_, convolved(layer_, input_, zero_.data()), weight, common,
               [](int64_t, int64_t) {});
    if (layer_.gamma)
      normalize_backward(layer_, rows_, panels_, scale.data(), dy_, dz_.data.data(), dz_.stride, out_);
  }

  // dx = dz, shifted back, with the transposed weights, plus what the skip connection hands back.
  void inputs() {
    const bool* shown = layer_.mask_input ? input_.mask : nullptr;
    const Rows rows(shown, input_.batch, input_.length);
    Buffer<int64_t> offset(static_cast<size_t>(layer_.taps * dz_.columns));
    for (int64_t a = 0; a < layer_.taps; ++a)
      for (int64_t p = 0; p < panels_.count(); ++p)
        for (int64_t j = 0, padded = panels_.padded(p); j < 2 * padded; ++j) {
          const int64_t o = panels_.first(p) + j % padded;
          const int64_t column = (j < padded ? layer_.candidates() : layer_.gates()) + o;
          offset[static_cast<size_t>(a * dz_.columns + 2 * panels_.first(p) + j)] =
              o < layer_.out ? a * layer_.in * 2 * layer_.out + column : -1;
        }
    const LinearWeight<T> weight(layer_.weight, std::move(offset), 2 * layer_.out, layer_.in, tiling<T>());
    const Source<T> source{dz_.data.data(), dz_.stride,       counted_,    dz_.zero(),
                           layer_.taps,     -layer_.dilation, -layer_.left};
    const bool skips = layer_.skip != Skip::none && !layer_.shortcut;
    linear_pass(rows, source, weight, dz_.columns, static_cast<const T*>(nullptr), out_.dx, layer_.in, skips);
    if (layer_.shortcut) {
      const LinearWeight<T> back(layer_.shortcut, progression(layer_.out, 1), layer_.out, layer_.in,
                                 tiling<T>());
      const Source<T> from{dskip_.data.data(), dskip_.stride, counted_, dskip_.zero(), 1, 0, 0};
      linear_pass(rows, from, back, layer_.out, static_cast<const T*>(nullptr), out_.dx, layer_.in, true);
    }
    if (rows.count < rows.all) clear_hidden(rows);
  }

  void clear_hidden(const Rows& rows) {
    if (rows.count == 0)
      std::fill(out_.dx, out_.dx + rows.all * layer_.in, T{0});
    else
      rows.clear_others(out_.dx, layer_.in, 0, rows.count);
  }

  void weights() {
    const Source<T> source = convolved(layer_, input_, zero_.data());
    Buffer<const T*> table(static_cast<size_t>(rows_.count * layer_.taps));
    source.point(rows_, 0, rows_.count, table.data());
    const auto panel_at = [&](int64_t p) { return Columns{2 * panels_.first(p), 2 * panels_.padded(p)}; };
    const auto copy = [&](T* to, int64_t p, const T* sum) {
      const int64_t first = panels_.first(p), width = panels_.width(p), padded = panels_.padded(p);
      std::copy(sum, sum + width, to + layer_.candidates() + first);
      std::copy(sum + padded, sum + padded + width, to + layer_.gates() + first);
    };
    outer_pass(rows_, table.data(), layer_.taps, layer_.in, dz_.data.data(), dz_.stride, panels_.count(),
               panel_at, [&](int64_t tap, int64_t first, int64_t height, int64_t p, const T* sum) {
                 for (int64_t i = 0; i < height; ++i)
                   copy(out_.dweight + (tap * layer_.in + first + i) * 2 * layer_.out, p,
                        sum + i * 2 * panels_.padded(p));
               });
    if (!out_.dbias) return;
    std::fill(table.begin(), table.begin() + rows_.count, &one_);
    outer_pass(rows_, table.data(), 1, 1, dz_.data.data(), dz_.stride, panels_.count(), panel_at,
               [&](int64_t, int64_t, int64_t, int64_t p, const T* sum) { copy(out_.dbias, p, sum); });
  }

  void shortcut() {
    const Panels panels = Panels::linear(tiling<T>(), layer_.out);
    Buffer<const T*> table(static_cast<size_t>(rows_.count));
    skipped(layer_, input_, zero_.data()).point(rows_, 0, rows_.count, table.data());
    const auto panel_at = [&](int64_t p) { return Columns{panels.first(p), panels.padded(p)}; };
    const auto sums = [&](int64_t channels, T* to) {
      outer_pass(rows_, table.data(), 1, channels, dskip_.data.data(), dskip_.stride, panels.count(),
                 panel_at, [&](int64_t, int64_t first, int64_t height, int64_t p, const T* sum) {
                   for (int64_t i = 0; i < height; ++i)
                     std::copy(sum + i * panels.padded(p), sum + i * panels.padded(p) + panels.width(p),
                               to + (first + i) * layer_.out + panels.first(p));
                 });
    };
    sums(layer_.in, out_.dshortcut);
    std::fill(table.begin(), table.end(), &one_);
    if (out_.dshortcut_bias) sums(1, out_.dshortcut_bias);
  }

  const Layer<T>& layer_;
  const Input<T>& input_;
  const T* dy_;
  const Gradients<T>& out_;
  const Buffer<T> zero_;
  const T one_;
  const bool* counted_;
  const Rows rows_;
  const Panels panels_;
  Gradient<T> dz_, dskip_;
};

}  // namespace

template <class T>
void backward(const Layer<T>& layer, const Input<T>& input, const T* dy, const Gradients<T>& out) {
  Backward<T>(layer, input, dy, out).run();
}

template void backward(const Layer<float>&, const Input<float>&, const float*, const Gradients<float>&);
template void backward(const Layer<double>&, const Input<double>&, const double*, const Gradients<double>&);

}  // namespace kxfast::conv
