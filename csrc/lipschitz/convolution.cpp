// Convolutions as products on the register tile of csrc/conv.
//
// With channels last, an output pixel is a sum over taps of an input pixel's channels times the tap's matrix:
// rows are read in place through pointers, a row of zeros stands for padding, and stride, dilation, wrapped
// padding and the transpose are nothing but other pointers. For the transpose with a stride, pixels of the
// same phase meet the same taps and form a part of their own, so that no product with zeros is computed. A
// pixel that wrapped padding uses several times for one tap meets it several times. Innermost are channels
// (see conv/simd/linear.cpp); the limit is the rate of multiply-adds. Blocks of rows times panels of columns
// are the tasks.
#include "lipschitz/convolution.hpp"

#include "conv/common.hpp"

namespace kxfast::lipschitz {
namespace {

// The input position of tap t of output o, or -1 where padding holds zeros.
int64_t met(const Moves& m, int d, int64_t o, int64_t t) {
  const int64_t at = o * m.stride[d] + t * m.dilation[d] - m.padding[d];
  if (m.circular) return (at % m.size[d] + m.size[d]) % m.size[d];
  return at >= 0 && at < m.size[d] ? at : -1;
}

}  // namespace

template <class T>
typename Convolution<T>::Side Convolution<T>::forward_side() const {
  const Moves& m = moves;
  Side side{{}, {}, m.pixels(), m.groups * m.inputs, m.out_pixels(), m.groups * m.outputs};
  Part part;
  for (int64_t i = 0; i < m.out_pixels(); ++i) part.number.push_back(i);
  for (int64_t t = 0; t < m.taps(); ++t) {
    part.taps.push_back(t);
    for (int64_t i = 0; i < m.out_pixels(); ++i) {
      const int64_t y = met(m, 0, i / m.out[1], t / m.kernel[1]),
                    x = met(m, 1, i % m.out[1], t % m.kernel[1]);
      part.meets.push_back(y < 0 || x < 0 ? -1 : y * m.size[1] + x);
    }
  }
  side.parts.push_back(std::move(part));
  return side;
}

template <class T>
typename Convolution<T>::Side Convolution<T>::back_side() const {
  const Moves& m = moves;
  Side side{{}, {}, m.out_pixels(), m.groups * m.outputs, m.pixels(), m.groups * m.inputs};
  const Side forward = forward_side();
  const Part& all = forward.parts[0];
  std::vector<std::vector<int64_t>> users(static_cast<size_t>(m.taps() * m.pixels()));  // outputs of each
  for (int64_t t = 0; t < m.taps(); ++t)
    for (int64_t i = 0; i < m.out_pixels(); ++i) {
      const int64_t at = all.meets[static_cast<size_t>(t * m.out_pixels() + i)];
      if (at >= 0) users[static_cast<size_t>(t * m.pixels() + at)].push_back(i);
    }
  for (int64_t phase = 0; phase < m.stride[0] * m.stride[1]; ++phase) {
    Part part;
    for (int64_t i = 0; i < m.pixels(); ++i)
      if (i / m.size[1] % m.stride[0] == phase / m.stride[1] &&
          i % m.size[1] % m.stride[1] == phase % m.stride[1])
        part.number.push_back(i);
    for (int64_t t = 0; t < m.taps(); ++t) {
      const auto of = [&](int64_t i) -> const std::vector<int64_t>& {
        return users[static_cast<size_t>(t * m.pixels() + i)];
      };
      size_t most = 0;
      for (const int64_t i : part.number) most = std::max(most, of(i).size());
      for (size_t copy = 0; copy < most; ++copy) {
        part.taps.push_back(t);
        for (const int64_t i : part.number) part.meets.push_back(copy < of(i).size() ? of(i)[copy] : -1);
      }
    }
    if (!part.number.empty()) side.parts.push_back(std::move(part));
  }
  return side;
}

template <class T>
void Convolution<T>::pack(Side& side, const T* weight, bool back) const {
  const int64_t taps = moves.taps(), each = moves.inputs * taps,
                channels = back ? moves.outputs : moves.inputs;
  for (const Part& part : side.parts)
    for (int64_t g = 0; g < moves.groups; ++g) {
      Buffer<int64_t> offset(part.taps.size() * static_cast<size_t>(channels));
      int64_t* to = offset.data();
      for (const int64_t tap : part.taps)
        for (int64_t c = 0; c < channels; ++c) *to++ = tap + c * (back ? each : taps);
      side.weights.emplace_back(weight + g * moves.outputs * each, std::move(offset), back ? taps : each,
                                back ? moves.inputs : moves.outputs, conv::tiling<T>());
    }
}

template <class T>
Convolution<T>::Convolution(const T* weight, const Moves& given, bool filtered) : moves(given) {
  if (filtered && Winograd<T>::suits(given)) {
    filter_ = std::make_unique<Winograd<T>>(weight, given, false);
    back_filter_ = std::make_unique<Winograd<T>>(weight, given, true);
    return;
  }
  forward_ = forward_side();
  back_ = back_side();
  pack(forward_, weight, false);
  pack(back_, weight, true);
}

template <class T>
void Convolution<T>::run(const Side& side, const T* from, const T* bias, T* to, int64_t batch) const {
  const auto kernel = conv::linear_kernel<T>();
  const int64_t groups = moves.groups, channels = side.from_channels / groups;
  const Buffer<T> zero = conv::zeros<T>(side.from_channels);
  for (size_t p = 0; p < side.parts.size(); ++p) {
    const Part& part = side.parts[p];
    const int64_t each = static_cast<int64_t>(part.number.size()), rows = each * batch;
    const int64_t taps = static_cast<int64_t>(part.taps.size()),
                  panels = side.weights[p * static_cast<size_t>(groups)].panels.count();
    const int64_t height = std::min<int64_t>(120, (rows + 5) / 6 * 6), blocks = (rows + height - 1) / height;
    const auto task = [&](int64_t i) {
      const int64_t block = i / (groups * panels), g = i / panels % groups, panel = i % panels;
      const auto& weight = side.weights[p * static_cast<size_t>(groups) + static_cast<size_t>(g)];
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
void Convolution<T>::forward(const T* x, const T* bias, T* y, int64_t batch) const {
  filter_ ? filter_->run(x, bias, y, batch) : run(forward_, x, bias, y, batch);
}

template <class T>
void Convolution<T>::transposed(const T* y, T* x, int64_t batch) const {
  back_filter_ ? back_filter_->run(y, nullptr, x, batch) : run(back_, y, nullptr, x, batch);
}

template class Convolution<float>;
template class Convolution<double>;

}  // namespace kxfast::lipschitz
