// One row of sums, from which the columns that are not 0 are taken out in order.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cooccurrence/runs.hpp"
#include "core/isa.hpp"
#include "core/workspace.hpp"

namespace kxfast::cooccurrence {

constexpr int64_t kBlock = 64;  // columns that share a mark

// Takes the columns whose sums are not 0 out of the marked blocks, and clears sums and marks. There are 8 n
// marks.
#define KXFAST_DECLARE(set)                                                                              \
  namespace set {                                                                                        \
  int64_t take_sums(uint32_t* sums, uint8_t* marks, int64_t blocks, int32_t* columns, uint32_t* values); \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE

using TakeSums = int64_t (*)(uint32_t*, uint8_t*, int64_t, int32_t*, uint32_t*);

inline TakeSums take_narrow_sums() {
  return KXFAST_PICK(TakeSums, take_sums);
}

template <class Sum>
class Sums {
 public:
  // Column `size` may be added to as well: it is what stands between documents, and is never taken out.
  explicit Sums(int64_t size)
      : size_(size),
        blocks_((size / kBlock + 8) / 8 * 8),
        sums_(static_cast<size_t>(blocks_ * kBlock)),
        marks_(static_cast<size_t>(blocks_)),
        columns_(static_cast<size_t>(size) + kBlock),
        values_(static_cast<size_t>(size) + kBlock) {
    for (Sum& each : sums_) each = 0;
    for (uint8_t& each : marks_) each = 0;
    if constexpr (std::is_same_v<Sum, uint32_t>) take_ = take_narrow_sums();
  }

  void add(uint32_t column, Sum value) {
    sums_[column] += value;
    marks_[column / kBlock] = 1;
  }

  void append_to(Bytes& out, uint32_t row) {
    sums_[static_cast<size_t>(size_)] = 0;
    const int64_t cells = take();
    append_row(out, row, static_cast<size_t>(cells), [this](size_t k) {
      return std::pair<uint32_t, Sum>(static_cast<uint32_t>(columns_[k]), values_[k]);
    });
  }

  int64_t blocks() const { return blocks_; }

 private:
  int64_t take() {
    if constexpr (std::is_same_v<Sum, uint32_t>) {
      return take_(sums_.data(), marks_.data(), blocks_, columns_.data(), values_.data());
    } else {
      size_t cells = 0;
      for (size_t block = 0; block < marks_.size(); ++block) {
        if (!marks_[block]) continue;
        marks_[block] = 0;
        for (size_t c = block * kBlock; c < (block + 1) * kBlock; ++c)
          if (sums_[c] != 0) {
            columns_[cells] = static_cast<int32_t>(c);
            values_[cells++] = std::exchange(sums_[c], 0);
          }
      }
      return static_cast<int64_t>(cells);
    }
  }

  int64_t size_, blocks_;
  Buffer<Sum> sums_;
  Buffer<uint8_t> marks_;
  Buffer<int32_t> columns_;
  Buffer<Sum> values_;
  TakeSums take_ = nullptr;
};

}  // namespace kxfast::cooccurrence
