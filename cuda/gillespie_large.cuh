// The direct method for an ensemble of a large network: a warp walks a trajectory.
//
// Counts and propensities lie in shared memory, one block of one warp a trajectory. Lane l keeps the sum of
// the propensities of reactions l, l + 32 and so on. An event is a scan over the lanes' sums, a search
// through the reactions of one lane, the changes of the counts, and new propensities of the reactions that
// read them, the last two side by side. Then every lane sums up its reactions anew: R / 32 additions, without
// the drift of running sums, and in one order, so that a seed gives one result. Limits are the latency of
// that sum for thousands of reactions and of the scan for fewer; the warps of other blocks fill it. The order
// of the sums is not the CPU's, so ensembles agree in law. Rates are mass action; powers and expressions are
// for the other kernel and the CPU. Lost: differences to the lanes' sums by atomics, whose order is not
// fixed.
#include "gillespie_ensemble.cuh"

namespace kx::gillespie {

// Up to second order a propensity is rate * x[one] * (x[other] - less), with x[species] the constant 1;
// further factors are (x[s] - less) / over. `affected` are the reactions that read what a reaction changes.
struct Tables {
  i64 species, reactions;
  const double *rate, *less, *factor_less, *factor_over, *change_by;
  const int *one, *other, *factor_begin, *change_begin, *affected_begin, *factor, *change, *affected;
};

__device__ inline Tables tables_of(i64 species, i64 reactions, i64 factors, i64 changes,
                                   const double* numbers, const int* indices) {
  Tables t{species, reactions};
  t.rate = numbers, t.less = t.rate + reactions, t.factor_less = t.less + reactions;
  t.factor_over = t.factor_less + factors, t.change_by = t.factor_over + factors;
  t.one = indices, t.other = t.one + reactions, t.factor_begin = t.other + reactions;
  t.change_begin = t.factor_begin + reactions + 1, t.affected_begin = t.change_begin + reactions + 1;
  t.factor = t.affected_begin + reactions + 1, t.change = t.factor + factors, t.affected = t.change + changes;
  return t;
}

__device__ inline double propensity(const Tables& t, i64 r, const double* x) {
  double a = t.rate[r] * x[t.one[r]] * (x[t.other[r]] - t.less[r]);
  for (int f = t.factor_begin[r]; f < t.factor_begin[r + 1]; ++f)
    a *= (x[t.factor[f]] - t.factor_less[f]) / t.factor_over[f];
  return a;
}

// Samples (trajectories, samples, species) and firings (trajectories, reactions).
struct Rows {
  i64 *counts, *fired;
};
__device__ inline void keep(const Rows& out, const Problem& p, const Tables& t, i64 index, i64 sample, i64 s,
                            double x) {
  out.counts[(index * p.samples + sample) * t.species + s] = static_cast<i64>(x);
}
__device__ inline void keep(const Sums& out, const Problem&, const Tables& t, i64, i64 sample, i64 s,
                            double x) {
  add_count(out, sample * t.species + s, static_cast<u64>(x));
}
__device__ inline void count_firing(const Rows& out, const Tables& t, i64 index, i64 r) {
  ++out.fired[index * t.reactions + r];  // no other warp has this trajectory
}
__device__ inline void count_firing(const Sums&, const Tables&, i64, i64) {}

// The first lane whose sums reach beyond the target and that has something to fire, and in it the reaction.
__device__ inline i64 choose(const Tables& t, const double* a, double mine, double upto, double target) {
  const u32 able = __ballot_sync(kAllLanes, mine > 0),
            beyond = __ballot_sync(kAllLanes, mine > 0 && upto > target);
  const int lane = beyond ? __ffs(static_cast<int>(beyond)) - 1 : 31 - __clz(static_cast<int>(able));
  i64 found = -1;
  if (static_cast<int>(threadIdx.x) == lane) {
    double rest = target - (upto - mine);
    for (i64 r = lane; r < t.reactions; r += kWarp) {
      if (!(a[r] > 0)) continue;
      found = r;  // the last that can fire, if rounding lets none reach the target
      if (rest < a[r]) break;
      rest -= a[r];
    }
  }
  return __shfl_sync(kAllLanes, found, lane);
}

template <class Output>
__device__ inline void walk_warp(const Problem& p, const Tables& tables, const Output& out, double* kept_x,
                                 double* kept_t, double* value, u64* kept_stream, i64* place, i64 rounds) {
  Shared shared;
  double* const inverse = shared.take<double>(Logarithm::kEntries);
  const u32 lane = threadIdx.x;
  const Logarithm logarithm(inverse, shared.take<double>(Logarithm::kEntries), lane, kWarp);
  double* const x = shared.take<double>(static_cast<u32>(tables.species) + 1);
  double* const a = shared.take<double>(static_cast<u32>(tables.reactions));
  const i64 slot = blockIdx.x, slots = p.slots, species = tables.species;
  i64 index = place[slot], sample = place[slots + slot];
  if (index == -1 || place[2 * slots + slot] != kRunning) return;
  double t = kept_t[slot], next_sample = 0;
  Stream stream(kept_stream + slot, slots);
  const double end = p.grid[p.samples - 1];
  bool going = index >= 0, fresh = true;  // fresh: all propensities are yet to be computed
  for (i64 s = lane; s < species && going; s += kWarp) x[s] = kept_x[slot * species + s];
  if (lane == 0) x[species] = 1;
  if (going) next_sample = p.grid[sample];
  u64 finished = 0, written = 0, events = 0;
  i64 status = kRunning;
  double mine = 0;
  for (i64 round = 0; round < rounds; ++round) {
    if (!going) {
      i64 taken = -1;
      if (lane == 0) taken = static_cast<i64>(atomicAdd(p.control + kNext, u64{1}));
      index = __shfl_sync(kAllLanes, taken, 0);
      if (index >= p.n) index = -1;
      if (index < 0) break;
      going = fresh = true, sample = 0, t = p.start, next_sample = p.grid[0];
      stream = Stream(p.seed, static_cast<u64>(p.first + index));
      for (i64 s = lane; s < species; s += kWarp)
        x[s] = p.starts ? static_cast<double>(p.starts[index * species + s]) : p.initial[s];
    }
    __syncwarp();
    if (fresh)
      for (i64 r = lane; r < tables.reactions; r += kWarp) a[r] = propensity(tables, r, x);
    fresh = false;
    mine = 0;
    for (i64 r = lane; r < tables.reactions; r += kWarp) mine += a[r];
    double upto = mine;
    for (u32 by = 1; by < kWarp; by *= 2) {
      const double below = __shfl_up_sync(kAllLanes, upto, by);
      if (lane >= by) upto += below;
    }
    const double sum = __shfl_sync(kAllLanes, upto, 31);
    double next = infinity();
    if (sum > 0 && sum <= kLargest) {
      next = t + logarithm.minus_log(stream.uniform_open()) / sum;
    } else if (sum != 0) {
      status = kBadPropensity;
      break;
    }
    if (next > next_sample) {
      const i64 before = sample;
      bool large = false;
      for (; sample < p.samples && p.grid[sample] < next; ++sample)
        for (i64 s = lane; s < species; s += kWarp) {
          keep(out, p, tables, index, sample, s, x[s]);
          large = large || x[s] > kLargestCount;
        }
      written += static_cast<u64>(sample - before);
      next_sample = sample < p.samples ? p.grid[sample] : infinity();
      if (__any_sync(kAllLanes, large)) {
        status = kTooLarge;
        break;
      }
    }
    if (next > end) {
      ++finished;
      going = false;
      continue;
    }
    const i64 fired = choose(tables, a, mine, upto, stream.uniform() * sum);
    t = next;
    ++events;
    if (lane == 0) count_firing(out, tables, index, fired);
    for (i64 c = tables.change_begin[fired] + lane; c < tables.change_begin[fired + 1]; c += kWarp)
      x[tables.change[c]] += tables.change_by[c];
    __syncwarp();
    for (i64 c = tables.affected_begin[fired] + lane; c < tables.affected_begin[fired + 1]; c += kWarp)
      a[tables.affected[c]] = propensity(tables, tables.affected[c], x);
  }
  __syncwarp();
  for (i64 s = lane; s < species; s += kWarp) kept_x[slot * species + s] = x[s];
  if (lane) return;
  if (status != kRunning) {  // the first that is at fault
    i64 culprit = -1;
    double what = infinity();
    for (i64 i = (status == kTooLarge ? species : tables.reactions) - 1; i >= 0; --i) {
      const double each = status == kTooLarge ? x[i] : a[i];
      if (!(each >= 0 && each <= (status == kTooLarge ? kLargestCount : kLargest))) culprit = i, what = each;
    }
    place[3 * slots + slot] = culprit, value[slot] = what;
    atomicMin(p.control + kFailed, static_cast<u64>(index));
  }
  place[slot] = going || status != kRunning ? index : index == -1 ? -1 : -2;
  place[slots + slot] = sample, place[2 * slots + slot] = status, kept_t[slot] = t;
  stream.save(kept_stream + slot, slots);
  if (finished) atomicAdd(p.control + kFinished, finished);
  if (written) atomicAdd(p.control + kSamples, written);
  if (events) atomicAdd(p.control + kEvents, events);
}

}  // namespace kx::gillespie

