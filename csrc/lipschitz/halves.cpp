// Convolutions of floats by products of bfloat16 in tiles (core/halves.hpp).
//
// With a stride of one and whole blocks of channels an image is written once, in parts and with the zeros
// around it: rows of a product are neighbours there, a tap is another place, and the pixels beside the image
// that are computed too, an eighth of 16 x 16 with 3 x 3 taps, are dropped. Else, as for a linear layer, rows
// are gathered in strips, of all their taps. Images of a pass stay near the L2 cache. Blocks of rows times 64
// columns are the tasks; where weights are beyond that cache blocks are high, so that they are read few
// times.
#include "lipschitz/halves.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "lipschitz/digits.hpp"

namespace kxfast::lipschitz {
namespace {

using matrix::kHalfDepth;
using matrix::kParts;
using matrix::kTileHalves;

constexpr int64_t kTile = kParts * kTileHalves, kColumns = 64;

size_t at(int64_t i) {
  return static_cast<size_t>(i);
}

}  // namespace

bool HalfConvolution::suits(const Moves& m, bool back) {
  const bool strided = m.stride[0] > 1 || m.stride[1] > 1;
  const bool met = m.dilation[0] == 1 && m.dilation[1] == 1 && m.kernel[0] >= m.stride[0] &&
                   m.kernel[1] >= m.stride[1];  // all phases have taps
  const int64_t taps = back && strided ? 1 : m.taps();
  return digits_fast() && (!(back && strided) || met) &&
         taps * (back ? m.outputs : m.inputs) >= kHalfDepth / 2 &&
         (back ? m.inputs : m.outputs) >= kStrip / 2;
}

HalfConvolution::HalfConvolution(const float* weight, const Moves& moves, bool back)
    : moves_(moves),
      framed_(!moves.circular && moves.stride[0] == 1 && moves.stride[1] == 1 && moves.taps() > 1 &&
              (back ? moves.outputs : moves.inputs) % kHalfDepth == 0),
      side_(framed_ ? plain_side(moves, back)
            : back  ? back_side(moves)
                    : forward_side(moves)),
      channels_(side_.from_channels / moves.groups),
      columns_(side_.to_channels / moves.groups) {
  for (const Part& part : side_.parts) {
    const Buffer<int64_t> offset = side_.offsets(part, moves);
    for (int64_t g = 0; g < moves.groups; ++g)
      pack(weight + g * moves.outputs * moves.inputs * moves.taps(), offset);
  }
  if (framed_) frame();
}

void HalfConvolution::pack(const float* weight, const Buffer<int64_t>& offset) {
  const auto kernel = matrix::half_kernels().to_halves;
  const int64_t rows = static_cast<int64_t>(offset.size()), depth = (rows + kHalfDepth - 1) / kHalfDepth,
                step = side_.step(moves_), strips = (columns_ + kStrip - 1) / kStrip;
  Weight made{depth, columns_, {}, Buffer<uint16_t>(at(strips * depth * kTile))};
  for (int64_t k = 0; k < depth; ++k) made.places.push_back(k * kTile);
  bool run = true;
  for (size_t k = 1; k < offset.size(); ++k) run = run && offset[k] == offset[k - 1] + 1;
  const auto task = [&](int64_t s) {
    const int64_t first = s * kStrip, count = std::min(kStrip, columns_ - first);
    uint16_t* to = made.tiles.data() + s * depth * kTile;
    if (run) return kernel(weight + offset[0] + first * step, count, rows, step, true, to);
    Buffer<float> turned(at(count * rows));
    for (int64_t j = 0; j < count; ++j)
      for (int64_t k = 0; k < rows; ++k)
        turned[at(j * rows + k)] = weight[offset[at(k)] + (first + j) * step];
    kernel(turned.data(), count, rows, rows, true, to);
  };
  parallel_for(strips, task, columns_ * rows < (1 << 14) ? 1 : 0);
  weights_.push_back(std::move(made));
}

void HalfConvolution::frame() {
  const Moves& m = moves_;
  const Part& part = side_.parts[0];
  std::vector<int64_t> offset[2];
  int64_t to[2];
  for (int d = 0; d < 2; ++d) {
    for (const int64_t tap : part.taps) {
      const int64_t t = d == 0 ? tap / m.kernel[1] : tap % m.kernel[1],
                    place = t * m.dilation[d] - m.padding[d];
      offset[d].push_back(side_.back ? -place : place);
    }
    const int64_t from = side_.back ? m.out[d] : m.size[d];
    const auto [low, high] = std::minmax_element(offset[d].begin(), offset[d].end());
    to[d] = side_.back ? m.size[d] : m.out[d];
    frame_.begin[d] = std::max<int64_t>(-*low, 0);
    frame_.size[d] = frame_.begin[d] + std::max(to[d] + *high, from);
  }
  for (int64_t y = 0; y < to[0]; ++y)
    for (int64_t x = 0; x < frame_.size[1]; ++x) frame_.number.push_back(x < to[1] ? y * to[1] + x : -1);
  for (Weight& weight : weights_) {
    weight.places.clear();
    for (size_t t = 0; t < part.taps.size(); ++t)
      for (int64_t c = 0; c < channels_; c += kHalfDepth)
        weight.places.push_back(
            ((offset[0][t] + frame_.begin[0]) * frame_.size[1] + offset[1][t] + frame_.begin[1]) *
                side_.from_channels +
            c);
  }
}

void HalfConvolution::run_frame(const float* from, const float* bias, float* to, int64_t batch,
                                Exactness exactness) const {
  const auto spread = matrix::half_kernels().spread_halves;
  const auto multiply = matrix::half_kernels().multiply_halves;
  constexpr int64_t kCached = 1 << 19;  // numbers: 1 MB
  const int64_t all = side_.from_channels, line = frame_.size[1] * all, part = frame_.size[0] * line;
  const int64_t each = kParts * part, pass = std::clamp<int64_t>(kCached / each, 1, batch);
  const int64_t lines = side_.back ? moves_.out[0] : moves_.size[0], wide = side_.from_rows / lines * all;
  const int64_t rows = static_cast<int64_t>(frame_.number.size());
  const int64_t panels = (columns_ + kColumns - 1) / kColumns,
                height = weights_[0].depth * columns_ * kParts * kHalfDepth > kCached / 2 ? 512 : 64;
  const int64_t blocks = (rows + height - 1) / height, groups = moves_.groups;
  const double work = static_cast<double>(rows * weights_[0].depth * kHalfDepth) *
                      static_cast<double>(side_.to_channels * pass);
  const int threads = work < 4e6 ? 1 : 0;
  Buffer<uint16_t> parts(at(pass * each + 2 * kStrip * all));  // the last tile reads beyond an image
  for (int64_t first = 0; first < batch; first += pass) {
    const int64_t count = std::min(pass, batch - first);
    const auto spread_line = [&](int64_t i) {
      const int64_t sample = i / frame_.size[0], y = i % frame_.size[0];
      uint16_t* here = parts.data() + sample * each + y * line;
      const bool there = y >= frame_.begin[0] && y < frame_.begin[0] + lines;
      const int64_t begin = there ? frame_.begin[1] * all : line, end = there ? begin + wide : line;
      for (int64_t p = 0; p < kParts; ++p) {
        std::fill(here + p * part, here + p * part + begin, uint16_t{0});
        std::fill(here + p * part + end, here + p * part + line, uint16_t{0});
      }
      if (there)
        spread(from + (first + sample) * side_.from_rows * all + (y - frame_.begin[0]) * wide, wide,
               here + begin, part);
    };
    parallel_for(count * frame_.size[0], spread_line, threads);
    const auto task = [&](int64_t i) {
      const int64_t sample = i / (blocks * groups * panels), g = i / panels % groups;
      const int64_t begin = i / (groups * panels) % blocks * height, column = i % panels * kColumns;
      const Weight& weight = weights_[at(g)];
      multiply({parts.data() + sample * each + begin * all + g * channels_,
                weight.tiles.data() + column / kStrip * weight.depth * kTile, all, kStrip * all, part,
                weight.places.data(), weight.depth, std::min(height, rows - begin),
                std::min(kColumns, columns_ - column), bias ? bias + g * columns_ + column : nullptr,
                frame_.number.data() + begin,
                to + (first + sample) * side_.to_rows * side_.to_channels + g * columns_ + column,
                side_.to_channels},
               static_cast<int>(exactness));
    };
    parallel_for(count * blocks * groups * panels, task, threads);
  }
}

void HalfConvolution::run_part(size_t p, const float* from, const float* bias, float* to, int64_t batch,
                               Exactness exactness) const {
  const auto parts = matrix::half_kernels().to_halves;
  const auto multiply = matrix::half_kernels().multiply_halves;
  constexpr int64_t kHeight = 64;
  const Part& part = side_.parts[p];
  const int64_t groups = moves_.groups, each = static_cast<int64_t>(part.number.size()), rows = each * batch;
  const int64_t many = taps(part), blocks = (rows + kHeight - 1) / kHeight;
  bool alone = many == 1 && each == side_.from_rows;  // rows follow one another
  for (int64_t i = 0; alone && i < each; ++i) alone = part.meets[at(i)] == i;
  const auto task = [&](int64_t i) {
    const int64_t g = i % groups, begin = i / groups * kHeight, count = std::min(kHeight, rows - begin);
    const Weight& weight = weights_[p * at(groups) + at(g)];
    const int64_t strip = weight.depth * kTile;
    Buffer<uint16_t> tiles(at((count + kStrip - 1) / kStrip * strip));
    Buffer<float> gathered(at(alone ? 0 : kStrip * many * channels_));
    int64_t number[kHeight];
    for (int64_t r = 0; r < count; r += kStrip) {
      const int64_t some = std::min(kStrip, count - r);
      for (int64_t k = 0; k < some; ++k) {
        const int64_t sample = (begin + r + k) / each, row = (begin + r + k) % each;
        number[r + k] = sample * side_.to_rows + part.number[at(row)];
        const float* base = from + sample * side_.from_rows * side_.from_channels + g * channels_;
        float* where = gathered.data() + k * many * channels_;
        for (int64_t t = 0; !alone && t < many; ++t, where += channels_) {
          const int64_t met = part.meets[at(t * each + row)];
          const float* there = base + met * side_.from_channels;
          met < 0 ? std::fill(where, where + channels_, 0.0f)
                  : void(std::copy(there, there + channels_, where));
        }
      }
      uint16_t* to_strip = tiles.data() + r / kStrip * strip;
      if (alone)
        parts(from + (begin + r) * side_.from_channels + g * channels_, some, channels_, side_.from_channels,
              false, to_strip);
      else
        parts(gathered.data(), some, many * channels_, many * channels_, false, to_strip);
    }
    multiply({tiles.data(), weight.tiles.data(), kHalfDepth, strip, kTileHalves, weight.places.data(),
              weight.depth, count, columns_, bias ? bias + g * columns_ : nullptr, number, to + g * columns_,
              side_.to_channels},
             static_cast<int>(exactness));
  };
  const double work = static_cast<double>(rows * many) * static_cast<double>(side_.from_channels) *
                      static_cast<double>(columns_);
  parallel_for(blocks * groups, task, work < 4e6 ? 1 : 0);
}

void HalfConvolution::run(const float* from, const float* bias, float* to, int64_t batch,
                          Exactness exactness) const {
  if (framed_) return run_frame(from, bias, to, batch, exactness);
  for (size_t p = 0; p < side_.parts.size(); ++p) run_part(p, from, bias, to, batch, exactness);
}

}  // namespace kxfast::lipschitz
