// Gradients of layers of three taps by minimal filtering (filtering.hpp).
//
// The gradient of the input is the same kind of convolution, of dz with the transposed weight, taps the other
// way round: its values at the points are those of the forward weight, the first and the last exchanged. With
// the values u0 .. u3 of x at the points, and dz of the two positions of a pair, the gradients of the weight
// at the points are sums of u0 dz0', u1 (dz0 + dz1)', u2 (dz0 - dz1)' and -u3 dz1' over pairs: four outer
// products in place of six. A task makes the values it needs of 96 pairs at a time, which stay in the L2
// cache over all its products: written out once for all tasks they cost as much memory as x and dz together,
// and a fifth of the pass, twice that where others use the memory. It has the two inner points or the two
// outer ones, which read the same rows: with one point, making values took 7 % of forward and backward of
// nine layers, now 4. It keeps its sums until all sequences are through; the weight's own three taps come out
// of them at the end (written after each group of sequences and combined from there: 2 % slower), and the
// bias's gradient, dz times ones, out of values that are in the cache anyway. Tried and lost: asking for the
// rows of the next pairs (no gain), twice as many tasks (each then reads parts of rows: 5 % slower on two
// threads), groups of sequences of half the size (no gain) or twice (6 % slower).
#pragma once

#include <optional>
#include <vector>

#include "conv/filtering_few.hpp"
#include "conv/outer.hpp"

namespace kxfast::conv {

class FilteredBackward {
 public:
  // `kept`: the weight that was kept packed, or null; `few` rows in one group of sequences.
  FilteredBackward(const Layer<float>& layer, const Panels& panels, const PointWeight<Transposed>* kept,
                   bool few)
      : layer_(layer), panels_(panels), columns_(2 * panels.padded_total()), few_(few), back_(kept) {
    if (!few) deal();
    if (few && !kept) own_.emplace(layer, panels);
    if (!few && !kept) back_ = &made_.emplace(layer, panels);
  }

  // What the gradient of the input is made of: dx [+]= dz, shifted back, with the transposed weight.
  struct Inputs {
    const Pairs& pairs;
    const Source<float> dz;
    float* dx;
    bool add;
  };
  // What those of the weight and, if wanted, of the bias are.
  struct Weights {
    const Pairs& pairs;
    const Source<float> x;
    const Gradient<float>& dz;
    float *dweight, *dbias;
  };

  // All gradients of some sequences; those of the weight and of the bias of many rows wait for `finish`.
  void run(const Inputs& inputs, const Weights& weights) {
    constexpr int64_t kRun = Transposed::kRun;
    const auto kernel = KXFAST_PICK(LinearKernel<float>, filtered_linear);
    const Transposed& kind = own_ ? *own_ : back_->kind;
    const Panels& panels = kind.panels;
    const Source<float>& dz = inputs.dz;
    const Source<float> turned{
        dz.base, dz.stride, dz.mask, dz.zero, dz.taps, layer_.dilation, 2 * layer_.dilation + dz.left};
    const auto multiply = [&](int64_t p, const float* weight, const Products<float>& in, int64_t first,
                              int64_t begin) {
      kernel({in, weight + kPoints * first * panels.padded(p), nullptr, panels.width(p),
              inputs.pairs.number(begin), inputs.dx + panels.first(p), layer_.in, inputs.add || first > 0});
    };
    const auto few = [&](int64_t p, const float* weight, const PairValues& values, int64_t begin,
                         int64_t count) {
      for (int64_t first = 0; first < columns_; first += kRun)
        multiply(p, weight, values.of(first, count), first, begin);
    };
    if (few_ && one_loop(inputs.pairs.count)) {
      PanelsOfFew tasks(kind, back_, inputs.pairs, turned, columns_, kRun, few);
      return together(tasks, weights);
    }
    over_pairs(inputs.pairs, turned, columns_, [&](const Products<float>& in, int64_t begin) {
      const float* rows[kAllPoints];
      for (int64_t first = 0; first < columns_; first += kRun) {
        for (int64_t i = 0; i < kPoints * in.stride; ++i)
          if (i % in.stride < in.count) rows[i] = in.rows[i] + first;
        const Products<float> run{rows, in.stride, in.count, kPoints, std::min(kRun, columns_ - first)};
        for (int64_t p = 0; p < panels.count(); ++p) multiply(p, back_->panel(p), run, first, begin);
      }
    });
    if (few_) {
      WeightsOfFew tasks = of_few(weights);
      parallel_for(tasks.tasks(), tasks);
    } else {
      add(weights);
    }
  }

