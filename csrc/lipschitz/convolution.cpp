// Convolutions as products on the register tile of csrc/conv.
//
// With channels last, an output pixel is a sum over taps of an input pixel's channels times the tap's matrix:
// rows are read in place through pointers, a row of zeros stands for padding, and stride, dilation, wrapped
// padding and the transpose are nothing but other pointers (sides.cpp). Innermost are channels (see
// conv/simd/linear.cpp); the limit is the rate of multiply-adds. Blocks of rows times panels of columns are
// the tasks. Where tiles multiply bfloat16 (AMX), floats go there in three parts (halves.cpp).
#include "lipschitz/convolution.hpp"

#include "conv/common.hpp"

namespace kxfast::lipschitz {

template <class T>
typename Convolution<T>::Weights Convolution<T>::pack(const Side& side, const T* weight) const {
  Weights made;
  for (const Part& part : side.parts)
    for (int64_t g = 0; g < moves.groups; ++g)
      made.emplace_back(weight + g * moves.outputs * moves.inputs * moves.taps(), side.offsets(part, moves),
                        side.step(moves), side.back ? moves.inputs : moves.outputs, conv::tiling<T>());
  return made;
}

template <class T>
Convolution<T>::Convolution(const T* weight, const Moves& given, bool filtered, bool forward) : moves(given) {
  const bool halves = sizeof(T) == 4 && HalfConvolution::suits(given, false) &&
                      (forward || HalfConvolution::suits(given, true));
  if (filtered && Winograd<T>::suits(given) && !(halves && forward)) {
    filter_ = std::make_unique<Winograd<T>>(weight, given, false);
    if (!forward) back_filter_ = std::make_unique<Winograd<T>>(weight, given, true);
    return;
  }
  if constexpr (sizeof(T) == 4)
    if (halves) {
      halves_ = std::make_unique<HalfConvolution>(weight, given, false);
      if (!forward) back_halves_ = std::make_unique<HalfConvolution>(weight, given, true);
      return;
    }
  forward_ = forward_side(given);
  if (!forward) back_ = back_side(given);
  weights_ = pack(forward_, weight);
  back_weights_ = pack(back_, weight);
}

template <class T>
void Convolution<T>::run(const Side& side, const Weights& weights, const T* from, const T* bias, T* to,
                         int64_t batch) const {
  const auto kernel = conv::linear_kernel<T>();
  const int64_t groups = moves.groups, channels = side.from_channels / groups;
  const Buffer<T> zero = conv::zeros<T>(side.from_channels);
  for (size_t p = 0; p < side.parts.size(); ++p) {
    const Part& part = side.parts[p];
    const int64_t each = static_cast<int64_t>(part.number.size()), rows = each * batch;
    const int64_t taps = static_cast<int64_t>(part.taps.size()),
                  panels = weights[p * static_cast<size_t>(groups)].panels.count();
    const int64_t height = std::min<int64_t>(120, (rows + 5) / 6 * 6), blocks = (rows + height - 1) / height;
    const auto task = [&](int64_t i) {
      const int64_t block = i / (groups * panels), g = i / panels % groups, panel = i % panels;
      const auto& weight = weights[p * static_cast<size_t>(groups) + static_cast<size_t>(g)];
      const int64_t begin = block * height, count = std::min(height, rows - begin),
                    width = weight.panels.width(panel);
      Buffer<const T*> table(static_cast<size_t>(count * std::max<int64_t>(taps, 1)));
      Buffer<int64_t> number(static_cast<size_t>(count));
      for (int64_t r = 0; r < count; ++r) {
        const int64_t sample = (begin + r) / each, row = (begin + r) % each;
        number[static_cast<size_t>(r)] = sample * side.to_rows + part.number[static_cast<size_t>(row)];
        const T* base = from + sample * side.from_rows * side.from_channels + g * channels;
        for (int64_t t = 0; t < taps; ++t) {
          const int64_t at = part.meets[static_cast<size_t>(t * each + row)];
          table[static_cast<size_t>(t * count + r)] = at < 0 ? zero.data() : base + at * side.from_channels;
        }
      }
      const int64_t column = g * (side.to_channels / groups) + weight.panels.first(panel);
      constexpr int64_t kCached = (int64_t{400} << 10) / static_cast<int64_t>(sizeof(T));
      const int64_t most = std::max<int64_t>(1, kCached / (channels * weight.panels.size));
      for (int64_t t = 0; t < std::max<int64_t>(taps, 1); t += most)
        kernel({{table.data() + t * count, count, count, std::min(most, taps - t), channels},
                weight.panel(panel) + t * channels * weight.panels.padded(panel),
                bias && t == 0 ? bias + column : nullptr,
                width,
                number.data(),
                to + column,
                side.to_channels,
                t > 0});
    };
    const double work = static_cast<double>(rows * taps) * static_cast<double>(side.from_channels) *
                        static_cast<double>(side.to_channels / groups);
    parallel_for(blocks * groups * panels, task, work < 2e6 ? 1 : 0);
  }
}

template <class T>
void Convolution<T>::forward(const T* x, const T* bias, T* y, int64_t batch, Exactness exactness) const {
  if (filter_) return filter_->run(x, bias, y, batch);
  if constexpr (sizeof(T) == 4)
    if (halves_) return halves_->run(x, bias, y, batch, exactness);
  run(forward_, weights_, x, bias, y, batch);
}

template <class T>
void Convolution<T>::transposed(const T* y, T* x, int64_t batch, Exactness exactness) const {
  if (back_filter_) return back_filter_->run(y, nullptr, x, batch);
  if constexpr (sizeof(T) == 4)
    if (back_halves_) return back_halves_->run(y, nullptr, x, batch, exactness);
  run(back_, back_weights_, y, nullptr, x, batch);
}

template class Convolution<float>;
template class Convolution<double>;

}  // namespace kxfast::lipschitz
