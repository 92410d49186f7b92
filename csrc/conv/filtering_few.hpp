// Minimal filtering (filtering.hpp) of few rows. A task makes the values of the weights of its panel, so that
// they lie in the cache of the thread that multiplies them, and a thread those of the rows it meets: what two
// threads make together each reads half of from the other's cache, which for 128 rows took a fifth of the
// time, and weights made once for all threads, as for many rows, 1.6 times the time. Such memory is the same
// block from loop to loop for the same thread (Scratch): blocks that went from one core to the other took a
// fifteenth of forward and backward.
#pragma once

#include <cmath>

#include "conv/filtering_weights.hpp"
#include "conv/outer.hpp"

namespace kxfast::conv {

// Values of some pairs at the points, in runs of at most `run` channels.
class PairValues {
 public:
  static size_t space(int64_t most, int64_t channels, int64_t run) {
    return Scratch::space<float>(kPoints * most * odd_lines(channels)) +
           Scratch::space<const float*>((channels + run - 1) / run * kPoints * most);
  }
  PairValues(int64_t most, int64_t channels, int64_t run, Scratch& scratch)
      : most_(most),
        channels_(channels),
        run_(run),
        stride_(odd_lines(channels)),
        values_(scratch.take<float>(kPoints * most * stride_)),
        rows_(scratch.take<const float*>((channels + run - 1) / run * kPoints * most)) {
    for (int64_t first = 0; first < channels; first += run)
      for (int64_t i = 0; i < kPoints * most; ++i)
        rows_[first / run * kPoints * most + i] = values_ + i * stride_ + first;
  }
  // Of `count` pairs from `begin` on, for some of the source's channels.
  void make(const Pairs& pairs, const Source<float>& source, int64_t begin, int64_t count, int64_t first,
            int64_t channels) {
    const FilterRows filter = filter_kernel();
    for (int64_t n = 0; n < count; ++n) {
      const float* d[kPoints];
      float* to[kPoints];
      pairs.point(begin + n, source, d);
      for (int64_t j = 0; j < kPoints; ++j) {
        d[j] += first;
        to[j] = values_ + (j * most_ + n) * stride_;
      }
      filter(d, channels, to);
    }
  }
  // Of the run that begins at channel `first`.
  Products<float> of(int64_t first, int64_t count) const {
    return {rows_ + first / run_ * kPoints * most_, most_, count, kPoints, std::min(run_, channels_ - first)};
  }

 private:
  const int64_t most_, channels_, run_, stride_;
  float* const values_;
  const float** const rows_;
};

// use(panel, its weights, values of pairs, first pair, their number) in tasks of one panel and all pairs, or
// a part of them where that makes fewer values twice, or where there are too few panels for the threads.
// Weights are made in the task unless they were `kept`.
template <class Kind, class Use>
class PanelsOfFew {
 public:
  PanelsOfFew(const Kind& kind, const PointWeight<Kind>* kept, const Pairs& pairs,
              const Source<float>& source, int64_t channels, int64_t run, const Use& use)
      : kind_(kind),
        kept_(kept),
        pairs_(pairs),
        source_(source),
        channels_(channels),
        parts_(parts(kind.panels, pairs.count)),
        use_(use),
        places_(num_threads()) {
    const int64_t each = kept ? 0 : kind.depth * kind.panels.size, most = (pairs.count + parts_ - 1) / parts_;
    for (int i = 0; i < num_threads(); ++i) {
      Scratch scratch(static_cast<size_t>(2 * i),
                      PairValues::space(most, channels, run) + Scratch::space<float>(each));
      const PairValues values(most, channels, run, scratch);
      float* const weights = scratch.take<float>(each);
      own_.push_back({std::move(scratch), values, weights});
    }
  }

  int64_t tasks() const { return kind_.panels.count() * parts_; }
  void operator()(int64_t i) {
    const int64_t count = kind_.panels.count(), part = i / count, p = i % count;
    const int64_t begin = part * pairs_.count / parts_, rows = (part + 1) * pairs_.count / parts_ - begin;
    const Places::Taken place = places_.take();
    Place& mine = own_[place.number];
    if (mine.part != part) mine.values.make(pairs_, source_, begin, rows, 0, channels_);
    mine.part = part;
    if (kept_) return use_(p, kept_->panel(p), mine.values, begin, rows);
    for (int64_t piece = 0; piece < kind_.pieces(); ++piece) kind_.make(p, piece, mine.weights);
    use_(p, mine.weights, mine.values, begin, rows);
  }

