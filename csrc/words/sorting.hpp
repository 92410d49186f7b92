// A sort on all threads that hears Ctrl-C.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/threads.hpp"

namespace kxfast::words {

// How many of the first `count` rows of two sorted stretches, merged, come from the first of them.
template <class T, class Less>
int64_t taken_from_first(const T* a, int64_t a_size, const T* b, int64_t b_size, int64_t count, Less&& less) {
  int64_t low = std::max<int64_t>(count - b_size, 0), high = std::min(count, a_size);
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (less(b[count - middle - 1], a[middle]))
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

// Sorts parts, then merges them in pairs; a task is a part, or a stretch of what a merge writes, so that none
// takes more than a few milliseconds. A job that stops leaves the rows in any order.
template <class T, class Less>
void sort_in_parts(std::vector<T>& rows, Less less, int threads, Job& job) {
  constexpr int64_t kPart = 1 << 15;
  const auto size = static_cast<int64_t>(rows.size()), tasks = (size + kPart - 1) / kPart;
  const auto sort_part = [&](int64_t part) {
    std::sort(rows.data() + part * kPart, rows.data() + std::min((part + 1) * kPart, size), less);
  };
  parallel_for(tasks, sort_part, threads, &job);
  std::vector<T> merged(size > kPart ? rows.size() : 0);
  for (int64_t width = kPart; width < size && !job.stopped(); width *= 2) {
    const auto merge_stretch = [&](int64_t task) {
      const int64_t begin = task * kPart, end = std::min(begin + kPart, size),
                    pair = begin / width / 2 * 2 * width;
      const T *a = rows.data() + pair, *b = rows.data() + std::min(pair + width, size);
      const int64_t a_size = b - a, b_size = std::min(pair + 2 * width, size) - pair - a_size;
      const int64_t a_from = taken_from_first(a, a_size, b, b_size, begin - pair, less);
      const int64_t a_to = taken_from_first(a, a_size, b, b_size, end - pair, less);
      std::merge(a + a_from, a + a_to, b + (begin - pair - a_from), b + (end - pair - a_to),
                 merged.data() + begin, less);
    };
    parallel_for(tasks, merge_stretch, threads, &job);
    rows.swap(merged);
  }
}

}  // namespace kxfast::words
