// Minimal filtering (filtering.hpp) of few rows. A task makes the values of the weights of its panel, so that
// they lie in the cache of the thread that multiplies them, and a thread those of the rows it meets: what two
// threads make together each reads half of from the other's cache, which for 128 rows took a fifth of the
// time, and weights made once for all threads, as for many rows, 1.6 times the time.
#pragma once

#include <cmath>

#include "conv/filtering_weights.hpp"
#include "conv/outer.hpp"

namespace kxfast::conv {

// Values of some pairs at the points, in runs of at most `run` channels.
class PairValues {
 public:
  PairValues(int64_t most, int64_t channels, int64_t run)
      : most_(most),
        channels_(channels),
        run_(run),
        stride_(odd_lines(channels)),
        values_(static_cast<size_t>(kPoints * most * stride_)),
        rows_(static_cast<size_t>((channels + run - 1) / run * kPoints * most)) {
    for (int64_t first = 0; first < channels; first += run)
      for (int64_t i = 0; i < kPoints * most; ++i)
        rows_[static_cast<size_t>(first / run * kPoints * most + i)] = values_.data() + i * stride_ + first;
  }
  // Of `count` pairs from `begin` on, for the channels from `first` on.
  void make(const Pairs& pairs, const Source<float>& source, int64_t begin, int64_t count, int64_t first,
            int64_t channels) {
    const FilterRows filter = filter_kernel();
    for (int64_t n = 0; n < count; ++n) {
      const float* d[kPoints];
      float* to[kPoints];
      pairs.point(begin + n, source, d);
      for (int64_t j = 0; j < kPoints; ++j) {
        d[j] += first;
        to[j] = values_.data() + (j * most_ + n) * stride_ + first;
      }
      filter(d, channels, to);
    }
  }
  // Of the run that begins at channel `first`.
  Products<float> of(int64_t first, int64_t count) const {
    return {rows_.data() + first / run_ * kPoints * most_, most_, count, kPoints,
            std::min(run_, channels_ - first)};
  }

 private:
  const int64_t most_, channels_, run_, stride_;
  Buffer<float> values_;
  Buffer<const float*> rows_;
};

// use(panel, its weights, values of pairs, first pair, their number) in tasks of one panel and all pairs, or
// a part of them where that makes fewer values twice, or where there are too few panels for the threads.
template <class Kind, class Use>
void by_panels_of_few(const Kind& kind, const Pairs& pairs, const Source<float>& source, int64_t channels,
                      int64_t run, Use&& use) {
  constexpr int64_t kLeast = 24;  // pairs
  const int64_t threads = num_threads(), count = kind.panels.count(), pieces = kind.pieces();
  const auto even = static_cast<int64_t>(
      std::sqrt(static_cast<double>(pairs.count * threads) / static_cast<double>(kind.panels.total)));
  const int64_t wanted = count % threads == 0 || count >= 4 * threads ? 1 : (2 * threads + count - 1) / count;
  const int64_t parts = std::max<int64_t>(1, std::min(std::max(wanted, even), pairs.count / kLeast));
  const int64_t each = kind.depth * kind.panels.size;
  struct Place {
    PairValues values;
    int64_t part = -1;  // that the values are of
  };
  std::vector<Place> own;
  for (int64_t i = 0; i < threads; ++i)
    own.push_back({PairValues((pairs.count + parts - 1) / parts, channels, run)});
  Buffer<float> weights(static_cast<size_t>(threads * each));
  Places places(static_cast<int>(threads));
  const auto task = [&](int64_t i) {
    const int64_t part = i / count, p = i % count;
    const int64_t begin = part * pairs.count / parts, rows = (part + 1) * pairs.count / parts - begin;
    const Places::Taken place = places.take();
    Place& mine = own[place.number];
    if (mine.part != part) mine.values.make(pairs, source, begin, rows, 0, channels);
    mine.part = part;
    float* weight = weights.data() + static_cast<int64_t>(place.number) * each;
    for (int64_t piece = 0; piece < pieces; ++piece) kind.make(p, piece, weight);
    use(p, weight, mine.values, begin, rows);
  };
  parallel_for(count * parts, task);
}

// Gradients of the weight and, if wanted, of the bias (filtered_backward.hpp); a task has all points of some
// channels and a panel of columns, and combines them from its cache.
class WeightsOfFew {
 public:
  WeightsOfFew(const Pairs& pairs, const Layer<float>& layer, const Panels& panels, const Source<float>& x,
               const Gradient<float>& dz)
      : pairs_(pairs),
        layer_(layer),
        panels_(panels),
        x_(x),
        dz_(dz),
        number_(static_cast<size_t>(kPoints * pairs.count)),
        ones_(static_cast<size_t>(pairs.count)) {
    std::fill(ones_.begin(), ones_.end(), &one_);
    const int64_t count = pairs.count;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t* row = pairs.number(i);
      const int64_t places[kPoints] = {row[0] < 0 ? dz.rows : row[0], i, count + i,
                                       row[1] < 0 ? dz.rows : row[1]};
      for (int64_t j = 0; j < kPoints; ++j) number_[static_cast<size_t>(j * count + i)] = places[j];
    }
  }

