// The gradient of attention's queries on Hopper, by warp groups: what attention_backward.cuh says of it.
//
// A block owns 64 queries of one head, and the gradients of their results, for each warp group that
// multiplies; one more brings tiles of keys and values (attention_ring.cuh). Scores and products with values
// are made from shared memory; gradients of scores go from registers into the product with the keys, which
// are read turned from the tile that the scores have read. The innermost loop is a product's, 16 deep; on
// paper the matrix units are the limit at head size 128, shared memory close behind (of tiles of 64 keys each
// is read three times). Each warp group starts the product with the keys of a tile and the two products of
// the next together, and in turn. Not measured on a GPU.
#include "attention_gradients.cuh"
#include "attention_ring.cuh"

namespace kx::attention {

constexpr int kRows = KX_GROUPS * 64, kKeys = KX_OTHER, kColumns = 64 * panels(KX_D);

template <class T>
using HeadOf = Head<T, KX_D, KX_DV>;

template <class T>
struct Memory {
  T *q, *grad, *k, *v;
  Stage* stages;
  SharedBarrier* turns;

  __device__ Memory() {
    Shared shared;
    q = shared.take<T>(panel_tile(kRows, KX_D));
    grad = shared.take<T>(panel_tile(kRows, KX_DV));
    k = shared.take<T>(kStages * panel_tile(kKeys, KX_D));
    v = shared.take<T>(kStages * panel_tile(kKeys, KX_DV));
    stages = shared.take<Stage>(kStages);
    turns = shared.take<SharedBarrier>(KX_GROUPS);
  }
  __device__ __forceinline__ T* keys(int place) const { return k + place * panel_tile(kKeys, KX_D); }
  __device__ __forceinline__ T* values(int place) const { return v + place * panel_tile(kKeys, KX_DV); }
};

template <class T>
__device__ __forceinline__ void bring_all(const Memory<T>& memory, const HeadOf<T>& head, const T* grad,
                                          i64 q_tile) {
  const int tiles = static_cast<int>((head.k_len + kKeys - 1) / kKeys);
  const auto next = [&](int from) {
    return first_tile(from, tiles,
                      [&](int tile) { return head.pairs.template kind<kKeys>(q_tile, tile) > 0; });
  };
  const auto look = [&](Stage& stage, int place, int round) {
    if (mine_strange<kKeys, KX_D>(memory.keys(place))) stage.strange[0] = round;
  };
  Ring<decltype(look)> ring(memory.stages, look);
  int tile = next(0);
  if (tile < tiles) {
    const i64 first = q_tile * kRows;
    fetch_panels<kRows, KX_D, KX_D>(memory.q, head.q, head.q_row, first, head.q_len, head.order);
    fetch_panels<kRows, KX_DV, KX_DV>(memory.grad, grad + head.row * KX_DV, KX_DV, first, head.q_len,
                                      head.order);
  }
  for (; tile < tiles; tile = next(tile + 1)) {
    const int all = head.pairs.template kind<kKeys>(q_tile, tile) == 2, place = ring.take();
    const i64 first = static_cast<i64>(tile) * kKeys;
    if (thread_of_group() == 0) memory.stages[place].tile = tile, memory.stages[place].all = all;
    fetch_panels<kKeys, KX_D, KX_D>(memory.keys(place), head.k, head.k_row, first, head.k_len, head.order);
    fetch_panels<kKeys, KX_DV, KX_DV>(memory.values(place), head.v, head.v_row, first, head.k_len,
                                      head.order);
    ring.send(head.bias || !all);
  }
  ring.end();
}

template <class T>
__device__ __forceinline__ void multiply_all(const Memory<T>& memory, const HeadOf<T>& head,
                                             const Given<T>& given, i64 q_tile, T* dq) {
  const Rounds rounds(memory.stages, memory.turns);
  const i64 first = q_tile * kRows + (static_cast<int>(threadIdx.x / kWarp) - 4) * 16;
  const OwnRows<T> rows(given, head, first);
  Sums<T, 1, kColumns> sums;
  Sums<T, 1, kKeys> s, dp;
  sums.clear();
  s.clear();
  dp.clear();
  const auto score = [&](int round) {
    const int own = rounds.group() * 64, place = round % kStages;
    group_times_transposed<KX_D, kRows>(s, memory.q, own, memory.keys(place));
    group_times_transposed<KX_DV, kRows>(dp, memory.grad, own, memory.values(place));
  };
  const auto score_alone = [&](int round) {
    warp_group_begin(s.at[0]);
    warp_group_begin(dp.at[0]);
    score(round);
    warp_group_commit();
    warp_group_wait<0>(s.at[0]);
    warp_group_wait<0>(dp.at[0]);
  };
  int tile = rounds.tile(0);
  if (tile >= 0) score_alone(0);
  for (int round = 0; tile >= 0; ++round) {
    const Stage& stage = memory.stages[round % kStages];
    const T* const keys = memory.keys(round % kStages);
    const bool all = stage.all != 0, tested = head.bias || !all;
    u32 kept[kKeys / 64];
#pragma unroll
    for (int h = 0; h < kKeys / 64; ++h) {
      kept[h] = kAllPairs<64>;
      if (tested)
        kept[h] =
            kept_of<false>(head, part_of(s, h).at[0], all, first, static_cast<i64>(tile) * kKeys + 64 * h);
      score_gradients<T, 64>(
          part_of(s, h).at[0], part_of(dp, h).at[0], kept[h], head.factor, head.scale,
          [&](int, int e) { return rows.base[e / 2]; }, [&](int, int e) { return rows.share[e / 2]; });
    }
    tile = rounds.tile(round + 1);
    const bool more = tile >= 0;
    const Factor<T, kKeys> gradients(dp);
    if (tested && stage.strange[0] == round) {
      times_kept(sums, gradients, KeptBits<kKeys>(kept), keys);
      s.clear();  // so that registers hold nothing that the next products do not need
      dp.clear();
      rounds.take_turn(round);
      if (more) score_alone(round + 1);
      rounds.pass_turn();
    } else {
      rounds.take_turn(round);
      if (more) {
        warp_group_begin(sums.at[0]);
        warp_group_begin(s.at[0]);
        warp_group_begin(dp.at[0]);
        group_times(sums, gradients, keys);
        score(round + 1);
        warp_group_commit();
        rounds.pass_turn();
        warp_group_wait<0>(sums.at[0]);
        warp_group_wait<0>(s.at[0]);
        warp_group_wait<0>(dp.at[0]);
      } else {
        warp_group_begin(sums.at[0]);
        group_times(sums, gradients, keys);
        warp_group_commit();
        rounds.pass_turn();
        warp_group_wait<0>(sums.at[0]);
      }
    }
    rounds.has_read(round);
  }
  store<KX_D, KX_D, T>(sums.at[0], dq + head.row * KX_D, first, head.q_len, head.order, 0);
}

}  // namespace kx::attention

extern "C" __global__ void __launch_bounds__(KX_WARPS * 32, 1)
    attention_queries(KX_PROBLEM_PARAMETERS, const KX_T* grad, const float* lse, const float* share,
                      KX_T* dq) {
  using namespace kx::attention;
  const Problem<KX_T> problem = KX_PROBLEM;
  const kx::i64 q_tiles = (q_len + kRows - 1) / kRows, rest = blockIdx.x / q_tiles;
  const kx::i64 q_tile = q_tiles - 1 - blockIdx.x % q_tiles;
  const HeadOf<KX_T> head(problem, rest / heads, rest % heads);
  const Memory<KX_T> memory;
  make_ring(memory.stages, memory.turns);
  __syncthreads();
  if (threadIdx.x < kGroup) {
    kx::leave_registers<40>();
    bring_all(memory, head, grad, q_tile);
  } else {
    kx::take_registers<232>();
    multiply_all(memory, head, {grad, lse, share}, q_tile, dq);
  }
}
KX_ENTRY(attention_queries)
