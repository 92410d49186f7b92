// Gradients of layers of three taps by minimal filtering (filtering.hpp).
//
// The gradient of the input is the same kind of convolution, of dz with the transposed weight, taps the other
// way round: its values at the points are those of the forward weight, the first and the last exchanged. With
// the values u0 .. u3 of x at the points, and dz of the two positions of a pair, the gradients of the weight
// at the points are sums of u0 dz0', u1 (dz0 + dz1)', u2 (dz0 - dz1)' and -u3 dz1' over pairs: four outer
// products in place of six. A task makes the values it needs of 128 pairs at a time, which stay in the L2
// cache over all its products: written out once for all tasks they cost as much memory as x and dz together,
// and a fifth of the pass, twice that where others use the memory. The weight's own three taps come out of
// the four sums at the end. Tried and lost: asking for the rows of the next pairs (no gain), twice as many
// tasks (each then reads parts of rows: 3 % slower on two threads), groups of sequences of half the size (no
// gain) or twice (6 % slower).
#pragma once

#include <optional>
#include <vector>

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

  // The weight's gradients at the points are set, or added to. A task has one point, and some of the channels
  // and columns.
  void weights(const Pairs& pairs, const Source<float>& x, const Gradient<float>& dz, bool fresh) {
    constexpr int64_t kMost = 4;  // pieces of channels, and panels, of a task: it stays in the L2 cache
    const auto divide = [](int64_t all, int64_t wanted) {
      return std::max((all + kMost - 1) / kMost, std::min(all, wanted));
    };
    const int64_t panels = panels_.count(), pieces = (layer_.in + kHeight - 1) / kHeight;
    const int64_t wanted = (num_threads() + 1) / 2, across = divide(panels, wanted);
    const int64_t down = divide(pieces, (wanted + across - 1) / across);
    std::vector<Share> shares;  // made here: a task must not run out of memory
    for (int64_t i = 0; i < kPoints * across * down; ++i) {
      const int64_t part = i / kPoints % across, piece = i / kPoints / across;
      shares.emplace_back(*this, i % kPoints, part * panels / across, (part + 1) * panels / across,
                          piece * pieces / down * kHeight,
                          std::min(layer_.in, (piece + 1) * pieces / down * kHeight));
    }
    const auto task = [&](int64_t i) {
      Share& share = shares[static_cast<size_t>(i)];
      for (int64_t begin = 0; begin < pairs.count; begin += kSumRows)
        share.add(pairs, begin, std::min(kSumRows, pairs.count - begin), x, dz);
      share.write(sums_.data(), fresh);
    };
    const double work =
        static_cast<double>(pairs.count * kPoints * layer_.in) * static_cast<double>(columns_);
    parallel_for(static_cast<int64_t>(shares.size()), task, work < 2e6 ? 1 : 0);
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
  // Gradients at one point, for the channels from `first` to `last` and some panels of columns.
  class Share {
   public:
    Share(const FilteredBackward& owner, int64_t point, int64_t panel, int64_t end, int64_t first,
          int64_t last)
        : layer_(owner.layer_),
          panels_(owner.panels_),
          point_(point),
          panel_(panel),
          end_(end),
          first_(first),
          height_(last - first),
          column_(2 * panels_.first(panel)),
          columns_(2 * (panels_.first(end - 1) + panels_.padded(end - 1)) - column_),
          x_stride_(odd_lines(height_)),
          z_stride_(odd_lines(columns_)),
          x_(static_cast<size_t>(kSumRows * x_stride_)),
          z_(static_cast<size_t>(kSumRows * z_stride_)),
          sums_(zeros<float>(height_ * columns_)),
          rows_(static_cast<size_t>(kSumRows)),
          number_(progression(kSumRows, 1)) {
      for (int64_t i = 0; i < kSumRows; ++i) rows_[static_cast<size_t>(i)] = x_.data() + i * x_stride_;
    }

    // Adds what some pairs contribute: values of x and dz at the point, then their products.
    void add(const Pairs& pairs, int64_t begin, int64_t count, const Source<float>& x,
             const Gradient<float>& dz) {
      struct Term {
        int64_t plus, other;
        float sign;
      };
      constexpr Term kOfX[kPoints] = {{0, 2, -1}, {1, 2, 1}, {2, 1, -1}, {1, 3, -1}};
      constexpr Term kOfZ[kPoints] = {{0, 2, 1}, {0, 1, 1}, {0, 1, -1}, {1, 2, 1}};
      const Term of_x = kOfX[point_], of_z = kOfZ[point_];
      const auto combine =
          KXFAST_PICK(void (*)(const float*, const float*, float, int64_t, float*), combine_rows);
      for (int64_t i = 0; i < count; ++i) {
        const float *d[kPoints], *z[3] = {dz.zero(), dz.zero(), dz.zero()};
        pairs.point(begin + i, x, d);
        for (int64_t h = 0; h < 2; ++h)
          if (const int64_t row = pairs.number(begin + i)[h]; row >= 0)
            z[h] = dz.data.data() + row * dz.stride;
        combine(d[of_x.plus] + first_, d[of_x.other] + first_, of_x.sign, height_, x_.data() + i * x_stride_);
        combine(z[of_z.plus] + column_, z[of_z.other] + column_, of_z.sign, columns_,
                z_.data() + i * z_stride_);
      }
      const auto kernel = KXFAST_PICK(void (*)(const OuterBlock<float>&), outer);
      float* sum = sums_.data();
      for (int64_t p = panel_; p < end_; ++p)
        for (int64_t first = 0, width = 2 * panels_.padded(p); first < height_; first += kHeight) {
          const int64_t height = std::min(kHeight, height_ - first);
          kernel({rows_.data(), z_.data() + 2 * panels_.first(p) - column_, number_.data(), z_stride_, count,
                  first, height, width, sum});
          sum += height * width;
        }
    }

    void write(float* to, bool fresh) const {
      const float* sum = sums_.data();
      for (int64_t p = panel_; p < end_; ++p)
        for (int64_t i = 0; i < height_; ++i, sum += 2 * panels_.padded(p)) {
          float* row = to + (point_ * layer_.in + first_ + i) * 2 * layer_.out + panels_.first(p);
          put(sum, panels_.width(p), row + layer_.candidates(), fresh);
          put(sum + panels_.padded(p), panels_.width(p), row + layer_.gates(), fresh);
        }
    }

   private:
    const Layer<float>& layer_;
    const Panels& panels_;
    const int64_t point_, panel_, end_, first_, height_, column_, columns_, x_stride_, z_stride_;
    Buffer<float> x_, z_, sums_;
    Buffer<const float*> rows_;
    Buffer<int64_t> number_;
  };

  const Layer<float>& layer_;
  const Panels panels_;
  const int64_t columns_;
  Buffer<float> sums_;
  std::optional<LinearWeight<float>> made_;
  const LinearWeight<float>* back_;
};

}  // namespace kxfast::conv
