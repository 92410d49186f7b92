// Convolutions with kernels of 2 to 5 taps a side by minimal filtering (Winograd; Lavin and Gray, CVPR 2016).
//
// Outputs are computed in tiles of 7 - k a side from patches of 6 pixels a side: both patch and kernel are
// turned into values at 6 points (36 in two dimensions), multiplied there, and turned back. What was a
// product of channels for each of 9 taps and each pixel is then one for each of 36 points and each 16 pixels:
// a quarter of the multiplications for 3 x 3, half in one dimension. Channels are innermost throughout. The
// products run on the register tile of csrc/conv, one point after another, so that its weights stay in the L2
// cache for all tiles of a pass; their rate is the limit, beside which the transforms (simd/patches.cpp) are
// a third for 64 channels. A pass takes as many tiles as leave their values near the cache. The rounding is
// some ulps more than that of a sum of products, 1e-6 of the norm in floats: right for vectors that are
// judged in double afterwards and for steps that are corrected later, not for results. Passes of half the
// size, which fit into the L2 cache, read the weights more often and lost; so did points one power of two of
// bytes apart, which fall into the same sets of the cache (a third slower).
#include "lipschitz/winograd.hpp"

#include "conv/common.hpp"
#include "lipschitz/convolution.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr int64_t kMostTaps = 5;

// A kernel's values at the points, the last of which is infinity: (points, taps).
template <class T>
void evaluate(int64_t points, int64_t taps, T* to) {
  constexpr double kAt[5] = {0, 1, -1, 2, -2}, kOver[5] = {4, -6, -6, 24, 24};
  if (points == 1) {
    to[0] = 1;
    return;
  }
  for (int64_t i = 0; i < points; ++i) {
    double power = i < 5 ? 1 / kOver[i] : 0;
    for (int64_t a = 0; a < taps; ++a, power *= i < 5 ? kAt[i] : 0)
      to[i * taps + a] = static_cast<T>(i < 5 ? power : a + 1 == taps);
  }
}

}  // namespace

template <class T>
bool Winograd<T>::suits(const Moves& m) {
  const auto few = [&](int d) { return m.kernel[d] <= kMostTaps && m.stride[d] == 1 && m.dilation[d] == 1; };
  const int64_t products = m.inputs * m.outputs, points = m.kernel[0] > 1 ? kPoints * kPoints : kPoints;
  // weights at the points are four times the kernel: beyond the caches reading them is all that is done
  const bool kept = points * m.groups * products * static_cast<int64_t>(sizeof(T)) <= 16 << 20;
  return !m.circular && few(0) && few(1) && m.kernel[1] > 1 && products >= 16 * 16 && kept;
}

template <class T>
Winograd<T>::Winograd(const T* weight, const Moves& m, bool back)
    : moves_(m),
      inputs_(back ? m.outputs : m.inputs),
      outputs_(back ? m.inputs : m.outputs),
      panels_(conv::Panels::linear(conv::tiling<T>(), outputs_)) {
  for (int d = 0; d < 2; ++d) {
    Axis& axis = axis_[d];
    axis.taps = m.kernel[d];
    axis.from = back ? m.out[d] : m.size[d], axis.to = back ? m.size[d] : m.out[d];
    axis.before = back ? m.kernel[d] - 1 - m.padding[d] : m.padding[d];
    axis.points = axis.taps > 1 ? kPoints : 1;
    axis.tile = axis.points - axis.taps + 1;
    axis.tiles = (axis.to + axis.tile - 1) / axis.tile;
  }
  pack(weight, back);
}

template <class T>
void Winograd<T>::pack(const T* weight, bool back) {
  const auto spread = KXFAST_PICK(
      void (*)(const T*, int64_t, int64_t, int64_t, const T*, int64_t, const T*, T*, int64_t), spread_taps);
  const int64_t taps = moves_.taps(), groups = moves_.groups, padded = panels_.padded_total();
  const int64_t rows = axis_[0].points, plane = groups * inputs_ * padded;
  T down[kPoints * kMostTaps], along[kPoints * kMostTaps];
  evaluate(rows, axis_[0].taps, down);
  evaluate(kPoints, axis_[1].taps, along);
  packed_ = Buffer<T>(static_cast<size_t>(rows * kPoints * plane));
  const auto task = [&](int64_t number) {
    const int64_t g = number / inputs_, c = number % inputs_;
    for (int64_t p = 0; p < panels_.count(); ++p) {
      const int64_t width = panels_.padded(p), first = panels_.first(p);
      Buffer<T> columns(static_cast<size_t>(taps * width));
      for (int64_t o = 0; o < width; ++o) {
        const int64_t out = back ? c : first + o, in = back ? first + o : c;
        const T* from = weight + ((g * moves_.outputs + out) * moves_.inputs + in) * taps;
        for (int64_t t = 0; t < taps; ++t)
          columns[static_cast<size_t>((back ? taps - 1 - t : t) * width + o)] =
              first + o < outputs_ ? from[t] : 0.0f;
      }
      spread(columns.data(), axis_[0].taps, axis_[1].taps, width, down, rows, along,
             packed_.data() + g * inputs_ * padded + inputs_ * first + c * width, plane);
    }
  };
  parallel_for(groups * inputs_, task, taps * groups * inputs_ * outputs_ < (1 << 15) ? 1 : 0);
}