extern "C" __global__ void __launch_bounds__(32, 1)
    gillespie_samples(kx::i64 n, kx::i64 first, kx::i64 samples, kx::i64 slots, kx::u64 seed, double start,
                      const double* __restrict__ grid, const double* __restrict__ numbers,
                      const double* __restrict__ initial, kx::u64* control, double* x, double* t,
                      double* value, kx::u64* stream, kx::i64* place, kx::i64 rounds, kx::i64 species,
                      kx::i64 reactions, kx::i64 factors, kx::i64 changes, const int* __restrict__ indices,
                      const kx::i64* __restrict__ starts, kx::i64* counts, kx::i64* fired) {
  using namespace kx::gillespie;
  walk_warp(Problem{n, first, samples, slots, seed, start, grid, numbers, initial, starts, control},
            tables_of(species, reactions, factors, changes, numbers, indices), Rows{counts, fired}, x, t,
            value, stream, place, rounds);
}
KX_ENTRY(gillespie_samples)

extern "C" __global__ void __launch_bounds__(32, 1)
    gillespie_sums(kx::i64 n, kx::i64 first, kx::i64 samples, kx::i64 slots, kx::u64 seed, double start,
                   const double* __restrict__ grid, const double* __restrict__ numbers,
                   const double* __restrict__ initial, kx::u64* control, double* x, double* t, double* value,
                   kx::u64* stream, kx::i64* place, kx::i64 rounds, kx::i64 species, kx::i64 reactions,
                   kx::i64 factors, kx::i64 changes, const int* __restrict__ indices, kx::u64* count,
                   kx::u64* square, kx::u64* histogram, kx::i64 low, kx::i64 width, kx::i64 cells) {
  using namespace kx::gillespie;
  walk_warp(Problem{n, first, samples, slots, seed, start, grid, numbers, initial, nullptr, control},
            tables_of(species, reactions, factors, changes, numbers, indices),
            Sums{count, square, histogram, low, width, cells}, x, t, value, stream, place, rounds);
}
KX_ENTRY(gillespie_sums)
