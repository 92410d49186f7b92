// The way out of a convolution: sums that lie in the registers of a matrix instruction, to rows of results.
#pragma once

#include "conv_problem.cuh"

namespace kx::conv {

// From row to row of the sums that a warp hands over, of which kLanes lanes share a row: lanes of eight rows
// write to different banks.
template <int kLanes>
constexpr int kHandedOver = 4 * kLanes + 8;

// Hands sums over to a lane's columns: a warp takes eight rows at a time through shared memory, `own`, so
// that kLanes of its lanes stand side by side along the columns, and each has two of either group. top(t) is
// the row that the warp's t-th band of 16 begins at. What results are mixed with is on its way for some rows
// while those before are written: the compiler could not know that it may be. Tried
// and lost, by instructions: a copy of the text for each of a lane's sums, 9,000 of them in a kernel.
template <int kLanes, class Sum, int kTall, int kWide, class Columns, class Top>
__device__ __forceinline__ void hand_over(const Sum (&sums)[kTall][kWide][4], Sum* own, i64 rows,
                                          const Columns& columns, Top top) {
  constexpr int kPitch = kHandedOver<kLanes>, kStep = kWarp / kLanes;  // rows that a warp stands in
  constexpr int kAhead = kStep == 1 ? 4 : 8 / kStep, kAtOnce = kAhead * kStep;
  constexpr int kBatches = kTall * 16 / kAtOnce;
  const int lane = lane_id(), mine = lane / kLanes;
  Sum* const to = own + lane / 4 * kPitch + lane % 4 * 2;
  const Sum* const from = own + mine * kPitch + lane % kLanes * 2;
  const auto row_of = [&](int batch) { return top(batch * kAtOnce / 16) + batch * kAtOnce % 16; };
  typename Columns::Beside now[kAhead], next[kAhead];
  const auto read = [&](int batch) {
#pragma unroll
    for (int r = 0; r < kAhead; ++r) {
      const i64 row = row_of(batch) + mine + r * kStep;
      next[r] = columns.read(row < rows ? row : rows - 1);
    }
  };
  read(0);
#pragma unroll 1
  for (int batch = 0; batch < kBatches && row_of(batch) < rows; ++batch) {
#pragma unroll
    for (int r = 0; r < kAhead; ++r) now[r] = next[r];
    if (batch + 1 < kBatches) read(batch + 1);
    if (batch * kAtOnce % 8 == 0) {
      __syncwarp();
#pragma unroll
      for (int eight = 0; eight < 2 * kTall; ++eight) {
        if (batch * kAtOnce != 8 * eight) continue;
#pragma unroll
        for (int n = 0; n < kWide; ++n)
          *reinterpret_cast<Pair<Sum>*>(to + 8 * n) = {sums[eight / 2][n][2 * (eight % 2)],
                                                       sums[eight / 2][n][2 * (eight % 2) + 1]};
      }
      __syncwarp();
    }
    Pair<Sum> one[kAhead], other[kAhead];
#pragma unroll
    for (int r = 0; r < kAhead; ++r) {
      const Sum* const at = from + (batch * kAtOnce % 8 + r * kStep) * kPitch;
      one[r] = pair_at(at, 2, true), other[r] = pair_at(at + 2 * kLanes, 2, true);
    }
    columns.template write<kStep>(row_of(batch) + mine, rows - row_of(batch) - mine, one, other, now);
  }
}

// Two neighbouring columns of a lane, and the two kApart further on; kEven says that their number is even.
template <class T, int kApart, bool kEven>
class PlainColumns {
 public:
  using Sum = SumOf<T>;
  static constexpr int kAcross = 2 * kApart;
  struct Beside {
    typename Plain<T>::Beside at[2];
  };

  __device__ __forceinline__ PlainColumns(const Plain<T>& plain, i64 at) : plain_(plain) {
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      within_[g] = at + g * kApart < plain.columns;
      at_[g] = within_[g] ? at + g * kApart : 0;
      plain.template biases<kEven>(bias_[g], at_[g]);
    }
  }
  __device__ __forceinline__ static Groups groups(const Plain<T>& plain, i64 begin) {
    return {{begin, begin + kApart}, {plain.columns, plain.columns}};
  }

  __device__ __forceinline__ Beside read(i64 row) const {
    return {{plain_.template beside<kEven>(row, at_[0]), plain_.template beside<kEven>(row, at_[1])}};
  }
  // Of rows kStep apart, from `top` on, behind which there are `left`.
  template <int kStep, int kCount>
  __device__ __forceinline__ void write(i64 top, i64 left, const Pair<Sum> (&one)[kCount],
                                        const Pair<Sum> (&other)[kCount],
                                        const Beside (&beside)[kCount]) const {
#pragma unroll
    for (int r = 0; r < kCount; ++r)
#pragma unroll
      for (int g = 0; g < 2; ++g) {
        Sum x[2];
#pragma unroll
        for (int j = 0; j < 2; ++j) x[j] = (g ? other[r].at[j] : one[r].at[j]) + bias_[g][j];
        const bool wanted = within_[g] && r * kStep < left;
        plain_.template write<kEven>(top + r * kStep, at_[g], x, beside[r].at[g], wanted);
      }
  }

 private:
  const Plain<T> plain_;  // a reference would keep it in memory
  bool within_[2];
  i64 at_[2];  // where one must be read
  Sum bias_[2][2] = {{0, 0}, {0, 0}};
};

}  // namespace kx::conv
