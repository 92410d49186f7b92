// The forward pass of attention on Hopper: what attention.cuh says, by warp groups.
//
// A block owns 64 queries of one head for each of KX_GROUPS warp groups that multiply; one more brings tiles
// of keys and values, KX_STAGES of them on their way at a time, and tells the others which ones: empty tiles
// are never touched. Both factors of the scores lie in shared memory in panels; weights go from registers
// into the product with the values. The innermost loop is a product's, 16 deep. The warp groups that multiply
// wait for nobody but the one that brings, so that one's exponentials run beside another's products;
// registers go from the one that brings to them. What limits it on paper: at head size 128 the matrix units,
// 64 as much the exponentials (a quarter as many a cycle as lanes). Values are looked through for what is not
// finite by those who bring them, and only where a pair of the tile may be forbidden; such a tile goes row by
// row. Copies are those of sm_80: rows may stand anywhere and in any order, and no tensor maps have to be
// made for a call. Not measured on a GPU, and not tried there: turns that make warp groups alternate, scores
// of the next tile beside the values of this one, bulk copies.
#include "attention_panels.cuh"
#include "attention_softmax.cuh"

namespace kx::attention {

constexpr int kRows = KX_GROUPS * 64, kKeys = KX_OTHER, kStages = KX_STAGES;
// Columns that products make at a time, with zeros.
constexpr int kColumns = KX_PART <= 64 ? 64 : rounded_up(KX_PART, 128);

// A tile of keys and one of values on their way, and what those who multiply must know of them.
struct Stage {
  SharedBarrier keys, keys_read, values_read;
  int tile;     // -1: there are no more
  int all;      // whether all its pairs count
  int strange;  // the last round in which some value was not finite
};

template <class T>
struct Memory {
  T *q, *k, *v;
  Stage* stages;
  SharedBarrier* turns;  // of each warp group that multiplies, given by the one before

  __device__ Memory() {
    Shared shared;
    q = shared.take<T>(panel_tile(kRows, KX_D));
    k = shared.take<T>(kStages * panel_tile(kKeys, KX_D));
    v = shared.take<T>(kStages * panel_tile(kKeys, kColumns));
    stages = shared.take<Stage>(kStages);
    turns = shared.take<SharedBarrier>(KX_GROUPS);
  }
  __device__ __forceinline__ T* keys(int stage) const { return k + stage * panel_tile(kKeys, KX_D); }
  __device__ __forceinline__ T* values(int stage) const { return v + stage * panel_tile(kKeys, kColumns); }
};

template <class T>
using HeadOf = Head<T, KX_D, KX_DV>;

// Tiles go out in rounds, keys and values one after the other; keys that have landed are told of, and with
// them the values of the round before. A place that is still being read is waited for only when all that has
// gone out has been told of.
template <class T>
class Bringer {
 public:
  __device__ Bringer(const Memory<T>& memory, const HeadOf<T>& head, i64 q_tile, int part)
      : memory_(memory), head_(head), q_tile_(q_tile), part_(part) {}

  __device__ void run() {
    const int tiles = static_cast<int>((head_.k_len + kKeys - 1) / kKeys);
    const auto next = [&](int from) {
      return first_tile(from, tiles,
                        [&](int tile) { return head_.pairs.template kind<kKeys>(q_tile_, tile) > 0; });
    };
    int round = 0;
    for (int tile = next(0); tile < tiles; tile = next(tile + 1), ++round) {
      Stage& stage = memory_.stages[round % kStages];
      const int all = head_.pairs.template kind<kKeys>(q_tile_, tile) == 2;
      wait_for(stage.keys_read, round);
      if (thread_of_group() == 0) stage.tile = tile, stage.all = all;
      if (round == 0)
        fetch_panels<kRows, KX_D, KX_D>(memory_.q, head_.q, head_.q_row, q_tile_ * kRows, head_.q_len,
                                        head_.order);
      const i64 first = static_cast<i64>(tile) * kKeys;
      fetch_panels<kKeys, KX_D, KX_D>(memory_.keys(round % kStages), head_.k, head_.k_row, first, head_.k_len,
                                      head_.order);
      sent(false);
      wait_for(stage.values_read, round);
      fetch_panels<kKeys, kColumns, KX_DV>(memory_.values(round % kStages), head_.v, head_.v_row, first,
                                           head_.k_len, head_.order, part_);
      sent(head_.bias || !all);
    }
    Stage& last = memory_.stages[round % kStages];
    wait_for(last.keys_read, round);
    tell_all();
    if (thread_of_group() == 0) last.tile = -1;
    last.keys.arrive();
  }

