// Tiles on their way from the warp group that brings them to those that multiply, in a ring of places.
//
// A place is filled in rounds. Those who bring wait until it has been read in the round before, fill it, and
// tell of it when its copies have landed, a round late, so that two are on their way; who has to wait for a
// place tells of all that has gone out first. Turns make the warp groups that multiply start their products
// one after the other.
#pragma once

#include "attention_panels.cuh"
#include "attention_problem.cuh"

namespace kx::attention {

constexpr int kStages = KX_STAGES;

// A place, and what those who multiply must know of the tiles in it.
struct Stage {
  SharedBarrier full, read;
  int tile;        // -1: there are no more
  int member;      // which of the heads that share the keys it is of
  int all;         // whether all its pairs count
  int strange[2];  // the last round in which some number of its first, second tile was not finite
};

// Of a round of a place; that of the round before is the other one.
__device__ __forceinline__ u32 parity_of(int round) {
  return static_cast<u32>(round / kStages) % 2;
}

// Barriers of all places and of turns, to be made by one warp before a barrier of the block.
__device__ __forceinline__ void make_ring(Stage* stages, SharedBarrier* turns) {
  const int at = static_cast<int>(threadIdx.x);
  if (at < kStages) {
    stages[at].full.make(kGroup);
    stages[at].read.make(4 * KX_GROUPS);
    stages[at].strange[0] = stages[at].strange[1] = -1;
  }
  if (at < KX_GROUPS) turns[at].make(4);
}

// The side of those who bring: look(stage, place, round) looks through tiles that have landed.
template <class Look>
class Ring {
 public:
  __device__ Ring(Stage* stages, Look look) : stages_(stages), look_(look) {}

  // The place of the next round, when it may be written.
  __device__ __forceinline__ int take() {
    const SharedBarrier& read = stages_[sent_ % kStages].read;
    const u32 before = parity_of(sent_) ^ 1;
    if (!read.over(before)) {
      copy_async_wait<0>();
      tell(sent_);
      read.wait(before);
    }
    return sent_ % kStages;
  }
  // All copies of the round have been started; whether tiles are to be looked through.
  __device__ __forceinline__ void send(bool tested) {
    copy_async_commit();
    ++sent_;
    tested_ = tested_ << 1 | static_cast<u32>(tested);
    copy_async_wait<1>();
    tell(sent_ - 1);
  }
  __device__ __forceinline__ void end() {
    Stage& last = stages_[take()];
    copy_async_wait<0>();
    tell(sent_);
    if (thread_of_group() == 0) last.tile = -1;
    last.full.arrive();
  }

 private:
  __device__ __forceinline__ void tell(int end) {
    for (; told_ < end; ++told_) {
      Stage& stage = stages_[told_ % kStages];
      if (tested_ >> (sent_ - told_ - 1) & 1) look_(stage, told_ % kStages, told_);
      warp_group_publish();
      stage.full.arrive();
    }
  }

  Stage* stages_;
  Look look_;
  int sent_ = 0, told_ = 0;
  u32 tested_ = 0;  // the last bit is of the last round that has gone out
};

// One arrival of a warp.
__device__ __forceinline__ void arrive_once(SharedBarrier& barrier) {
  __syncwarp();
  if (lane_id() == 0) barrier.arrive();
}

// The side of a warp group that multiplies.
class Rounds {
 public:
  __device__ Rounds(Stage* stages, SharedBarrier* turns)
      : stages_(stages),
        turns_(turns),
        group_(__shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kGroup - 1, 0)) {}

  // The tile of a round; -1 behind the last.
  __device__ __forceinline__ int tile(int round) const {
    stages_[round % kStages].full.wait(parity_of(round));
    return stages_[round % kStages].tile;
  }
  __device__ __forceinline__ void take_turn(int round) const {
    turns_[group_].wait(static_cast<u32>(round + (group_ == 0)) % 2);
  }
  __device__ __forceinline__ void pass_turn() const { arrive_once(turns_[(group_ + 1) % KX_GROUPS]); }
  __device__ __forceinline__ void has_read(int round) const { arrive_once(stages_[round % kStages].read); }
  __device__ __forceinline__ int group() const { return group_; }

