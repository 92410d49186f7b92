// Gradients of one layer.
//
// Candidates and gates are those that the forward pass has kept, or are computed again, block by block; they
// are finished on the register tile as dz, the gradient of both (and of what is skipped). The gradient of the
// input is the same kind of product: rows of dz, shifted the other way, with the transposed weights. The
// gradient of the weights is a sum of outer products over rows; a task owns some of its elements and takes
// the rows in blocks of 96, in order, so that there is nothing to add up afterwards and no result depends on
// the number of threads. With what was kept, a forward and a backward are 3 products, otherwise 4.
// Three taps over many rows in float go by filtered_backward.hpp.
#include <optional>

#include "conv/norm.hpp"
#include "conv/packed.hpp"

namespace kxfast::conv {
namespace {

// Gradients of some sequences: those of the weights are added to what is there, unless `fresh`.
template <class T>
class Backward {
 public:
  Backward(const Layer<T>& layer, const Gradients<T>& sums, int64_t sequences, int64_t length, bool few,
           bool kept, bool filtered)
      : layer_(layer),
        sums_(sums),
        zero_(zeros<T>(std::max(layer.in, layer.out))),
        one_(T{1}),
        panels_(Panels::gated(tiling<T>(), layer.out)),
        dz_(sequences * length, 2 * panels_.padded_total()),
        dskip_(layer.shortcut ? sequences * length : 0, layer.shortcut ? layer.out : 0),
        packed_(kept_weights(layer)) {
    if constexpr (std::is_same_v<T, float>)
      if (filtered)
        filtered_.emplace(layer, panels_, packed_ ? &*packed_->filtered_back : nullptr,
                          few && few_rows(dz_.rows));
    if (!packed_) {
      if (!filtered)
        made_back_.emplace(layer.weight, transposed_rows(layer, panels_), 2 * layer.out, layer.in,
                           tiling<T>());
      if (!kept) made_forward_.emplace(layer, tiling<T>(), few ? sequences * length : INT64_MAX);
    }
    weight_ = kept ? nullptr : packed_ ? &packed_->forward : &*made_forward_;
    back_ = packed_ ? &packed_->back : made_back_ ? &*made_back_ : nullptr;
  }

  void run(const Input<T>& input, const T* dy, T* dx, bool fresh) {
    const bool* counted = layer_.skip == Skip::add ? nullptr : input.mask;
    const Rows rows(counted, input.batch, input.length);
    if (rows.count < rows.all) clear_hidden(rows, dx);
    gates(input, rows, dy, dx);
    inputs(input, counted, dx);
    if (!filtered_) weights(input, rows, fresh);
    if (layer_.shortcut) shortcut(input, rows, fresh);
  }

  // After the last run.
  void finish() {
    if constexpr (std::is_same_v<T, float>)
      if (filtered_) filtered_->finish(sums_.dweight, sums_.dbias);
  }

 private:
  void gates(const Input<T>& input, const Rows& rows, const T* dy, T* dx) {
    const Buffer<T> scale = gate_scales(layer_, input, rows);
    const Buffer<T> projected =
        layer_.skip == Skip::gated ? project(layer_, input, rows, zero_.data()) : Buffer<T>();
    const Buffer<const T*> skip = skip_rows(layer_, input, rows, projected, zero_.data());
    GatedBlock<T> common{};
    common.channels = layer_.out;
    common.skip = layer_.skip;
    common.sign = layer_.sign();
    common.scale = scale.data();
    common.skipped = skip.data();
    common.dy = dy;
    common.dz = dz_.data.data();
    common.dz_stride = dz_.stride;
    common.dskip = layer_.skip == Skip::none ? nullptr : layer_.shortcut ? dskip_.data.data() : dx;
    common.dskip_stride = layer_.shortcut ? dskip_.stride : layer_.in;
    common.parts = input.parts;
    if (weight_) {
      const auto kernel = layer_.gamma ? KXFAST_PICK(GatedKernel<T>, gated_parts)
                                       : KXFAST_PICK(GatedKernel<T>, gated_backward);
      gated_pass(kernel, rows, layer_, convolved(layer_, input, zero_.data()), *weight_, common,
                 [](int64_t, int64_t) {});
    } else {
      const auto kernel =
          layer_.gamma ? KXFAST_PICK(GatedKernel<T>, kept_parts) : KXFAST_PICK(GatedKernel<T>, kept_backward);
      kept_pass(kernel, rows, panels_, common);
    }
    if (layer_.gamma)
      normalize_backward(layer_, rows, panels_, scale.data(), dy, dz_.data.data(), dz_.stride, sums_);
  }

  // dx = dz, shifted back, with the transposed weights, plus what the skip connection hands back; where
  // products are filtered, together with the gradients of the weights.
  void inputs(const Input<T>& input, const bool* counted, T* dx) {
    const bool* shown = layer_.mask_input ? input.mask : nullptr;
    const Rows rows(shown, input.batch, input.length);
    const Source<T> source{dz_.data.data(), dz_.stride,       counted,     dz_.zero(),
                           layer_.taps,     -layer_.dilation, -layer_.left};
    const bool skips = layer_.skip != Skip::none && !layer_.shortcut;
    if (filtered_)
      filtered(input, source, shown, counted, dx, skips);
    else
      linear_pass(rows, source, *back_, dz_.columns, static_cast<const T*>(nullptr), dx, layer_.in, skips);
    if (layer_.shortcut) {
      const LinearWeight<T> back(layer_.shortcut, progression(layer_.out, 1), layer_.out, layer_.in,
                                 tiling<T>());
      const Source<T> from{dskip_.data.data(), dskip_.stride, counted, dskip_.zero(), 1, 0, 0};
      linear_pass(rows, from, back, layer_.out, static_cast<const T*>(nullptr), dx, layer_.in, true);
    }
    if (rows.count < rows.all && shown != counted) clear_hidden(rows, dx);
  }