 private:
  __device__ __forceinline__ void wait_for(const SharedBarrier& read, int round) {
    const u32 before = static_cast<u32>(round / kStages + 1) % 2;
    if (read.over(before)) return;
    tell_all();
    read.wait(before);
  }
  // Ends the copies of a tile; the one before has landed then.
  __device__ __forceinline__ void sent(bool tested) {
    copy_async_commit();
    tested_ = tested_ << 1 | static_cast<u32>(tested);
    ++sent_;
    copy_async_wait<1>();
    if (sent_ - told_ > 1) tell();
  }
  __device__ __forceinline__ void tell_all() {
    copy_async_wait<0>();
    while (told_ < sent_) tell();
  }
  __device__ __forceinline__ void tell() {
    const int round = told_ / 2, place = round % kStages;
    Stage& stage = memory_.stages[place];
    ++told_;
    const bool looked_at = (tested_ >> (sent_ - told_) & 1) != 0;
    if (looked_at && mine_strange<kKeys, kColumns>(memory_.values(place))) stage.strange = round;
    warp_group_publish();
    if (told_ % 2) stage.keys.arrive();
  }

  const Memory<T>& memory_;
  const HeadOf<T>& head_;
  i64 q_tile_;
  int part_, sent_ = 0, told_ = 0;
  u32 tested_ = 0;  // the last bit: whether what was sent last is to be looked through
};

// Masks and bias of half a tile of keys.
template <class T>
__device__ __forceinline__ u32 kept_of(const HeadOf<T>& head, float (&s)[8][4], bool all, i64 first,
                                       i64 first_key) {
  u32 kept =
      all && first + 16 <= head.q_len ? kAllPairs<64> : head.pairs.template of_queries<64>(first, first_key);
  if (head.bias)
    add_bias<T, 64, false>(s, kept, head.bias, head.bias_row, head.bias_column, first, first_key);
  return kept;
}

// sums += weights times values for those pairs alone that are kept.
template <class T>
__device__ __forceinline__ void times_kept(Sums<T, 1, kColumns>& sums, const Sums<T, 1, kKeys>& weights,
                                           const u32 (&kept)[kKeys / 64], const T* values) {
  const PanelTile<T, kKeys> tile = {values};
#pragma unroll
  for (int h = 0; h < kKeys / 64; ++h) {
    Sums<T, 1, 64> half;
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) half.at[0][n][e] = weights.at[0][8 * h + n][e];
    const u32 pairs[1] = {kept[h]};
    times_selected(sums, half, pairs, [&](int j, int c) { return tile(64 * h + j, c); });
  }
}

// One arrival of a warp.
__device__ __forceinline__ void arrive_once(SharedBarrier& barrier) {
  __syncwarp();
  if (lane_id() == 0) barrier.arrive();
}

__device__ __forceinline__ u32 parity_of(int round) {
  return static_cast<u32>(round / kStages) % 2;
}