 private:
  Stage* stages_;
  SharedBarrier* turns_;
  int group_;  // one of a warp, so that addresses made of it are computed once for all lanes
};

// Which pairs of 64 rows and columns of scores count, beside a bias that may take some out.
template <bool kOfKeys, class HeadOf>
__device__ __forceinline__ u32 kept_of(const HeadOf& head, float (&s)[8][4], bool all, i64 first, i64 other) {
  u32 kept = kAllPairs<64>;
  if (kOfKeys) {
    if (!all || other + 64 > head.q_len) kept = head.pairs.template of_keys<64>(first, other);
  } else {
    if (!all || first + 16 > head.q_len) kept = head.pairs.template of_queries<64>(first, other);
  }
  if (head.bias)
    add_bias<KX_T, 64, kOfKeys>(s, kept, head.bias, head.bias_row, head.bias_column, first, other);
  return kept;
}

// 64 columns of sums.
template <class T, int kN>
__device__ __forceinline__ Sums<T, 1, 64>& part_of(Sums<T, 1, kN>& sums, int h) {
  return *reinterpret_cast<Sums<T, 1, 64>*>(sums.at[0][8 * h]);
}

// Which pairs of a lane's rows count, row j of the tile after row j: bits in words of 64 rows.
template <int kN>
class KeptBits {
 public:
  __device__ explicit KeptBits(const u32 (&kept)[kN / 64])
      : bits_(kept[0] | static_cast<u64>(kept[kN / 64 - 1]) << 32) {}
  // Of the first and the second row, in two bits; `from` is the lane that knows of row j.
  __device__ __forceinline__ u32 of(int j, int from) const {
    const u32 word = __shfl_sync(kAllLanes, static_cast<u32>(bits_), from) >> (j / 8 % 2 * 4 + j % 2);
    return (word & 1) | (word >> 1 & 2);
  }
  __device__ __forceinline__ void go_on() { bits_ >>= 8; }  // after 16 rows

 private:
  u64 bits_;
};

// The same of weights that are -0 where a pair does not count, which no other weight is.
template <class T, int kN>
class KeptWeights {
 public:
  __device__ explicit KeptWeights(const Factor<T, kN>& weights) : weights_(weights) {}
  __device__ __forceinline__ u32 of(int j, int from) const {
    u32 word = 0;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const u32 weight = weights_.from(j, i, from) >> (16 * (j % 2)) & 0xFFFF;
      word |= static_cast<u32>(weight != 0x8000) << i;
    }
    return word;
  }
  __device__ __forceinline__ void go_on() { weights_.go_on(); }

 private:
  Factor<T, kN> weights_;
};

// sums += p times a tile of kN rows, for those pairs alone that are kept, row by row.
template <class T, int kColumns, int kN, class Kept>
__device__ __forceinline__ void times_kept(Sums<T, 1, kColumns>& sums, Factor<T, kN> p, Kept kept,
                                           const T* rows) {
  const PanelTile<T, kN> tile = {rows};
#pragma unroll 1
  for (int j = 0; j < kN; ++j) {
    const int from = lane_id() / 4 * 4 + j % 8 / 2;
    const u32 both = kept.of(j, from);
    float by[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float pair[2];
      unpack(T{}, p.from(j, i, from), pair[0], pair[1]);
      by[i] = j % 2 ? pair[1] : pair[0];
    }
    const bool some[2] = {(both & 1) != 0, (both & 2) != 0};
    add_row<kColumns>(sums.at[0], by, some, [&](int c) { return tile(j, c); }, kColumns);
    if (j % 16 == 15) p.go_on(), kept.go_on();
  }
}

}  // namespace kx::attention