  void run(float* dweight, float* dbias) {
    const int threads = num_threads();
    const int64_t pieces = (layer_.in + kChannels - 1) / kChannels;
    std::vector<Place> own;
    for (int i = 0; i < threads; ++i)
      own.push_back({PairValues(pairs_.count, layer_.in, layer_.in),
                     Buffer<float>(static_cast<size_t>(4 * pairs_.count * panels_.size)),
                     std::vector<bool>(static_cast<size_t>(pieces))});
    Places places(threads);
    const auto task = [&](int64_t i) {
      const Places::Taken place = places.take();
      part(own[place.number], i / pieces, i % pieces, dweight, dbias);
    };
    parallel_for(panels_.count() * pieces, task);
  }

 private:
  static constexpr int64_t kChannels = kHeight / 2;
  struct Place {
    PairValues values;
    Buffer<float> inner;     // a panel of dz of both positions, added and, below, subtracted
    std::vector<bool> made;  // values of these channels
    int64_t panel = -1;      // that `inner` is of
  };

  void part(Place& own, int64_t p, int64_t piece, float* dweight, float* dbias) const {
    const int64_t first = piece * kChannels, height = std::min(kChannels, layer_.in - first),
                  count = pairs_.count;
    const int64_t columns = 2 * panels_.padded(p), width = panels_.width(p), row = 2 * layer_.out;
    see(own, piece);
    if (own.panel != p) mix(p, own.inner.data());
    own.panel = p;
    alignas(64) float sums[kPoints * kChannels * kPanelBytes / sizeof(float)];
    for (int64_t j = 0; j < kPoints; ++j)
      add(own, p, j, own.values.of(0, count).rows + j * count, first, height, sums + j * height * columns);
    const auto finish = KXFAST_PICK(WeightTaps, weight_taps);
    const int64_t places[2] = {layer_.candidates() + panels_.first(p), layer_.gates() + panels_.first(p)};
    for (const int64_t half : {0, 1}) {
      const float* from = sums + half * panels_.padded(p);
      const int64_t point = height * columns;
      finish({{from, from + point, from + 2 * point, from + 3 * point},
              columns,
              height,
              width,
              dweight + first * row + places[half],
              layer_.in * row,
              row});
    }
    if (!dbias || first > 0) return;
    add(own, p, 1, ones_.data(), 0, 1, sums);
    for (const int64_t half : {0, 1})
      std::copy_n(sums + half * panels_.padded(p), width, dbias + places[half]);
  }
  // Makes values of x: at once where a thread will want them all.
  void see(Place& own, int64_t piece) const {
    const auto pieces = static_cast<int64_t>(own.made.size());
    const bool all = panels_.count() >= num_threads();
    if (own.made[static_cast<size_t>(piece)]) return;
    const int64_t first = all ? 0 : piece * kChannels,
                  end = all ? layer_.in : std::min(layer_.in, first + kChannels);
    own.values.make(pairs_, x_, 0, pairs_.count, first, end - first);
    for (int64_t i = all ? 0 : piece; i < (all ? pieces : piece + 1); ++i)
      own.made[static_cast<size_t>(i)] = true;
  }
  void mix(int64_t p, float* inner) const {
    const auto combine = KXFAST_PICK(MixRows, mix_rows);
    const int64_t columns = 2 * panels_.padded(p), count = pairs_.count;
    for (int64_t i = 0; i < count; ++i) {
      const float *a = outer_row(p, i), *b = outer_row(p, 3 * count + i);
      float* const to[2] = {inner + i * columns, inner + (count + i) * columns};
      combine(a, b, 1, a, b, columns, to);
    }
  }
  const float* outer_row(int64_t p, int64_t i) const {
    return dz_.data.data() + number_[static_cast<size_t>(i)] * dz_.stride + 2 * panels_.first(p);
  }
  // Sums of outer products of some channels with a panel of dz at a point.
  void add(const Place& own, int64_t p, int64_t point, const float* const* x, int64_t first, int64_t height,
           float* sum) const {
    const bool inner = point == 1 || point == 2;
    const auto kernel = KXFAST_PICK(void (*)(const OuterBlock<float>&), outer);
    const int64_t columns = 2 * panels_.padded(p), count = pairs_.count;
    OuterBlock<float> block{};
    block.z = inner ? own.inner.data() : dz_.data.data() + 2 * panels_.first(p);
    block.z_stride = inner ? columns : dz_.stride;
    block.first = first, block.height = height, block.width = columns, block.sum = sum;
    std::fill(sum, sum + height * columns, 0.0f);
    for (int64_t n = 0; n < count; n += kSumRows) {
      block.x = x + n;
      block.number = number_.data() + point * count + n;
      block.count = std::min(kSumRows, count - n);
      kernel(block);
    }
  }

  const Pairs& pairs_;
  const Layer<float>& layer_;
  const Panels& panels_;
  const Source<float>& x_;
  const Gradient<float>& dz_;
  const float one_ = 1;
  Buffer<int64_t> number_;  // of rows of dz or `inner`, at the points
  Buffer<const float*> ones_;
};

}  // namespace kxfast::conv