 private:
  struct Place {
    Scratch scratch;
    PairValues values;
    float* weights;
    int64_t part = -1;  // that the values are of
  };

  static int64_t parts(const Panels& panels, int64_t pairs) {
    constexpr int64_t kLeast = 24;  // pairs
    const int64_t threads = num_threads(), count = panels.count();
    const auto even = static_cast<int64_t>(
        std::sqrt(static_cast<double>(pairs * threads) / static_cast<double>(panels.total)));
    const int64_t wanted =
        count % threads == 0 || count >= 4 * threads ? 1 : (2 * threads + count - 1) / count;
    return std::max<int64_t>(1, std::min(std::max(wanted, even), pairs / kLeast));
  }

  const Kind& kind_;
  const PointWeight<Kind>* const kept_;
  const Pairs& pairs_;
  const Source<float> source_;
  const int64_t channels_, parts_;
  const Use use_;
  std::vector<Place> own_;
  Places places_;
};

// Gradients of the weight and, if wanted, of the bias (filtered_backward.hpp); a task has all points of some
// channels in and a group of panels of columns, a cache line of candidates wide, and combines them from its
// cache. Threads share out channels in: lines of the gradient that they wrote beside each other each would
// fetch from the other (128 rows, two threads: a tenth of forward and backward). Lost: tasks that make their
// panels of dz themselves from what was kept (5 % slower).
class WeightsOfFew {
 public:
  WeightsOfFew(const Pairs& pairs, const Layer<float>& layer, const Panels& panels, const Source<float>& x,
               const Gradient<float>& dz, float* dweight, float* dbias)
      : pairs_(pairs),
        layer_(layer),
        panels_(panels),
        x_(x),
        dz_(dz),
        together_(std::max<int64_t>(1, 16 / panels.size)),
        groups_((panels.count() + together_ - 1) / together_),
        each_(share(layer.in, groups_)),
        splits_((layer.in + each_ - 1) / each_),
        dweight_(dweight),
        dbias_(dbias),
        ones_(static_cast<size_t>(pairs.count)),
        places_(num_threads()) {
    std::fill(ones_.begin(), ones_.end(), &one_);
    for (int i = 0; i < num_threads(); ++i) own_.emplace_back(*this, static_cast<size_t>(2 * i + 1));
  }

  int64_t tasks() const { return groups_ * splits_; }
  void operator()(int64_t i) {
    const Places::Taken place = places_.take();
    part(own_[place.number], i % groups_, i / groups_);
  }

 private:
  static constexpr int64_t kChannels = kHeight;
  struct Place {
    Place(const WeightsOfFew& all, size_t number)
        : scratch(number, PairValues::space(all.pairs_.count, all.each_, all.each_) +
                              Scratch::space<float>(2 * all.pairs_.count * all.columns()) +
                              Scratch::space<const float*>(kPoints * all.pairs_.count)),
          values(all.pairs_.count, all.each_, all.each_, scratch),
          inner(scratch.take<float>(2 * all.pairs_.count * all.columns())),
          rows(scratch.take<const float*>(kPoints * all.pairs_.count)) {}

    Scratch scratch;
    PairValues values;
    float* inner;        // of both positions, added and, below, subtracted
    const float** rows;  // of the group at the points
    int64_t split = -1;  // whose channels the values are of
  };

  // Channels in of a task: all of them where one of two threads has all tasks, and the other the gradient of
  // the input's, else a share for every two threads.
  static int64_t share(int64_t channels, int64_t groups) {
    const int64_t threads = num_threads(), wanted = std::max<int64_t>({1, threads / 2, threads / groups});
    return std::max(kHeight / 4, ((channels + wanted - 1) / wanted + 3) / 4 * 4);
  }
  // Of a group of panels.
  int64_t columns() const { return 2 * together_ * panels_.size; }