  void clear_hidden(const Rows& rows, T* dx) {
    if (rows.count == 0)
      std::fill(dx, dx + rows.all * layer_.in, T{0});
    else
      rows.clear_others(dx, layer_.in, 0, rows.count);
  }

  void weights(const Input<T>& input, const Rows& rows, bool fresh) {
    const Source<T> source = convolved(layer_, input, zero_.data());
    Buffer<const T*> table(static_cast<size_t>(rows.count * layer_.taps));
    source.point(rows, 0, rows.count, table.data());
    const auto panel_at = [&](int64_t p) { return Columns{2 * panels_.first(p), 2 * panels_.padded(p)}; };
    const auto copy = [&](T* to, int64_t p, const T* sum) {
      const int64_t first = panels_.first(p), width = panels_.width(p), padded = panels_.padded(p);
      put(sum, width, to + layer_.candidates() + first, fresh);
      put(sum + padded, width, to + layer_.gates() + first, fresh);
    };
    const Buffer<const T*> z = dz_.at(rows);
    const auto from = [&](int64_t tap) { return Factors<T>{table.data() + tap * rows.count, z.data()}; };
    outer_pass<T>(rows.count, layer_.taps, layer_.in, from, panels_.count(), panel_at,
                  [&](int64_t tap, int64_t first, int64_t height, int64_t p, const T* sum) {
                    for (int64_t i = 0; i < height; ++i)
                      copy(sums_.dweight + (tap * layer_.in + first + i) * 2 * layer_.out, p,
                           sum + i * 2 * panels_.padded(p));
                  });
    if (!sums_.dbias) return;
    std::fill(table.begin(), table.begin() + rows.count, &one_);
    outer_pass<T>(rows.count, 1, 1, from, panels_.count(), panel_at,
                  [&](int64_t, int64_t, int64_t, int64_t p, const T* sum) { copy(sums_.dbias, p, sum); });
  }

  void shortcut(const Input<T>& input, const Rows& rows, bool fresh) {
    const Panels panels = Panels::linear(tiling<T>(), layer_.out);
    Buffer<const T*> table(static_cast<size_t>(rows.count));
    skipped(layer_, input, zero_.data()).point(rows, 0, rows.count, table.data());
    const auto panel_at = [&](int64_t p) { return Columns{panels.first(p), panels.padded(p)}; };
    const Buffer<const T*> z = dskip_.at(rows);
    const auto from = [&](int64_t) { return Factors<T>{table.data(), z.data()}; };
    const auto sums = [&](int64_t channels, T* to) {
      outer_pass<T>(rows.count, 1, channels, from, panels.count(), panel_at,
                    [&](int64_t, int64_t first, int64_t height, int64_t p, const T* sum) {
                      for (int64_t i = 0; i < height; ++i)
                        put(sum + i * panels.padded(p), panels.width(p),
                            to + (first + i) * layer_.out + panels.first(p), fresh);
                    });
    };
    sums(layer_.in, sums_.dshortcut);
    std::fill(table.begin(), table.end(), &one_);
    if (sums_.dshortcut_bias) sums(1, sums_.dshortcut_bias);
  }

  void filtered(const Input<T>& input, const Source<T>& dz, const bool* shown, const bool* counted, T* dx,
                bool add) {
    if constexpr (std::is_same_v<T, float>) {
      const Pairs pairs(counted, input.batch, input.length, layer_.dilation);
      std::optional<Pairs> others;
      if (shown != counted) others.emplace(shown, input.batch, input.length, layer_.dilation);
      filtered_->run({others ? *others : pairs, dz, dx, add},
                     {pairs, convolved(layer_, input, zero_.data()), dz_, sums_.dweight, sums_.dbias});
    }
  }

  const Layer<T>& layer_;
  const Gradients<T>& sums_;
  const Buffer<T> zero_;
  const T one_;
  const Panels panels_;
  Gradient<T> dz_, dskip_;
  const Packed<T>* packed_;
  std::optional<GatedWeight<T>> made_forward_;
  std::optional<LinearWeight<T>> made_back_;
  const GatedWeight<T>* weight_;  // where candidates and gates are computed again; or null
  const LinearWeight<T>* back_;
  std::optional<FilteredBackward> filtered_;
};

}  // namespace

template <class T>
void backward(const Layer<T>& layer, const Input<T>& input, const T* dy, const Gradients<T>& out) {
  const int64_t group = group_size(layer, input);
  if (layer.gamma) {
    std::fill(out.dgamma, out.dgamma + layer.out, T{0});
    std::fill(out.dbeta, out.dbeta + layer.out, T{0});
  }
  bool filtered = false;
  if constexpr (std::is_same_v<T, float>)
    filtered =
        filtering_suits(layer, layer.skip == Skip::add ? nullptr : input.mask, input.batch, input.length);
  Backward<T> gradients(layer, out, group, input.length, group >= input.batch, input.parts != nullptr,
                        filtered);
  by_groups(layer, input, [&](const Input<T>& part, int64_t row, bool fresh) {
    gradients.run(part, dy + row * layer.out, out.dx + row * layer.in, fresh);
  });
  gradients.finish();
}

template void backward(const Layer<float>&, const Input<float>&, const float*, const Gradients<float>&);
template void backward(const Layer<double>&, const Input<double>&, const double*, const Gradients<double>&);

}  // namespace kxfast::conv
