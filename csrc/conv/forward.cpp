// One layer forward: rows that a mask leaves, in blocks, by panels of channels; each panel is finished in
// registers. A block also clears the masked rows around its own, so that no pass over y is made for them.
#include <optional>
#include <type_traits>

#include "conv/filtering_few.hpp"
#include "conv/norm.hpp"
#include "conv/packed.hpp"

namespace kxfast::conv {

namespace {

// Three taps over many rows, by minimal filtering.
void filtered(const Layer<float>& layer, const Input<float>& input, const float* zero, const float* scale,
              const Buffer<float>& projected, float* y, float* kept) {
  const bool* counted = layer.skip == Skip::add ? nullptr : input.mask;
  const Pairs pairs(counted, input.batch, input.length, layer.dilation);
  Source<float> source = skipped(layer, input, zero);
  if (projected.size()) source = {projected.data(), layer.out, nullptr, zero, 1, 0, 0};
  const Buffer<const float*> skip = skipped_pairs(pairs, source);
  const Packed<float>* packed = kept_weights(layer);
  GatedBlock<float> common{};
  common.channels = layer.out;
  common.skip = layer.skip;
  common.sign = layer.sign();
  common.scale = scale;
  common.skipped = skip.data();
  common.y = y;
  common.kept = kept;
  const Source<float> from = convolved(layer, input, zero);
  const auto kernel = KXFAST_PICK(GatedKernel<float>, filtered_forward);
  const auto multiply = [&](const Panels& panels, int64_t p, const float* weight, const Products<float>& in,
                            int64_t begin) {
    GatedBlock<float> block = common;
    aim(block, pairs.number(begin), 2 * begin, panels.first(p));
    block.width = panels.width(p);
    block.candidate = weight;
    block.gate = weight + panels.padded(p);
    block.step = 2 * panels.padded(p);
    point_bias(layer, panels.first(p), block);
    block.in = in;
    kernel(block);
  };
  const PointWeight<Straight>* kept_panels = packed ? &*packed->filtered_forward : nullptr;
  if (few_rows(2 * pairs.count)) {
    const Straight own(layer);
    const auto few = [&](int64_t p, const float* weight, const PairValues& values, int64_t begin,
                         int64_t count) { multiply(own.panels, p, weight, values.of(0, count), begin); };
    PanelsOfFew tasks(own, kept_panels, pairs, from, layer.in, layer.in, few);
    parallel_for(tasks.tasks(), tasks);
  } else {
    std::optional<PointWeight<Straight>> made;
    const PointWeight<Straight>& weight = kept_panels ? *kept_panels : made.emplace(layer);
    const Panels& panels = weight.kind.panels;
    over_pairs(pairs, from, layer.in, [&](const Products<float>& in, int64_t begin) {
      for (int64_t p = 0; p < panels.count(); ++p) multiply(panels, p, weight.panel(p), in, begin);
    });
  }
  if (counted) clear(counted, input.batch * input.length, layer.out, y);
  if (counted && kept) clear(counted, input.batch * input.length, 2 * layer.out, kept);
}

}  // namespace

template <class T>
void forward(const Layer<T>& layer, const Input<T>& input, T* y, Wide<T>* kept) {
  constexpr bool kUsual = std::is_same_v<T, Wide<T>>;
  const Rows rows(layer.skip == Skip::add ? nullptr : input.mask, input.batch, input.length);
  if (rows.count == 0) {
    std::fill(y, y + rows.all * layer.out, T{0});
    if (kept) std::fill(kept, kept + rows.all * 2 * layer.out, Wide<T>{0});
    return;
  }
  const Buffer<T> zero = zeros<T>(std::max(layer.in, layer.out));
  const Buffer<Wide<T>> scale = gate_scales(layer, input, rows);
  Buffer<T> projected;
  if constexpr (kUsual) projected = project(layer, input, rows, zero.data());
  if constexpr (std::is_same_v<T, float>)
    if (filtering_suits(layer, layer.skip == Skip::add ? nullptr : input.mask, input.batch, input.length))
      return filtered(layer, input, zero.data(), scale.data(), projected, y, kept);
  const Buffer<const T*> skip = skip_rows(layer, input, rows, projected, zero.data());
  const Packed<T>* packed = kept_weights(layer);
  std::optional<GatedWeight<T>> made;
  const GatedWeight<T>& weight = packed ? packed->forward : made.emplace(layer, tiling<T>(), rows.count);
  GatedBlock<T> common{};
  common.channels = layer.out;
  common.skip = layer.gamma ? Skip::none : layer.skip;
  common.sign = layer.sign();
  common.scale = scale.data();
  common.skipped = skip.data();
  common.y = y;
  common.kept = kept;
  gated_pass(forward_kernel<T>(), rows, layer, convolved(layer, input, zero.data()), weight, common,
             [&](int64_t begin, int64_t end) {
               if (rows.count == rows.all) return;
               rows.clear_others(y, layer.out, begin, end);
               if (kept) rows.clear_others(kept, 2 * layer.out, begin, end);
             });
  if constexpr (kUsual)
    if (layer.gamma) normalize(layer, rows, skip.data(), y);
}

template void forward(const Layer<float>&, const Input<float>&, float*, float*);
template void forward(const Layer<Bfloat16>&, const Input<Bfloat16>&, Bfloat16*, float*);
template void forward(const Layer<double>&, const Input<double>&, double*, double*);

}  // namespace kxfast::conv
