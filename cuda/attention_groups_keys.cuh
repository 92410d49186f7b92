// The gradients of attention's keys and values on Hopper, by warp groups: what attention_backward.cuh says of
// them.
//
// A block owns 64 keys, and their values, for each warp group that multiplies; one more brings tiles of
// queries of all heads that share the keys, with the gradients of their results (attention_ring.cuh), and
// says which pairs count, for which those who multiply have no registers left. Scores are made transposed,
// from shared memory; weights and gradients of scores go from registers into the products with the gradients
// and the queries, which are read turned from the tiles that the scores have read. The innermost loop is a
// product's, 16 deep; the matrix units are the limit on paper, shared memory close behind. Where registers
// hold the sums, the next tile's scores and what goes into the products at a time, at head size 64, all
// products between two looks at scores are started together and in turn; else those of a tile end before the
// next one's scores begin. Not measured on a GPU.
#include "attention_gradients.cuh"
#include "attention_ring.cuh"

namespace kx::attention {

constexpr int kRows = KX_GROUPS * 64, kQueries = KX_OTHER;
constexpr int kOfKeys = 64 * panels(KX_D), kOfValues = 64 * panels(KX_DV);
constexpr bool kTogether = kOfKeys + kOfValues <= 128;
static_assert(kQueries == 64, "the tiles of which masks tell");

template <class T>
using HeadOf = Head<T, KX_D, KX_DV>;

// Tiles of queries, of one after another of the heads that share the keys.
struct Place {
  int member, tile;
};

template <class T>
struct Memory {
  T *k, *v, *q, *grad;
  float *bases, *shares;
  u32* pairs;  // which count, a word for each thread that multiplies
  Stage* stages;
  SharedBarrier* turns;

  __device__ Memory() {
    Shared shared;
    k = shared.take<T>(panel_tile(kRows, KX_D));
    v = shared.take<T>(panel_tile(kRows, KX_DV));
    q = shared.take<T>(kStages * panel_tile(kQueries, KX_D));
    grad = shared.take<T>(kStages * panel_tile(kQueries, KX_DV));
    bases = shared.take<float>(kStages * kQueries);
    shares = shared.take<float>(kStages * kQueries);
    pairs = shared.take<u32>(kStages * kRows * 2);
    stages = shared.take<Stage>(kStages);
    turns = shared.take<SharedBarrier>(KX_GROUPS);
  }
  __device__ __forceinline__ T* queries(int place) const { return q + place * panel_tile(kQueries, KX_D); }
  __device__ __forceinline__ T* grads(int place) const { return grad + place * panel_tile(kQueries, KX_DV); }
};

// The keys of a block: of a batch row and a group of heads.
template <class T>
struct Keys {
  const Problem<T>& problem;
  i64 batch, group, tile;
  int members;