  // The gradients of the weight itself and, if wanted, of the bias.
  void finish(float* dweight, float* dbias) const {
    const int64_t panels = panels_.count();
    const auto task = [&](int64_t i) {
      const size_t inner = static_cast<size_t>(i / panels) * 2;
      shares_[inner].finish(shares_[inner + 1], i % panels, dweight, dbias);
    };
    parallel_for(static_cast<int64_t>(shares_.size()) / 2 * panels, task);
  }

 private:
  // Gradients at the inner or the outer two points, for the channels from `first` to `last` and the panels of
  // columns from `panel` to `end`.
  class Share {
   public:
    Share(const FilteredBackward& owner, bool inner, int64_t panel, int64_t end, int64_t first, int64_t last)
        : layer_(owner.layer_),
          panels_(owner.panels_),
          inner_(inner),
          panel_(panel),
          end_(end),
          first_(first),
          height_(last - first),
          column_(2 * panels_.first(panel)),
          columns_(2 * (panels_.first(end - 1) + panels_.padded(end - 1)) - column_),
          x_stride_(odd_lines(height_ + 1)),
          z_stride_(odd_lines(columns_)),
          x_(static_cast<size_t>(2 * kSumRows * x_stride_)),
          z_(static_cast<size_t>(inner ? 2 * kSumRows * z_stride_ : 0)),
          sums_(zeros<float>(2 * height_ * columns_)),
          bias_(zeros<float>(inner && first == 0 ? columns_ : 0)),
          x_rows_(static_cast<size_t>(2 * kSumRows)),
          z_rows_(static_cast<size_t>(2 * kSumRows)) {
      for (int64_t i = 0; i < 2 * kSumRows; ++i) {
        float* row = x_.data() + i * x_stride_;
        row[height_] = 1;  // of which dz is the bias's gradient
        x_rows_[static_cast<size_t>(i)] = row;
        if (inner) z_rows_[static_cast<size_t>(i)] = z_.data() + i * z_stride_;
      }
    }

    // Adds what some pairs contribute: values of x and dz at the points, then their products.
    void add(const Pairs& pairs, int64_t begin, int64_t count, const Source<float>& x,
             const Gradient<float>& dz) {
      for (int64_t i = 0; i < count; ++i) {
        const int64_t* row = pairs.number(begin + i);
        const float* z[2] = {dz.at(row[0]) + column_, dz.at(row[1]) + column_};
        mix(pairs, begin + i, x, z[0], z[1], i);
        if (!inner_)
          for (int64_t h = 0; h < 2; ++h) z_rows_[static_cast<size_t>(h * kSumRows + i)] = z[h];
      }
      const auto kernel = KXFAST_PICK(void (*)(const OuterBlock<float>&), outer);
      OuterBlock<float> block{};
      block.count = count;
      block.sum = sums_.data();
      for (int64_t h = 0; h < 2; ++h) {
        block.x = x_rows_.data() + h * kSumRows;
        block.z = z_rows_.data() + h * kSumRows;
        for (int64_t p = panel_; p < end_; ++p) {
          block.z_first = 2 * panels_.first(p) - column_;
          block.width = 2 * panels_.padded(p);
          for (block.x_first = 0; block.x_first < height_; block.x_first += kHeight) {
            block.height = std::min(kHeight, height_ - block.x_first);
            kernel(block);
            block.sum += block.height * block.width;
          }
          if (h > 0 || bias_.size() == 0) continue;
          OuterBlock<float> ones = block;
          ones.x_first = height_, ones.height = 1, ones.sum = bias_.data() + block.z_first;
          kernel(ones);
        }
      }
    }

    // Of one panel, if it has it, with what the outer points' share holds.
    void finish(const Share& outer, int64_t p, float* dweight, float* dbias) const {
      if (p < panel_ || p >= end_) return;
      const int64_t padded = panels_.padded(p), width = panels_.width(p), first = panels_.first(p);
      const int64_t offset = height_ * (2 * first - column_), half = height_ * columns_;
      const float *inside = sums_.data() + offset, *outside = outer.sums_.data() + offset;
      const int64_t places[2] = {layer_.candidates() + first, layer_.gates() + first}, row = 2 * layer_.out;
      float* const to = dweight + first_ * row;
      const auto finish = KXFAST_PICK(WeightTaps, weight_taps);
      finish({{outside, inside, inside + half, outside + half},
              padded,
              2 * padded,
              height_,
              width,
              {to + places[0], to + places[1]},
              layer_.in * row,
              row});
      if (!dbias || bias_.size() == 0) return;
      for (int64_t h = 0; h < 2; ++h)
        std::copy_n(bias_.data() + 2 * first - column_ + h * padded, width, dbias + places[h]);
    }

