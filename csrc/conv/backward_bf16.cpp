// Gradients of one layer whose products are of bfloat16 with sums in float.
//
// The passes are those of backward.cpp. dz is made from candidates and gates that were kept in float (without
// them they are computed again into a buffer) and rounded once, in two orders: by rows, and with two rows
// side by side, since one instruction multiplies two neighbours of a sum, and dW sums over rows. The rows of
// x, shifted by each tap, are brought into an order for that too, a few channels together, before they are
// multiplied: pairs (two percent of the time; packing them in each task would be, estimated, an eighth), or
// tiles of AMX, transposed. What is skipped and the product for dx are summed up in float, for a group of
// sequences that stays in the cache, and rounded once.
#include <optional>

#include "conv/outer_pairs.hpp"
#include "conv/outer_tiles.hpp"
#include "conv/packed.hpp"

namespace kxfast::conv {
namespace {

class HalfBackward {
 public:
  HalfBackward(const Layer<Bfloat16>& layer, const Gradients<Bfloat16>& sums, int64_t rows, bool kept)
      : layer_(layer),
        sums_(sums),
        zero_(zeros<Bfloat16>(std::max(layer.in, layer.out))),
        panels_(Panels::gated(tiling<Bfloat16>(), layer.out)),
        dz_(rows, 2 * panels_.padded_total()),
        pairs_((rows + 31) / 32 * 16, 2 * dz_.columns),
        packed_(kept_weights(layer)) {
    if (!packed_) {
      made_back_.emplace(layer.weight, transposed_rows(layer, panels_), 2 * layer.out, layer.in,
                         tiling<Bfloat16>());
      if (!kept) made_forward_.emplace(layer, tiling<Bfloat16>(), rows);
    }
    if (!kept) parts_ = Buffer<float>(static_cast<size_t>(rows * 2 * layer.out));
    if (layer.skip != Skip::none) dx_ = Buffer<float>(static_cast<size_t>(rows * layer.in));
  }

  void run(const Input<Bfloat16>& input, const Bfloat16* dy, Bfloat16* dx, bool fresh) {
    const bool* counted = layer_.skip == Skip::add ? nullptr : input.mask;
    const Rows rows(counted, input.batch, input.length);
    gates(input, rows, dy);
    inputs(input, counted, dx);
    weights(input, rows, fresh);
  }

 private:
  void gates(const Input<Bfloat16>& input, const Rows& rows, const Bfloat16* dy) {
    const Buffer<float> scale = gate_scales(layer_, input, rows);
    const Buffer<const Bfloat16*> skip = skip_rows(layer_, input, rows, Buffer<Bfloat16>(), zero_.data());
    GatedBlock<Bfloat16> common{};
    common.channels = layer_.out;
    common.skip = layer_.skip;
    common.sign = layer_.sign();
    common.scale = scale.data();
    common.skipped = skip.data();
    if (!input.parts) {
      GatedBlock<Bfloat16> again = common;
      again.kept = parts_.data();
      gated_pass(forward_kernel<Bfloat16>(), rows, layer_, convolved(layer_, input, zero_.data()),
                 packed_ ? packed_->forward : *made_forward_, again, [](int64_t, int64_t) {});
    }
    if (input.mask) std::fill(dx_.begin(), dx_.end(), 0.0f);
    common.parts = input.parts ? input.parts : parts_.data();
    common.dy = dy;
    common.dz = dz_.data.data();
    common.dz_stride = dz_.stride;
    common.dskip = dx_.data();
    common.dskip_stride = layer_.in;
    common.pairs = pairs_.data.data();
    common.pairs_stride = pairs_.stride / 2;
    kept_pass(KXFAST_PICK_HALF(GatedKernel<Bfloat16>, kept_backward), rows, panels_, common);
  }

  void inputs(const Input<Bfloat16>& input, const bool* counted, Bfloat16* dx) {
    const Rows rows(layer_.mask_input ? input.mask : nullptr, input.batch, input.length);
    const Source<Bfloat16> source{dz_.data.data(), dz_.stride,       counted,     dz_.zero(),
                                  layer_.taps,     -layer_.dilation, -layer_.left};
    const LinearWeight<Bfloat16>& back = packed_ ? packed_->back : *made_back_;
    Buffer<float> partial;
    if (!dx_.size()) partial = Buffer<float>(static_cast<size_t>(rows.all * layer_.in));
    linear_pass(rows, source, back, dz_.columns, static_cast<const Bfloat16*>(nullptr),
                dx_.size() ? dx_.data() : partial.data(), layer_.in, dx_.size() > 0, dx);
    if (rows.count == 0)
      std::fill(dx, dx + rows.all * layer_.in, Bfloat16{0});
    else if (rows.count < rows.all)
      rows.clear_others(dx, layer_.in, 0, rows.count);
  }

  void weights(const Input<Bfloat16>& input, const Rows& rows, bool fresh) {
    const Source<Bfloat16> source = convolved(layer_, input, zero_.data());
    Buffer<const Bfloat16*> table(static_cast<size_t>(rows.count * layer_.taps));
    source.point(rows, 0, rows.count, table.data());
    outer_sums(rows.count, table.data(), layer_.taps, layer_.in, sums_.dweight, fresh);
    if (!sums_.dbias) return;
    const Bfloat16 one{0x3F80};
    std::fill(table.begin(), table.begin() + rows.count, &one);
    outer_sums(rows.count, table.data(), 1, 1, sums_.dbias, fresh);
  }

  // to [+]= sum over rows of x z, for all taps and channels of x and all columns of z.
  void outer_sums(int64_t count, const Bfloat16* const* table, int64_t taps, int64_t channels, float* to,
                  bool fresh) {
    const auto write = [&](int64_t tap, int64_t first, int64_t height, int64_t p, const float* sum) {
      const int64_t padded = panels_.padded(p), width = panels_.width(p);
      for (int64_t n = 0; n < height; ++n, sum += 2 * padded) {
        float* row = to + (tap * channels + first + n) * 2 * layer_.out + panels_.first(p);
        put(sum, width, row + layer_.candidates(), fresh);
        put(sum + padded, width, row + layer_.gates(), fresh);
      }
    };
#ifdef KXFAST_X86
    if (!in_tiles<Bfloat16>())
      return outer_pairs_pass({table, count, taps, channels, zero_.data()}, pairs_, panels_, write);
#endif
    outer_tiles_pass({table, count, taps, channels, zero_.data()}, pairs_, panels_, write);
  }

  const Layer<Bfloat16>& layer_;
  const Gradients<Bfloat16>& sums_;
  const Buffer<Bfloat16> zero_;
  const Panels panels_;
  Gradient<Bfloat16> dz_, pairs_;  // pairs_: two rows side by side
  const Packed<Bfloat16>* packed_;
  std::optional<GatedWeight<Bfloat16>> made_forward_;
  std::optional<LinearWeight<Bfloat16>> made_back_;
  Buffer<float> parts_, dx_;  // candidates and gates computed again; what is skipped and the product
};

}  // namespace

template <>
void backward(const Layer<Bfloat16>& layer, const Input<Bfloat16>& input, const Bfloat16* dy,
              const Gradients<Bfloat16>& out) {
  HalfBackward gradients(layer, out, group_size(layer, input) * input.length, input.parts != nullptr);
  by_groups(layer, input, [&](const Input<Bfloat16>& part, int64_t row, bool fresh) {
    gradients.run(part, dy + row * layer.out, out.dx + row * layer.in, fresh);
  });
}

}  // namespace kxfast::conv
