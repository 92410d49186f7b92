// Gradients of layers of three taps by minimal filtering (filtering.hpp).
//
// The gradient of the input is the same kind of convolution, of dz with the transposed weight, taps the other
// way round: its values at the points are those of the forward weight, the first and the last exchanged. With
// the values u0 .. u3 of x at the points, and dz of the two positions of a pair, the gradients of the weight
// at the points are sums of u0 dz0', u1 (dz0 + dz1)', u2 (dz0 - dz1)' and -u3 dz1' over pairs: four outer
// products in place of six. The values of a group of
// sequences and both sums of dz are written out once; the weight's own three taps come out of the four sums
// at the end.
#pragma once

#include <optional>

#include "conv/filtering.hpp"
#include "conv/outer.hpp"

namespace kxfast::conv {

constexpr int64_t kPiece = 512;  // columns of dz whose panel of weights stays in the L2 cache

// Rows of the transposed weight at all points, some columns of dz after the others.
inline Buffer<int64_t> filtered_rows(const Layer<float>& points, const Panels& panels) {
  const int64_t columns = 2 * panels.padded_total();
  const Buffer<int64_t> usual = transposed_rows(points, panels);
  Buffer<int64_t> offset(usual.size());
  int64_t* to = offset.data();
  for (int64_t first = 0; first < columns; first += kPiece)
    for (int64_t point = 0; point < kPoints; ++point) {
      const int64_t* from = usual.data() + point * columns + first;
      to = std::copy(from, from + std::min(kPiece, columns - first), to);
    }
  return offset;
}

class FilteredBackward {
 public:
  // `kept`: the weight that was kept packed, or null.
  FilteredBackward(const Layer<float>& layer, const Panels& panels, const LinearWeight<float>* kept)
      : layer_(layer),
        panels_(panels),
        columns_(2 * panels.padded_total()),
        sums_(static_cast<size_t>(kPoints * Filter::size(layer))),
        back_(kept) {
    if (kept) return;
    const Filter filter(layer);
    back_ = &made_.emplace(filter.layer.weight, filtered_rows(filter.layer, panels), 2 * layer.out, layer.in,
                           tiling<float>());
  }

  // dx [+]= dz, shifted back, with the transposed weight.
  void inputs(const Pairs& pairs, const Source<float>& dz, float* dx, bool add) const {
    const auto kernel = KXFAST_PICK(LinearKernel<float>, filtered_linear);
    const Source<float> turned{
        dz.base, dz.stride, dz.mask, dz.zero, dz.taps, layer_.dilation, 2 * layer_.dilation + dz.left};
    over_pairs(pairs, turned, columns_, [&](const Products<float>& in, int64_t begin) {
      const float* rows[kAllPoints];
      for (int64_t first = 0; first < columns_; first += kPiece) {
        const int64_t depth = std::min(kPiece, columns_ - first);
        for (int64_t i = 0; i < kPoints * in.stride; ++i)
          if (i % in.stride < in.count) rows[i] = in.rows[i] + first;
        for (int64_t p = 0; p < back_->panels.count(); ++p)
          kernel({{rows, in.stride, in.count, kPoints, depth},
                  back_->panel(p) + kPoints * first * back_->panels.padded(p),
                  nullptr,
                  back_->panels.width(p),
                  pairs.number(begin),
                  dx + back_->panels.first(p),
                  layer_.in,
                  add || first > 0});
      }
    });
  }

  // The weight's gradients at the points are set, or added to.
  void weights(const Pairs& pairs, const Source<float>& x, const Gradient<float>& dz, bool fresh) {
    const Values values(pairs, x, layer_.in, dz);
    const auto from = [&](int64_t point) { return values.factors(point, dz); };
    const auto panel_at = [&](int64_t p) { return Columns{2 * panels_.first(p), 2 * panels_.padded(p)}; };
    outer_pass<float>(pairs.count, kPoints, layer_.in, from, dz.stride, panels_.count(), panel_at,
                      [&](int64_t point, int64_t first, int64_t height, int64_t p, const float* sum) {
                        for (int64_t i = 0; i < height; ++i, sum += 2 * panels_.padded(p)) {
                          float* to = sums_.data() + (point * layer_.in + first + i) * 2 * layer_.out +
                                      panels_.first(p);
                          put(sum, panels_.width(p), to + layer_.candidates(), fresh);
                          put(sum + panels_.padded(p), panels_.width(p), to + layer_.gates(), fresh);
                        }
                      });
  }

