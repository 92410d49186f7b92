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
#include "attention_ring.cuh"
#include "attention_softmax.cuh"

namespace kx::attention {

constexpr int kRows = KX_GROUPS * 64, kKeys = KX_OTHER;
// Columns that products make at a time, with zeros.
constexpr int kColumns = KX_PART <= 64 ? 64 : rounded_up(KX_PART, 128);

template <class T>
using HeadOf = Head<T, KX_D, KX_DV>;

template <class T>
struct Memory {
  T *q, *k, *v;
  Stage* stages;
  SharedBarrier* turns;

  __device__ Memory() {
    Shared shared;
    q = shared.take<T>(panel_tile(kRows, KX_D));
    k = shared.take<T>(kStages * panel_tile(kKeys, KX_D));
    v = shared.take<T>(kStages * panel_tile(kKeys, kColumns));
    stages = shared.take<Stage>(kStages);
    turns = shared.take<SharedBarrier>(KX_GROUPS);
  }
  __device__ __forceinline__ T* keys(int place) const { return k + place * panel_tile(kKeys, KX_D); }
  __device__ __forceinline__ T* values(int place) const { return v + place * panel_tile(kKeys, kColumns); }
};

template <class T>
__device__ __forceinline__ void bring_all(const Memory<T>& memory, const HeadOf<T>& head, i64 q_tile,
                                          int part) {
  const int tiles = static_cast<int>((head.k_len + kKeys - 1) / kKeys);
  const auto next = [&](int from) {
    return first_tile(from, tiles,
                      [&](int tile) { return head.pairs.template kind<kKeys>(q_tile, tile) > 0; });
  };
  const auto look = [&](Stage& stage, int place, int round) {
    if (mine_strange<kKeys, kColumns>(memory.values(place))) stage.strange[1] = round;
  };
  Ring<decltype(look)> ring(memory.stages, look);
  int tile = next(0);
  if (tile < tiles)
    fetch_panels<kRows, KX_D, KX_D>(memory.q, head.q, head.q_row, q_tile * kRows, head.q_len, head.order);
  for (; tile < tiles; tile = next(tile + 1)) {
    const int all = head.pairs.template kind<kKeys>(q_tile, tile) == 2, place = ring.take();
    const i64 first = static_cast<i64>(tile) * kKeys;
    if (thread_of_group() == 0) memory.stages[place].tile = tile, memory.stages[place].all = all;
    fetch_panels<kKeys, KX_D, KX_D>(memory.keys(place), head.k, head.k_row, first, head.k_len, head.order);
    fetch_panels<kKeys, kColumns, KX_DV>(memory.values(place), head.v, head.v_row, first, head.k_len,
                                         head.order, part);
    ring.send(head.bias || !all);
  }
  ring.end();
}

template <class T>
__device__ __forceinline__ void multiply_all(const Memory<T>& memory, const HeadOf<T>& head, i64 q_tile,
                                             int part, T* out, float* lse) {
  const Rounds rounds(memory.stages, memory.turns);
  const i64 first = q_tile * kRows + (static_cast<int>(threadIdx.x / kWarp) - 4) * 16;
  Sums<T, 1, kColumns> sums;
  Sums<T, 1, kKeys> s;
  sums.clear();
  s.clear();
  Running<T, 1> running;
  const auto score = [&](int round) {
    group_times_transposed<KX_D, kRows>(s, memory.q, rounds.group() * 64, memory.keys(round % kStages));
  };
  const auto score_alone = [&](int round) {
    warp_group_begin(s.at[0]);
    score(round);
    warp_group_commit();
    warp_group_wait<0>(s.at[0]);
  };
  int tile = rounds.tile(0);
  if (tile >= 0) score_alone(0);
  for (int round = 0; tile >= 0; ++round) {
    const Stage& stage = memory.stages[round % kStages];
    const T* const values = memory.values(round % kStages);
    const bool all = stage.all != 0, tested = head.bias || !all;
    u32 kept[kKeys / 64];
    if (tested)
#pragma unroll
      for (int h = 0; h < kKeys / 64; ++h)
        kept[h] =
            kept_of<false>(head, part_of(s, h).at[0], all, first, static_cast<i64>(tile) * kKeys + 64 * h);
    const float factor = positive_factor(s, head.factor);
    if (tested)
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          if (!(kept[n / 8] >> (4 * (n % 8) + e) & 1)) s.at[0][n][e] = minus_infinity<T>();
    running.take(s, factor, sums);
    tile = rounds.tile(round + 1);
    const bool more = tile >= 0;
    const Factor<T, kKeys> weights(s);
    if (tested && stage.strange[1] == round) {
      times_kept(sums, weights, KeptBits<kKeys>(kept), values);
      s.clear();  // so that registers hold nothing that the next product does not need
      rounds.take_turn(round);
      if (more) score_alone(round + 1);
      rounds.pass_turn();
    } else {
      rounds.take_turn(round);
      if (more) {  // a group of products begins and ends in one branch, or the compiler makes them wait
        warp_group_begin(sums.at[0]);
        warp_group_begin(s.at[0]);
        group_times(sums, weights, values);
        score(round + 1);
        warp_group_commit();
        rounds.pass_turn();
        warp_group_wait<0>(sums.at[0]);
        warp_group_wait<0>(s.at[0]);
      } else {
        warp_group_begin(sums.at[0]);
        group_times(sums, weights, values);
        warp_group_commit();
        rounds.pass_turn();
        warp_group_wait<0>(sums.at[0]);
      }
    }
    rounds.has_read(round);
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
  make_ring(memory.stages, memory.turns);
  __syncthreads();
  if (threadIdx.x < kGroup) {
    kx::leave_registers<40>();
    bring_all(memory, head, q_tile, part);
  } else {
    kx::take_registers<232>();
    multiply_all(memory, head, q_tile, part, out, lse);
  }
}
KX_ENTRY(attention_forward)