  void part(Place& own, int64_t group, int64_t split) const {
    gather(own, group);
    const int64_t first = group * together_, end = std::min(panels_.count(), first + together_);
    const int64_t from = std::min(layer_.in, split * each_), to = std::min(layer_.in, from + each_);
    if (own.split != split) own.values.make(pairs_, x_, 0, pairs_.count, from, to - from);
    own.split = split;
    for (int64_t channel = from; channel < to; channel += kChannels)
      for (int64_t p = first; p < end; ++p)
        panel(own, p, 2 * panels_.first(p - first), channel - from, std::min(kChannels, to - channel),
              dweight_ + channel * 2 * layer_.out);
    if (!dbias_ || split > 0) return;
    alignas(64) float sums[kPanelBytes / sizeof(float)];
    for (int64_t p = first; p < end; ++p) {
      add(own, p, 2 * panels_.first(p - first), 1, ones_.data(), 0, 1, sums);
      for (const int64_t half : {0, 1})
        std::copy_n(sums + half * panels_.padded(p), panels_.width(p), dbias_ + place(p, half));
    }
  }
  // Where a panel's candidates and gates begin in a row of the weight.
  int64_t place(int64_t p, int64_t half) const {
    return (half ? layer_.gates() : layer_.candidates()) + panels_.first(p);
  }
  // Of some channels, whose values begin at `first`.
  void panel(const Place& own, int64_t p, int64_t column, int64_t first, int64_t height, float* to) const {
    const int64_t padded = panels_.padded(p), point = height * 2 * padded, row = 2 * layer_.out;
    alignas(64) float sums[kPoints * kChannels * kPanelBytes / sizeof(float)];
    for (int64_t j = 0; j < kPoints; ++j)
      add(own, p, column, j, own.values.of(0, pairs_.count).rows + j * pairs_.count, first, height,
          sums + j * point);
    const auto finish = KXFAST_PICK(WeightTaps, weight_taps);
    finish({{sums, sums + point, sums + 2 * point, sums + 3 * point},
            padded,
            2 * padded,
            height,
            panels_.width(p),
            {to + place(p, 0), to + place(p, 1)},
            layer_.in * row,
            row});
  }
  // Makes a group of panels of dz at the points.
  void gather(Place& own, int64_t group) const {
    const int64_t first = panels_.first(group * together_), count = pairs_.count;
    const int64_t width = std::min(together_ * panels_.size, panels_.padded_total() - first);
    const auto combine = KXFAST_PICK(MixRows, mix_rows);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t* row = pairs_.number(i);
      const float* z[2] = {dz_.at(row[0]) + 2 * first, dz_.at(row[1]) + 2 * first};
      float* const to[2] = {own.inner + i * columns(), own.inner + (count + i) * columns()};
      combine(z[0], z[1], 1, z[0], z[1], 2 * width, to);
      const float* const rows[kPoints] = {z[0], to[0], to[1], z[1]};
      for (int64_t j = 0; j < kPoints; ++j) own.rows[j * count + i] = rows[j];
    }
  }
  // Sums of outer products of some channels at a point with a panel that begins at a column of the group.
  void add(const Place& own, int64_t p, int64_t column, int64_t point, const float* const* x, int64_t first,
           int64_t height, float* sum) const {
    const auto kernel = KXFAST_PICK(void (*)(const OuterBlock<float>&), outer);
    const float* const* z = own.rows + point * pairs_.count;
    for (int64_t n = 0; n < pairs_.count; n += kSumRows)
      kernel({x + n, z + n, first, column, std::min(kSumRows, pairs_.count - n), height,
              2 * panels_.padded(p), sum, n == 0});
  }

  const Pairs& pairs_;
  const Layer<float>& layer_;
  const Panels& panels_;
  const Source<float>& x_;
  const Gradient<float>& dz_;
  const float one_ = 1;
  const int64_t together_, groups_, each_,
      splits_;  // panels in a group, channels of its tasks, and their number
  float *const dweight_, *const dbias_;
  Buffer<const float*> ones_;
  std::vector<Place> own_;
  Places places_;
};

}  // namespace kxfast::conv