  // The gradient of the weight itself.
  void finish(float* dweight) const {
    const int64_t n = Filter::size(layer_);
    constexpr int64_t kEach = 4096;
    const float* s = sums_.data();
    const auto task = [&](int64_t i) {
      for (int64_t k = i * kEach; k < std::min(n, (i + 1) * kEach); ++k) {
        const float half = 0.5f * (s[n + k] + s[2 * n + k]);
        dweight[k] = s[k] + half;
        dweight[n + k] = 0.5f * (s[n + k] - s[2 * n + k]);
        dweight[2 * n + k] = half - s[3 * n + k];
      }
    };
    parallel_for((n + kEach - 1) / kEach, task);
  }

 private:
  // Both factors of the gradients at the points, pair by pair.
  class Values {
   public:
    Values(const Pairs& pairs, const Source<float>& source, int64_t channels, const Gradient<float>& dz)
        : stride_(((channels * 4 + 63) / 64 | 1) * 16),
          count_(pairs.count),
          x_(static_cast<size_t>(kPoints * count_ * stride_)),
          sums_(static_cast<size_t>(2 * count_ * dz.stride)),
          rows_(static_cast<size_t>(kPoints * count_)),
          number_(static_cast<size_t>(3 * count_)) {
      const FilterRows filter = filter_kernel();
      const auto both = KXFAST_PICK(SumRows, sum_rows);
      constexpr int64_t kEach = 32;
      const auto task = [&](int64_t block) {
        for (int64_t i = block * kEach; i < std::min(count_, (block + 1) * kEach); ++i) {
          const float* d[kPoints];
          float* to[kPoints];
          pairs.point(i, source, d);
          for (int64_t j = 0; j < kPoints; ++j) {
            to[j] = x_.data() + (j * count_ + i) * stride_;
            rows_[static_cast<size_t>(j * count_ + i)] = to[j];
          }
          filter(d, channels, to);
          const float* z[2];
          for (int64_t h = 0; h < 2; ++h) {
            const int64_t row = pairs.number(i)[h] < 0 ? dz.rows : pairs.number(i)[h];
            number_[static_cast<size_t>(h * count_ + i)] = row;
            z[h] = dz.data.data() + row * dz.stride;
          }
          number_[static_cast<size_t>(2 * count_ + i)] = i;
          float* sum = sums_.data() + i * dz.stride;
          both(z[0], z[1], dz.columns, sum, sum + count_ * dz.stride);
        }
      };
      parallel_for((count_ + kEach - 1) / kEach, task);
    }

    Factors<float> factors(int64_t point, const Gradient<float>& dz) const {
      const float* const* x = rows_.data() + point * count_;
      const int64_t* number = number_.data();
      if (point == 0) return {x, dz.data.data(), number};
      if (point == 3) return {x, dz.data.data(), number + count_};
      return {x, sums_.data() + (point - 1) * count_ * dz.stride, number + 2 * count_};
    }

   private:
    using SumRows = void (*)(const float*, const float*, int64_t, float*, float*);
    const int64_t stride_, count_;
    Buffer<float> x_, sums_;
    Buffer<const float*> rows_;
    Buffer<int64_t> number_;  // of the first position, of the second, and of the pair
  };

  const Layer<float>& layer_;
  const Panels panels_;
  const int64_t columns_;
  Buffer<float> sums_;
  std::optional<LinearWeight<float>> made_;
  const LinearWeight<float>* back_;
};

}  // namespace kxfast::conv
