// Pooling over time. A task takes a sequence and some of its channels, all rows in order, so that no sum
// depends on the number of threads. Attention pooling reads x twice: its scores are the products of linear
// panels, of real positions alone, which go from the cache through the activation into one number a position,
// without an array (positions, hidden); then the softmax of each sequence weighs its rows.
#include <cmath>
#include <limits>

#include "conv/common.hpp"
#include "conv/plain.hpp"

namespace kxfast::conv {
namespace {

constexpr int64_t kChannels = 64;  // of a task: whole cache lines

// finish(sequence, first channel, count) after out has what the kernel leaves.
template <class T, class Finish>
void by_sequences(Pool way, const Input<T>& input, int64_t channels, const T* weight, T* out,
                  Finish&& finish) {
  const auto kernel = KXFAST_PICK(void (*)(const PoolBlock<T>&), pool_rows);
  const int64_t pieces = (channels + kChannels - 1) / kChannels;
  const auto task = [&](int64_t i) {
    const int64_t b = i / pieces, first = i % pieces * kChannels, row = b * input.length;
    const int64_t count = std::min(kChannels, channels - first);
    kernel({way, input.x + b * input.sequence + first, input.mask ? input.mask + row : nullptr,
            weight ? weight + row : nullptr, input.length, input.row, count, out + b * channels + first});
    finish(b, out + b * channels + first, count);
  };
  parallel_for(input.batch * pieces, task, input.batch * input.length * channels < (1 << 17) ? 1 : 0);
}

template <class T>
int64_t real_positions(const Input<T>& input, int64_t b) {
  if (!input.mask) return input.length;
  const bool* mask = input.mask + b * input.length;
  return std::count(mask, mask + input.length, true);
}

// act(x hidden + bias) output of each real position, by its number in the batch.
template <class T>
void make_scores(const Attention<T>& attention, const Input<T>& input, T* scores) {
  const Rows rows(input.mask, input.batch, input.length);
  const LinearWeight<T> weight(attention.hidden, progression(attention.channels, attention.width), 1,
                               attention.width, tiling<T>());
  const auto multiply = product_kernel<T>();
  const auto score = KXFAST_PICK(void (*)(const ScoreBlock<T>&), score_rows);
  const Source<T> source{input.x, input.row, nullptr, nullptr, 1, 0, 0, input.extra()};
  const Panels& panels = weight.panels;
  const double work =
      static_cast<double>(rows.count * attention.channels) * static_cast<double>(attention.width);
  over_blocks(rows, source, attention.channels, 1, work, Order::rows,
              [&](const Products<T>& in, int64_t row, int64_t, int64_t) {
                constexpr int64_t kRows = 128, kColumns = 64;
                alignas(64) T z[kRows * kColumns];
                T sums[kRows] = {};
                int64_t number[kRows];
                for (int64_t i = 0; i < in.count; ++i) number[i] = i;
                for (int64_t p = 0; p < panels.count(); ++p) {
                  const int64_t first = panels.first(p), width = panels.width(p);
                  multiply({in, weight.panel(p), nullptr, width, number, z, kColumns, false});
                  score({z, attention.bias ? attention.bias + first : nullptr, attention.output + first,
                         kColumns, in.count, width, attention.swish, sums});
                }
                for (int64_t i = 0; i < in.count; ++i) scores[*rows.number(row + i)] = sums[i];
              });
}

// Scores of a sequence become weights whose sum is 1.
template <class T>
void softmax(const bool* mask, int64_t length, T* scores) {
  T top = -std::numeric_limits<T>::infinity(), total = 0;
  const auto real = [&](int64_t t) { return !mask || mask[t]; };
  for (int64_t t = 0; t < length; ++t)
    if (real(t)) top = std::isnan(scores[t]) ? scores[t] : std::max(top, scores[t]);
  for (int64_t t = 0; t < length; ++t)
    if (real(t)) total += scores[t] = std::exp(scores[t] - top);
  for (int64_t t = 0; t < length; ++t)
    if (real(t)) scores[t] /= total;
}

}  // namespace

template <class T>
void pooled(Pool way, const Input<T>& input, int64_t channels, T* out) {
  by_sequences<T>(way, input, channels, nullptr, out, [&](int64_t b, T* row, int64_t count) {
    const int64_t real = real_positions(input, b);
    if (real == 0)
      std::fill(row, row + count, T{0});
    else if (way == Pool::mean)
      for (int64_t i = 0; i < count; ++i) row[i] /= static_cast<T>(real);
  });
}

template <class T>
void attention_pooled(const Attention<T>& attention, const Input<T>& input, T* out) {
  Buffer<T> weight(static_cast<size_t>(input.batch * input.length));
  make_scores(attention, input, weight.data());
  const auto task = [&](int64_t b) {
    softmax(input.mask ? input.mask + b * input.length : nullptr, input.length,
            weight.data() + b * input.length);
  };
  parallel_for(input.batch, task, input.batch * input.length < (1 << 12) ? 1 : 0);
  by_sequences<T>(Pool::mean, input, attention.channels, weight.data(), out, [](int64_t, T*, int64_t) {});
}

template void pooled(Pool, const Input<float>&, int64_t, float*);
template void pooled(Pool, const Input<double>&, int64_t, double*);
template void attention_pooled(const Attention<float>&, const Input<float>&, float*);
template void attention_pooled(const Attention<double>&, const Input<double>&, double*);

}  // namespace kxfast::conv