// The pixels a tile is made of.
template <class T>
void Winograd<T>::patch(const T* from, int64_t number, const T* zero, const T** pixels) const {
  const int64_t tiles = axis_[0].tiles * axis_[1].tiles, channels = moves_.groups * inputs_;
  from += number / tiles * axis_[0].from * axis_[1].from * channels;
  const int64_t top = number % tiles / axis_[1].tiles * axis_[0].tile - axis_[0].before,
                left = number % axis_[1].tiles * axis_[1].tile - axis_[1].before;
  for (int64_t y = top; y < top + axis_[0].points; ++y)
    for (int64_t x = left; x < left + kPoints; ++x)
      *pixels++ = y >= 0 && y < axis_[0].from && x >= 0 && x < axis_[1].from
                      ? from + (y * axis_[1].from + x) * channels
                      : zero;
}

// Where a tile's pixels go, null outside.
template <class T>
void Winograd<T>::place(T* to, int64_t number, T** pixels) const {
  const int64_t tiles = axis_[0].tiles * axis_[1].tiles, channels = moves_.groups * outputs_;
  to += number / tiles * axis_[0].to * axis_[1].to * channels;
  const int64_t top = number % tiles / axis_[1].tiles * axis_[0].tile,
                left = number % axis_[1].tiles * axis_[1].tile;
  for (int64_t y = top; y < top + axis_[0].tile; ++y)
    for (int64_t x = left; x < left + axis_[1].tile; ++x)
      *pixels++ = y < axis_[0].to && x < axis_[1].to ? to + (y * axis_[1].to + x) * channels : nullptr;
}

template <class T>
void Winograd<T>::run(const T* from, const T* bias, T* to, int64_t batch) const {
  const auto product = conv::linear_kernel<T>();
  const auto spread = KXFAST_PICK(void (*)(const T* const*, int64_t, int64_t, T*, int64_t), spread_patch);
  const auto collect = KXFAST_PICK(
      void (*)(const T*, int64_t, int64_t, int64_t, const T*, int64_t, int64_t, T* const*), collect_patch);
  constexpr int64_t kValues = (int64_t{3} << 19) / static_cast<int64_t>(sizeof(T)),
                    kMost = 240;  // values of a pass: 1.5 MB
  const int64_t groups = moves_.groups, in = groups * inputs_, out = groups * outputs_,
                rows = axis_[0].points;
  const int64_t points = rows * kPoints, tiles = batch * axis_[0].tiles * axis_[1].tiles;
  const int64_t most = std::min(kMost, std::max<int64_t>(24, kValues / (points * (in + out))));
  const int64_t passes = (tiles + most - 1) / most, pass = (tiles + passes - 1) / passes;
  const int64_t panels = panels_.count(), padded = panels_.padded_total();
  // from one point to the next an odd number of cache lines: the same sets of the cache else
  const int64_t from_point = odd_lines<T>(pass * in), to_point = odd_lines<T>(pass * out);
  Buffer<T> spectra(static_cast<size_t>(points * from_point));
  Buffer<T> products(static_cast<size_t>(points * to_point));
  const Buffer<T> zero = conv::zeros<T>(in);
  const Buffer<int64_t> number = conv::progression(pass, 1);
  for (int64_t begin = 0; begin < tiles; begin += pass) {
    const int64_t count = std::min(pass, tiles - begin);
    constexpr int64_t kTiles = 4;
    const auto forth = [&](int64_t i) {
      const T* pixels[kPoints * kPoints];
      for (int64_t t = i * kTiles; t < std::min(count, (i + 1) * kTiles); ++t) {
        patch(from, begin + t, zero.data(), pixels);
        spread(pixels, rows, in, spectra.data() + t * in, from_point);
      }
    };
    const auto multiply = [&](int64_t i) {
      const int64_t point = i / (groups * panels), g = i / panels % groups, p = i % panels;
      const T* table[kMost];
      for (int64_t t = 0; t < count; ++t)
        table[t] = spectra.data() + point * from_point + t * in + g * inputs_;
      const T* weight = packed_.data() + (point * groups + g) * inputs_ * padded;
      constexpr int64_t kDepth = 128;  // of a panel: 32 KB of weights, which stay in the L1 cache
      for (int64_t c = 0; c < inputs_; c += kDepth) {
        product({{table, count, count, 1, std::min(kDepth, inputs_ - c)},
                 weight + inputs_ * panels_.first(p) + c * panels_.padded(p),
                 nullptr,
                 panels_.width(p),
                 number.data(),
                 products.data() + point * to_point + g * outputs_ + panels_.first(p),
                 out,
                 c > 0});
        for (int64_t t = 0; t < count; ++t) table[t] += kDepth;
      }
    };
    const auto back = [&](int64_t i) {
      T* pixels[kPoints * kPoints];
      for (int64_t t = i * kTiles; t < std::min(count, (i + 1) * kTiles); ++t) {
        place(to, begin + t, pixels);
        collect(products.data() + t * out, to_point, rows, out, bias, axis_[0].tile, axis_[1].tile, pixels);
      }
    };
    const double work = static_cast<double>(points * count * inputs_) * static_cast<double>(out);
    const int threads = work < 1e6 ? 1 : 0;
    parallel_for((count + kTiles - 1) / kTiles, forth, threads);
    parallel_for(points * groups * panels, multiply, threads);
    parallel_for((count + kTiles - 1) / kTiles, back, threads);
  }
}

template class Winograd<float>;
template class Winograd<double>;

}  // namespace kxfast::lipschitz
