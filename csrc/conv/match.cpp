// Sliding similarity of a question and the windows of a passage.
//
// A question of up to 64 tokens has its column of edit distances in the bits of two words (Myers 1999, with
// Hyyro's first row for whole distances), so that a window costs a few operations a token instead of `width`;
// longer ones take the table of distances row by row. Sets are stamps: a token's stamp is the last window
// that counted it.
#include "conv/match.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "core/workspace.hpp"

namespace kxfast::conv {
namespace {

constexpr int64_t kBits = 64, kPlaces = 64;

int64_t distance_by_bits(const uint64_t* places, const int64_t* window, int64_t count, int64_t width) {
  uint64_t more = ~uint64_t{0}, less = 0;
  int64_t distance = width;
  const uint64_t last = uint64_t{1} << (width - 1);
  for (int64_t i = 0; i < count; ++i) {
    uint64_t x = places[window[i]] | less;
    const uint64_t diagonal = (((x & more) + more) ^ more) | x;
    const uint64_t row_less = more & diagonal, row_more = less | ~(more | diagonal);
    distance += (row_more & last) != 0;
    distance -= (row_less & last) != 0;
    x = (row_more << 1) | 1;
    less = x & diagonal;
    more = (row_less << 1) | ~(x | diagonal);
  }
  return distance;
}

int64_t distance_by_rows(const int64_t* question, int64_t width, const int64_t* window, int64_t count,
                         int64_t* row) {
  for (int64_t j = 0; j <= width; ++j) row[j] = j;
  for (int64_t i = 0; i < count; ++i) {
    int64_t diagonal = row[0];
    row[0] = i + 1;
    for (int64_t j = 1; j <= width; ++j) {
      const int64_t replaced = diagonal + (window[i] != question[j - 1]);
      diagonal = row[j];
      row[j] = std::min(replaced, std::min(row[j], row[j - 1]) + 1);
    }
  }
  return row[width];
}

}  // namespace

void match_features(const int64_t* question, int64_t width, const int64_t* passage, int64_t length,
                    int64_t tokens, double* out, Job& job) {
  Buffer<uint64_t> places(static_cast<size_t>(tokens));
  std::fill(places.begin(), places.end(), 0);
  int64_t distinct = 0;
  for (int64_t j = 0; j < width; ++j) {
    distinct = std::max(distinct, question[j] + 1);
    if (width <= kBits) places[static_cast<size_t>(question[j])] |= uint64_t{1} << j;
  }
  const auto task = [&](int64_t block) {
    Buffer<int64_t> stamp(static_cast<size_t>(tokens)), row(static_cast<size_t>(width + 1));
    std::fill(stamp.begin(), stamp.end(), -1);
    for (int64_t t = block * kPlaces; t < std::min(length, (block + 1) * kPlaces) && job.advance(1); ++t) {
      const int64_t begin = std::max<int64_t>(0, t - width / 2);
      const int64_t end = std::min(length, std::max<int64_t>(0, t - width / 2 + width));
      int64_t shared = 0, others = 0;
      for (int64_t i = begin; i < end; ++i) {
        int64_t& last = stamp[static_cast<size_t>(passage[i])];
        if (last == t) continue;
        last = t;
        ++(passage[i] < distinct ? shared : others);
      }
      const int64_t distance =
          width <= kBits ? distance_by_bits(places.data(), passage + begin, end - begin, width)
                         : distance_by_rows(question, width, passage + begin, end - begin, row.data());
      out[3 * t] = passage[t] < distinct;
      out[3 * t + 1] = static_cast<double>(shared) / static_cast<double>(distinct + others);
      out[3 * t + 2] = static_cast<double>(distance) / static_cast<double>(width);
    }
  };
  parallel_for((length + kPlaces - 1) / kPlaces, task, length * width < (1 << 14) ? 1 : 0);
}

}  // namespace kxfast::conv