template <class T>
__device__ __forceinline__ void multiply_all(const Memory<T>& memory, const HeadOf<T>& head, i64 q_tile,
                                             int part, T* out, float* lse) {
  const int group = static_cast<int>(threadIdx.x) / kGroup - 1;
  const i64 first = q_tile * kRows + (static_cast<int>(threadIdx.x / kWarp) - 4) * 16;
  const auto tile_of = [&](int round) {
    const Stage& stage = memory.stages[round % kStages];
    stage.keys.wait(parity_of(round));
    return stage.tile;
  };
  const auto score = [&](Sums<T, 1, kKeys>& s, int place) {
    warp_group_begin(s.at[0]);
    group_times_transposed<KX_D, kRows>(s, memory.q, group * 64, memory.keys(place));
    warp_group_commit();
    warp_group_wait<0>(s.at[0]);
  };
  SharedBarrier& next_turn = memory.turns[(group + 1) % KX_GROUPS];
  Sums<T, 1, kColumns> sums;
  Sums<T, 1, kKeys> s;
  sums.clear();
  s.clear();
  Running<T, 1> running;
  int tile = tile_of(0);
  if (tile >= 0) {
    score(s, 0);
    arrive_once(memory.stages[0].keys_read);
  }
  for (int round = 0; tile >= 0; ++round) {
    Stage& stage = memory.stages[round % kStages];
    const T* const values = memory.values(round % kStages);
    const bool all = stage.all != 0, tested = head.bias || !all;
    u32 kept[kKeys / 64];
    if (tested)
#pragma unroll
      for (int h = 0; h < kKeys / 64; ++h)
        kept[h] = kept_of(head, reinterpret_cast<float (&)[8][4]>(s.at[0][8 * h]), all, first,
                          static_cast<i64>(tile) * kKeys + 64 * h);
    const float factor = positive_factor(s, head.factor);
    if (tested)
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (!(kept[n / 8] >> (4 * (n % 8) + e) & 1)) s.at[0][n][e] = minus_infinity<T>();
    running.take(s, factor, sums);
    tile = tile_of(round + 1);  // then this round's values are there, too
    const bool more = tile >= 0;
    const int place = (round + 1) % kStages;
    SharedBarrier& turn = memory.turns[group];
    const u32 turn_before = static_cast<u32>(round + (group == 0)) % 2;
    if (tested && stage.strange == round) {
      times_kept(sums, s, kept, values);
      s.clear();  // so that registers hold nothing that the next product does not need
      turn.wait(turn_before);
      if (more) score(s, place);
      arrive_once(next_turn);
    } else {
      const Factor<T, kKeys> weights(s);
      turn.wait(turn_before);
      if (more) {
        warp_group_begin(sums.at[0]);
        warp_group_begin(s.at[0]);
        group_times(sums, weights, values);
        group_times_transposed<KX_D, kRows>(s, memory.q, group * 64, memory.keys(place));
        warp_group_commit();
        arrive_once(next_turn);
        warp_group_wait<0>(sums.at[0]);
        warp_group_wait<0>(s.at[0]);
      } else {
        warp_group_begin(sums.at[0]);
        group_times(sums, weights, values);
        warp_group_commit();
        arrive_once(next_turn);
        warp_group_wait<0>(sums.at[0]);
      }
    }
    arrive_once(stage.values_read);
    if (more) arrive_once(memory.stages[place].keys_read);
  }
  running.finish();
  write_band<T, KX_D, KX_DV, KX_PART>(head, running, 0, sums.at[0], first, part, out, lse);
}

}  // namespace kx::attention

extern "C" __global__ void __launch_bounds__(KX_WARPS * 32, 1)
    attention_forward(KX_PROBLEM_PARAMETERS, KX_T* out, float* lse) {
  using namespace kx::attention;
  const Problem<KX_T> problem = KX_PROBLEM;
  constexpr int kParts = (KX_DV + KX_PART - 1) / KX_PART;
  const kx::i64 q_tiles = (q_len + kRows - 1) / kRows, rest = blockIdx.x / q_tiles;
  const kx::i64 q_tile = q_tiles - 1 - blockIdx.x % q_tiles;
  const int part = static_cast<int>(rest % kParts) * KX_PART;
  const HeadOf<KX_T> head(problem, rest / kParts / heads, rest / kParts % heads);
  const Memory<KX_T> memory;
  if (threadIdx.x < kStages) {
    Stage& stage = memory.stages[threadIdx.x];
    stage.keys.make(kGroup);
    stage.keys_read.make(KX_GROUPS * 4), stage.values_read.make(KX_GROUPS * 4);
    stage.strange = -1;
  }
  if (threadIdx.x < KX_GROUPS) memory.turns[threadIdx.x].make(4);
  __syncthreads();
  if (threadIdx.x < kGroup) {
    kx::leave_registers<40>();
    Bringer<KX_T>(memory, head, q_tile, part).run();
  } else {
    kx::take_registers<232>();
    multiply_all(memory, head, q_tile, part, out, lse);
  }
}
KX_ENTRY(attention_forward)
