// A convolution without a gate: the products of gated and of linear panels (common.hpp), whose endings (bias,
// relu, sum of two halves) are applied to the register tile. A max-pool reads the positions of some sequences
// from the cache, before the next ones are computed: larger arrays are written once, pooled.
#include "conv/plain.hpp"

#include <optional>

#include "conv/common.hpp"

namespace kxfast::conv {
namespace {

constexpr int64_t kGroup = int64_t{1} << 20;  // bytes of positions that wait to be pooled

template <class T>
class Convolution {
 public:
  Convolution(const Plain<T>& plain, int64_t rows)
      : plain_(plain), zero_(zeros<T>(plain.in)), layer_(as_layer(plain)) {
    if (plain.ending == Ending::relu_pair_sum)
      pairs_.emplace(layer_, tiling<T>(), rows);
    else
      linear_.emplace(plain.weight, progression(plain.taps * plain.in, plain.columns), 1, plain.columns,
                      tiling<T>());
  }

  void run(const Input<T>& input, T* y) const {
    const Rows rows(nullptr, input.batch, input.length);
    const Source<T> source{input.x,     input.row,       input.mask,  zero_.data(),
                           plain_.taps, plain_.dilation, plain_.left, input.extra()};
    if (linear_) {
      const bool relu = plain_.ending == Ending::relu;
      linear_pass<T>(rows, source, *linear_, plain_.in, plain_.bias, y, plain_.columns, false, nullptr, relu);
      return;
    }
    GatedBlock<T> common{};
    common.channels = layer_.out;
    common.y = y;
    gated_pass(KXFAST_PICK(GatedKernel<T>, relu_pair_sum), rows, layer_, source, *pairs_, common,
               [](int64_t, int64_t) {});
  }

 private:
  // Its halves as candidates and gates.
  static Layer<T> as_layer(const Plain<T>& plain) {
    Layer<T> layer{};
    layer.weight = plain.weight, layer.bias = plain.bias;
    layer.taps = plain.taps, layer.in = plain.in, layer.out = plain.columns / 2;
    layer.dilation = plain.dilation, layer.left = plain.left;
    return layer;
  }

  const Plain<T>& plain_;
  const Buffer<T> zero_;
  const Layer<T> layer_;
  std::optional<GatedWeight<T>> pairs_;
  std::optional<LinearWeight<T>> linear_;
};

}  // namespace

template <class T>
void dilated(const Plain<T>& plain, const Input<T>& input, T* y) {
  const Convolution<T> convolution(plain, input.batch * input.length);
  if (plain.pool == 1) return convolution.run(input, y);
  const auto kernel = KXFAST_PICK(void (*)(const PoolBlock<T>&), pool_rows);
  const int64_t out = plain.out(), size = input.length * out, windows = input.length / plain.pool;
  const int64_t bytes = std::max<int64_t>(1, size * static_cast<int64_t>(sizeof(T)));
  const int64_t group = std::max<int64_t>(1, std::min(input.batch, kGroup / bytes));
  Buffer<T> positions(static_cast<size_t>(group * size));
  for (int64_t b = 0; b < input.batch; b += group) {
    const int64_t row = b * input.length, batch = std::min(group, input.batch - b);
    convolution.run({input.x + b * input.sequence, input.mask ? input.mask + row : nullptr, batch,
                     input.length, input.row, input.sequence},
                    positions.data());
    constexpr int64_t kEach = 64;
    const int64_t stretches = (windows + kEach - 1) / kEach;
    const auto task = [&](int64_t i) {
      const int64_t sequence = i / stretches, begin = i % stretches * kEach;
      for (int64_t w = begin; w < std::min(windows, begin + kEach); ++w)
        kernel({Pool::largest, positions.data() + sequence * size + w * plain.pool * out, nullptr, nullptr,
                plain.pool, out, out, y + ((b + sequence) * windows + w) * out});
    };
    parallel_for(batch * stretches, task, batch * size < (1 << 17) ? 1 : 0);
  }
}

template void dilated(const Plain<float>&, const Input<float>&, float*);
template void dilated(const Plain<double>&, const Input<double>&, double*);

}  // namespace kxfast::conv