  __device__ __forceinline__ HeadOf<T> head(int member) const {
    return HeadOf<T>(problem, batch, group * members + member);
  }
};

template <class T>
__device__ __forceinline__ void bring_all(const Memory<T>& memory, const Keys<T>& keys,
                                          const Given<T>& given) {
  const int tiles = static_cast<int>((keys.problem.q_len + kQueries - 1) / kQueries);
  const auto next = [&](Place at) {
    while (at.member < keys.members) {
      const HeadOf<T> head = keys.head(at.member);
      at.tile = first_tile(at.tile, tiles,
                           [&](int tile) { return head.pairs.template kind<kRows>(tile, keys.tile) > 0; });
      if (at.tile < tiles) break;
      ++at.member, at.tile = 0;
    }
    return at;
  };
  const auto look = [&](Stage& stage, int place, int round) {
    if (mine_strange<kQueries, KX_D>(memory.queries(place))) stage.strange[0] = round;
    if (mine_strange<kQueries, KX_DV>(memory.grads(place))) stage.strange[1] = round;
  };
  Ring<decltype(look)> ring(memory.stages, look);
  Place at = next({0, 0});
  if (at.member < keys.members) {
    const HeadOf<T> any = keys.head(0);
    const i64 first = keys.tile * kRows;
    fetch_panels<kRows, KX_D, KX_D>(memory.k, any.k, any.k_row, first, any.k_len, any.order);
    fetch_panels<kRows, KX_DV, KX_DV>(memory.v, any.v, any.v_row, first, any.k_len, any.order);
  }
  for (; at.member < keys.members; at = next({at.member, at.tile + 1})) {
    const HeadOf<T> head = keys.head(at.member);
    const int all = head.pairs.template kind<kRows>(at.tile, keys.tile) == 2, place = ring.take();
    const i64 first = static_cast<i64>(at.tile) * kQueries;
    if (thread_of_group() == 0) {
      Stage& stage = memory.stages[place];
      stage.tile = at.tile, stage.member = at.member, stage.all = all;
    }
    fetch_panels<kQueries, KX_D, KX_D>(memory.queries(place), head.q, head.q_row, first, head.q_len,
                                       head.order);
    fetch_panels<kQueries, KX_DV, KX_DV>(memory.grads(place), given.grad + head.row * KX_DV, KX_DV, first,
                                         head.q_len, head.order);
    const int r = thread_of_group();
    if (r < kQueries) {
      const bool there = first + r < head.q_len;
      const i64 row = head.row + (there ? head.order(first + r) : 0);
      memory.bases[place * kQueries + r] = base_of<T>(given.lse + row, there);
      memory.shares[place * kQueries + r] = there ? given.share[row] : 0;
    }
    if (!all || first + kQueries > head.q_len)
#pragma unroll 1
      for (int own = 0; own < kRows; own += 64)
        memory.pairs[(place * kRows + own) * 2 + r] =
            head.pairs.template of_keys<64>(keys.tile * kRows + own + r / 32 * 16, first);
    ring.send(head.bias || !all);
  }
  ring.end();
}

template <class T>
__device__ __forceinline__ void multiply_all(const Memory<T>& memory, const Keys<T>& keys, T* dk, T* dv) {
  const Rounds rounds(memory.stages, memory.turns);
  const i64 first = keys.tile * kRows + (static_cast<int>(threadIdx.x / kWarp) - 4) * 16;
  const auto scale = static_cast<float>(keys.problem.scale);
  const auto factor = static_cast<float>(keys.problem.scale * kLog2E);
  Sums<T, 1, kOfKeys> of_keys;
  Sums<T, 1, kOfValues> of_values;
  Sums<T, 1, kQueries> s, dp;
  of_keys.clear();
  of_values.clear();
  s.clear();
  dp.clear();
  const auto score = [&](int round) {
    const int own = rounds.group() * 64, place = round % kStages;
    group_times_transposed<KX_D, kRows>(s, memory.k, own, memory.queries(place));
    group_times_transposed<KX_DV, kRows>(dp, memory.v, own, memory.grads(place));
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
    const int place = round % kStages;
    const Stage& stage = memory.stages[place];
    const bool all = stage.all != 0, tested = keys.problem.bias.data || !all;
    u32 kept[1] = {kAllPairs<64>};
    if (tested && (!all || (static_cast<i64>(tile) + 1) * kQueries > keys.problem.q_len))
      kept[0] = memory.pairs[place * kRows * 2 + static_cast<int>(threadIdx.x) - kGroup];
    if (keys.problem.bias.data) {
      const HeadOf<T> head = keys.head(stage.member);
      add_bias<T, 64, true>(s.at[0], kept[0], head.bias, head.bias_row, head.bias_column, first,
                            static_cast<i64>(tile) * kQueries);
    }
    const float* const bases = memory.bases + place * kQueries + lane_id() % 4 * 2;
    const float* const shares = memory.shares + place * kQueries + lane_id() % 4 * 2;
    score_gradients<T, kQueries>(
        s.at[0], dp.at[0], kept[0], factor, scale, [&](int n, int e) { return bases[n * 8 + e % 2]; },
        [&](int n, int e) { return shares[n * 8 + e % 2]; });
    tile = rounds.tile(round + 1);
    const bool more = tile >= 0;
    const Factor<T, kQueries> weights(s), gradients(dp);
    if (tested && (stage.strange[0] == round || stage.strange[1] == round)) {
      const KeptWeights<T, kQueries> those(weights);
      times_kept(of_values, weights, those, memory.grads(place));
      times_kept(of_keys, gradients, those, memory.queries(place));
      s.clear();  // so that registers hold nothing that the next products do not need
      dp.clear();
      rounds.take_turn(round);
      if (more) score_alone(round + 1);
      rounds.pass_turn();
    } else {
      rounds.take_turn(round);
      if (kTogether && more) {
        warp_group_begin(of_values.at[0]);
        warp_group_begin(of_keys.at[0]);
        warp_group_begin(s.at[0]);
        warp_group_begin(dp.at[0]);
        group_times(of_values, weights, memory.grads(place));
        group_times(of_keys, gradients, memory.queries(place));
        score(round + 1);
        warp_group_commit();
        rounds.pass_turn();
        warp_group_wait<0>(of_values.at[0]);
        warp_group_wait<0>(of_keys.at[0]);
        warp_group_wait<0>(s.at[0]);
        warp_group_wait<0>(dp.at[0]);
      } else {
        warp_group_begin(of_values.at[0]);
        warp_group_begin(of_keys.at[0]);
        group_times(of_values, weights, memory.grads(place));
        group_times(of_keys, gradients, memory.queries(place));
        warp_group_commit();
        warp_group_wait<0>(of_values.at[0]);
        warp_group_wait<0>(of_keys.at[0]);
        s.clear();
        dp.clear();
        if (more) score_alone(round + 1);
        rounds.pass_turn();
      }
    }
    rounds.has_read(round);
  }
  const HeadOf<T> any = keys.head(0);
  const i64 row = (keys.batch * keys.problem.groups + keys.group) * any.k_len;
  store<KX_D, KX_D, T>(of_keys.at[0], dk + row * KX_D, first, any.k_len, any.order, 0);
  store<KX_DV, KX_DV, T>(of_values.at[0], dv + row * KX_DV, first, any.k_len, any.order, 0);
}

}  // namespace kx::attention

extern "C" __global__ void __launch_bounds__(KX_WARPS * 32, 1)
    attention_keys(KX_PROBLEM_PARAMETERS, const KX_T* grad, const float* lse, const float* share, KX_T* dk,
                   KX_T* dv) {
  using namespace kx::attention;
  const Problem<KX_T> problem = KX_PROBLEM;
  const kx::i64 k_tiles = (k_len + kRows - 1) / kRows, rest = blockIdx.x / k_tiles;
  const Keys<KX_T> keys = {problem, rest / groups, rest % groups, blockIdx.x % k_tiles,
                           static_cast<int>(heads / groups)};
  const Memory<KX_T> memory;
  make_ring(memory.stages, memory.turns);
  __syncthreads();
  if (threadIdx.x < kGroup) {
    kx::leave_registers<40>();
    bring_all(memory, keys, {grad, lse, share});
  } else {
    kx::take_registers<232>();
    multiply_all(memory, keys, dk, dv);
  }
}
KX_ENTRY(attention_keys)
