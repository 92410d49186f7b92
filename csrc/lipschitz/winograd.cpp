// Convolutions with kernels of 2 to 5 taps a side by minimal filtering (Winograd; Lavin and Gray, CVPR 2016).
//
// Outputs are computed in tiles of 7 - k a side from patches of 6 pixels a side: both patch and kernel are
// turned into values at 6 points (36 in two dimensions), multiplied there, and turned back. What was a
// product of channels for each of 9 taps and each pixel is then one for each of 36 points and each 16 pixels:
// a quarter of the multiplications for 3 x 3, half in one dimension. The products run on the register tile of
// csrc/conv, one point after another, so that its weights stay in the L2 cache for all tiles of a pass; their
// rate is the limit, beside which the transforms (simd/patches.cpp) are a fifth. A pass takes as many tiles
// as leave their values in the cache. The rounding is 3 to 10 times that of a sum of products, 1e-6 of the
// norm: enough for vectors that are judged in double afterwards, and for nothing else.
#include "lipschitz/winograd.hpp"

#include "conv/common.hpp"
#include "lipschitz/convolution.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr int64_t kMostTaps = 5;

// A kernel's values at the points, the last of which is infinity: (points, taps).
void evaluate(int64_t points, int64_t taps, float* to) {
  constexpr double kAt[5] = {0, 1, -1, 2, -2}, kOver[5] = {4, -6, -6, 24, 24};
  if (points == 1) {
    to[0] = 1;
    return;
  }
  for (int64_t i = 0; i < points; ++i) {
    double power = i < 5 ? 1 / kOver[i] : 0;
    for (int64_t a = 0; a < taps; ++a, power *= i < 5 ? kAt[i] : 0)
      to[i * taps + a] = static_cast<float>(i < 5 ? power : a + 1 == taps);
  }
}

}  // namespace

bool Winograd::suits(const Moves& m) {
  const auto few = [&](int d) { return m.kernel[d] <= kMostTaps && m.stride[d] == 1 && m.dilation[d] == 1; };
  return !m.circular && few(0) && few(1) && m.kernel[1] > 1 && m.inputs * m.outputs >= 16 * 16;
}