   private:
    // The values of pair `pair`, as number i. At the outer points dz is that of one position, and is read
    // where it is.
    void mix(const Pairs& pairs, int64_t pair, const Source<float>& x, const float* z0, const float* z1,
             int64_t i) {
      const auto combine = KXFAST_PICK(MixRows, mix_rows);
      const float* d[kPoints];
      pairs.point(pair, x, d);
      for (const float*& each : d) each += first_;
      float* const to_x[2] = {x_.data() + i * x_stride_, x_.data() + (kSumRows + i) * x_stride_};
      if (!inner_) {
        combine(d[0], d[2], -1, d[1], d[3], height_, to_x);
        for (const float* z : {z0, z1})
          for (int64_t at = 0; at < columns_; at += 16) __builtin_prefetch(z + at, 0, 2);
        return;
      }
      float* const to_z[2] = {z_.data() + i * z_stride_, z_.data() + (kSumRows + i) * z_stride_};
      combine(d[1], d[2], 1, d[2], d[1], height_, to_x);
      combine(z0, z1, 1, z0, z1, columns_, to_z);
    }

    const Layer<float>& layer_;
    const Panels& panels_;
    const bool inner_;
    const int64_t panel_, end_, first_, height_, column_, columns_, x_stride_, z_stride_;
    Buffer<float> x_, z_, sums_, bias_;
    Buffer<const float*> x_rows_, z_rows_;
  };

  // Whether few rows go in one loop. With narrow registers and more rows, kept panels beside the values of
  // all rows overflow the L2 cache (AVX2, 256 rows: 8 % of forward and backward).
  bool one_loop(int64_t pairs) const { return own_ || tiling<float>().lanes > 8 || pairs <= 64; }
  WeightsOfFew of_few(const Weights& given) const {
    return {given.pairs, layer_, panels_, given.x, given.dz, given.dweight, given.dbias};
  }
  // In one loop: of two threads each then has one kind of gradients, and makes one kind of values.
  template <class Tasks>
  void together(Tasks& inputs, const Weights& given) const {
    WeightsOfFew weights = of_few(given);
    const int64_t first = inputs.tasks();
    const auto task = [&](int64_t i) { i < first ? inputs(i) : weights(i - first); };
    parallel_for(first + weights.tasks(), task);
  }

  // Adds what some of many sequences contribute to the gradients at the points and of the bias. A task has
  // the outer or the inner two points, which read the same rows, and some of the channels and columns.
  void add(const Weights& given) {
    const Pairs& pairs = given.pairs;
    const auto task = [&](int64_t i) {
      for (int64_t begin = 0; begin < pairs.count; begin += kSumRows)
        shares_[static_cast<size_t>(i)].add(pairs, begin, std::min(kSumRows, pairs.count - begin), given.x,
                                            given.dz);
    };
    const double work =
        static_cast<double>(pairs.count * kPoints * layer_.in) * static_cast<double>(columns_);
    parallel_for(static_cast<int64_t>(shares_.size()), task, work < 2e6 ? 1 : 0);
  }

  // Two shares, of the inner and of the outer points, for each part of the channels and columns.
  void deal() {
    constexpr int64_t kPieces = 4, kOutputs = 128;  // at most of a task, which then stays in the L2 cache
    const auto divide = [](int64_t all, int64_t most, int64_t wanted) {
      return std::max((all + most - 1) / most, std::min(all, wanted));
    };
    const int64_t panels = panels_.count(), pieces = (layer_.in + kHeight - 1) / kHeight;
    const int64_t wanted = num_threads() > 2 ? num_threads() : 1,
                  across = divide(panels, kOutputs / panels_.size, wanted);
    const int64_t down = divide(pieces, kPieces, (wanted + across - 1) / across);
    for (int64_t i = 0; i < 2 * across * down; ++i) {
      const int64_t part = i / 2 % across, piece = i / 2 / across;
      shares_.emplace_back(*this, i % 2 == 0, part * panels / across, (part + 1) * panels / across,
                           piece * pieces / down * kHeight,
                           std::min(layer_.in, (piece + 1) * pieces / down * kHeight));
    }
  }

  const Layer<float>& layer_;
  const Panels panels_;
  const int64_t columns_;
  const bool few_;
  std::optional<Transposed> own_;  // of few rows, where nothing is kept
  std::optional<PointWeight<Transposed>> made_;
  const PointWeight<Transposed>* back_;
  std::vector<Share> shares_;  // made before any task: those must not run out of memory
};

}  // namespace kxfast::conv