Winograd::Winograd(const float* weight, const Moves& m, bool back)
    : moves_(m),
      inputs_(back ? m.outputs : m.inputs),
      outputs_(back ? m.inputs : m.outputs),
      panels_(conv::Panels::linear(conv::tiling<float>(), outputs_)) {
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

void Winograd::pack(const float* weight, bool back) {
  const auto spread = KXFAST_PICK(
      void (*)(const float*, int64_t, int64_t, int64_t, const float*, int64_t, const float*, float*, int64_t),
      spread_taps);
  const int64_t taps = moves_.taps(), groups = moves_.groups, padded = panels_.padded_total();
  const int64_t rows = axis_[0].points, plane = groups * inputs_ * padded;
  float down[kPoints * kMostTaps], along[kPoints * kMostTaps];
  evaluate(rows, axis_[0].taps, down);
  evaluate(kPoints, axis_[1].taps, along);
  packed_ = Buffer<float>(static_cast<size_t>(rows * kPoints * plane));
  const auto task = [&](int64_t number) {
    const int64_t g = number / inputs_, c = number % inputs_;
    for (int64_t p = 0; p < panels_.count(); ++p) {
      const int64_t width = panels_.padded(p), first = panels_.first(p);
      Buffer<float> columns(static_cast<size_t>(taps * width));
      for (int64_t o = 0; o < width; ++o) {
        const int64_t out = back ? c : first + o, in = back ? first + o : c;
        const float* from = weight + ((g * moves_.outputs + out) * moves_.inputs + in) * taps;
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
void Winograd::patch(const float* from, int64_t number, const float* zero, const float** pixels) const {
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
void Winograd::place(float* to, int64_t number, float** pixels) const {
  const int64_t tiles = axis_[0].tiles * axis_[1].tiles, channels = moves_.groups * outputs_;
  to += number / tiles * axis_[0].to * axis_[1].to * channels;
  const int64_t top = number % tiles / axis_[1].tiles * axis_[0].tile,
                left = number % axis_[1].tiles * axis_[1].tile;
  for (int64_t y = top; y < top + axis_[0].tile; ++y)
    for (int64_t x = left; x < left + axis_[1].tile; ++x)
      *pixels++ = y < axis_[0].to && x < axis_[1].to ? to + (y * axis_[1].to + x) * channels : nullptr;
}

void Winograd::run(const float* from, const float* bias, float* to, int64_t batch) const {
  const auto product = conv::linear_kernel<float>();
  const auto spread =
      KXFAST_PICK(void (*)(const float* const*, int64_t, int64_t, float*, int64_t), spread_patch);
  const auto collect = KXFAST_PICK(
      void (*)(const float*, int64_t, int64_t, int64_t, const float*, int64_t, int64_t, float* const*),
      collect_patch);
  constexpr int64_t kFloats = int64_t{3} << 17;  // values of a pass: 1.5 MB
  const int64_t groups = moves_.groups, in = groups * inputs_, out = groups * outputs_,
                rows = axis_[0].points;
  const int64_t points = rows * kPoints, tiles = batch * axis_[0].tiles * axis_[1].tiles;
  const int64_t most = std::max<int64_t>(48, kFloats / (points * (in + out)) / 6 * 6);
  const int64_t pass = std::min(tiles, most), panels = panels_.count(), padded = panels_.padded_total();
  Buffer<float> spectra(static_cast<size_t>(points * pass * in));
  Buffer<float> products(static_cast<size_t>(points * pass * out));
  const Buffer<float> zero = conv::zeros<float>(in);
  const Buffer<int64_t> number = conv::progression(pass, 1);
  for (int64_t begin = 0; begin < tiles; begin += pass) {
    const int64_t count = std::min(pass, tiles - begin);
    constexpr int64_t kTiles = 4;
    const auto forth = [&](int64_t i) {
      const float* pixels[kPoints * kPoints];
      for (int64_t t = i * kTiles; t < std::min(count, (i + 1) * kTiles); ++t) {
        patch(from, begin + t, zero.data(), pixels);
        spread(pixels, rows, in, spectra.data() + t * in, pass * in);
      }
    };
    const auto multiply = [&](int64_t i) {
      const int64_t point = i / (groups * panels), g = i / panels % groups, p = i % panels;
      Buffer<const float*> table(static_cast<size_t>(count));
      for (int64_t t = 0; t < count; ++t)
        table[static_cast<size_t>(t)] = spectra.data() + (point * pass + t) * in + g * inputs_;
      const float* weight = packed_.data() + (point * groups + g) * inputs_ * padded;
      product({{table.data(), count, count, 1, inputs_},
               weight + inputs_ * panels_.first(p),
               nullptr,
               panels_.width(p),
               number.data(),
               products.data() + point * pass * out + g * outputs_ + panels_.first(p),
               out,
               false});
    };
    const auto back = [&](int64_t i) {
      float* pixels[kPoints * kPoints];
      for (int64_t t = i * kTiles; t < std::min(count, (i + 1) * kTiles); ++t) {
        place(to, begin + t, pixels);
        collect(products.data() + t * out, pass * out, rows, out, bias, axis_[0].tile, axis_[1].tile, pixels);
      }
    };
    const double work = static_cast<double>(points * count * inputs_) * static_cast<double>(out);
    const int threads = work < 1e6 ? 1 : 0;
    parallel_for((count + kTiles - 1) / kTiles, forth, threads);
    parallel_for(points * groups * panels, multiply, threads);
    parallel_for((count + kTiles - 1) / kTiles, back, threads);
  }
}

}  // namespace kxfast::lipschitz
