// The direct method for an ensemble: a thread walks a trajectory, and takes the next of the ensemble when its
// own has ended.
//
// The text of a network comes first: `Network` says how many species and reactions there are, what the
// propensities are and what each reaction changes, with all indices written out, so that counts, cumulative
// sums and firings live in registers. Innermost is the loop over reactions, unrolled. The reaction is the
// number of cumulative sums at most u a0, and its changes are made under predicates, since a branch for each
// reaction would leave most lanes of a warp waiting. Every operation is the one of csrc/gillespie/simd/
// direct.cpp, in its order and from the same stream, (seed, trajectory): with -fmad=false a trajectory is the
// CPU's bit for bit. Powers, exp, log, sin and cos are the exception: CUDA's libm rounds differently.
//
// A launch walks each trajectory `rounds` events further and keeps its state in memory, (rows, slots), so
// that the host can look for Ctrl-C between launches. Samples are laid out (samples, species, trajectories):
// lanes that pass the same sample write side by side. Moments are sums of integers, which any order of
// atomics adds up to the same: counts in 64 bits, squares in four sums of 32 bits of them.
#include "gillespie_ensemble.cuh"

namespace kx::gillespie {

constexpr int S = Network::kSpecies, R = Network::kReactions;

// Counts and firings of each trajectory; area and area2 are null, or take integrals of x - initial and of its
// square over the time from the first sample to the last.
struct Samples {
  i64 *counts, *fired;
  double *area, *area2;
};

// The state between launches: (species, slots), (slots,), (4, slots) and so on.
struct Memory {
  double *x, *t, *value, *area;
  u64* stream;
  i64 *trajectory, *sample, *status, *culprit;
};

struct Walk {
  double x[S], t, area[KX_AVERAGES ? S : 1], area2[KX_AVERAGES ? S : 1];
  u32 fired[R];
  i64 index, sample;  // index in the ensemble, or -1
};

__device__ inline void write_sample(const Problem& p, const Samples& out, const Walk& w) {
#pragma unroll
  for (int s = 0; s < S; ++s) out.counts[(w.sample * S + s) * p.n + w.index] = static_cast<i64>(w.x[s]);
}
__device__ inline void write_sample(const Problem&, const Sums& out, const Walk& w) {
#pragma unroll
  for (int s = 0; s < S; ++s) add_count(out, w.sample * S + s, static_cast<u64>(w.x[s]));
}

__device__ inline void keep_firings(const Problem& p, const Samples& out, Walk& w) {
#pragma unroll
  for (int r = 0; r < R; ++r) out.fired[r * p.n + w.index] += w.fired[r], w.fired[r] = 0;
}
__device__ inline void keep_firings(const Problem&, const Sums&, Walk& w) {
#pragma unroll
  for (int r = 0; r < R; ++r) w.fired[r] = 0;
}

__device__ inline void keep_areas(const Problem& p, const Samples& out, const Walk& w) {
#pragma unroll
  for (int s = 0; s < S && KX_AVERAGES; ++s)
    out.area[s * p.n + w.index] = w.area[s], out.area2[s * p.n + w.index] = w.area2[s];
}
__device__ inline void keep_areas(const Problem&, const Sums&, const Walk&) {}

__device__ inline void add_area(const Problem& p, Walk& w, double to) {
  const double window = p.grid[0], weight = to - (w.t > window ? w.t : window);
  if (!(weight > 0)) return;
#pragma unroll
  for (int s = 0; s < S; ++s) {
    const double d = w.x[s] - p.initial[s];
    w.area[s] += weight * d;
    w.area2[s] += weight * d * d;
  }
}

__device__ inline bool take(const Problem& p, Walk& w) {
  const u64 index = atomicAdd(p.control + kNext, u64{1});
  if (index >= static_cast<u64>(p.n)) return false;
  w.index = static_cast<i64>(index);
  w.sample = 0;
  w.t = p.start;
#pragma unroll
  for (int s = 0; s < S; ++s) {
    w.x[s] = p.starts ? static_cast<double>(p.starts[w.index * S + s]) : p.initial[s];
    if (KX_AVERAGES) w.area[s] = w.area2[s] = 0;
  }
  return true;
}

__device__ inline i64 fail(const Problem& p, const Memory& m, i64 slot, const Walk& w, i64 status,
                           i64 culprit, double value) {
  m.culprit[slot] = culprit;
  m.value[slot] = value;
  atomicMin(p.control + kFailed, static_cast<u64>(w.index));
  return status;
}

__device__ inline i64 fail_propensity(const Problem& p, const Memory& m, i64 slot, const Walk& w) {
  double a[R], value = infinity();
  i64 culprit = -1;
  Network::propensities(w.x, p.numbers, a);
#pragma unroll
  for (int r = R - 1; r >= 0; --r)
    if (!(a[r] >= 0 && a[r] <= kLargest)) culprit = r, value = a[r];
  return fail(p, m, slot, w, kBadPropensity, culprit, value);
}

// The status of counts; `negative` asks for those below 0 too.
__device__ inline i64 look_at_counts(const Problem& p, const Memory& m, i64 slot, const Walk& w,
                                     bool negative) {
  i64 status = kRunning, culprit = 0;
  double value = 0;
#pragma unroll
  for (int s = S - 1; s >= 0; --s) {
    if (w.x[s] > kLargestCount) status = kTooLarge, culprit = s, value = w.x[s];
    if (negative && w.x[s] < 0) status = kNegativeCount, culprit = s, value = w.x[s];
  }
  return status == kRunning ? status : fail(p, m, slot, w, status, culprit, value);
}

template <class Output>
__device__ inline void walk_on(const Problem& p, const Output& out, const Memory& m, i64 rounds) {
  Shared shared;
  double* const inverse = shared.take<double>(Logarithm::kEntries);
  const Logarithm logarithm(inverse, shared.take<double>(Logarithm::kEntries), threadIdx.x, blockDim.x);
  __syncthreads();
  const i64 slot = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  Walk w{};
  w.index = m.trajectory[slot];
  if (w.index == -1 || m.status[slot] != kRunning) return;  // it has found the ensemble at its end
  Stream stream(m.stream + slot, p.slots);
  w.t = m.t[slot], w.sample = m.sample[slot];
#pragma unroll
  for (int s = 0; s < S; ++s) {
    w.x[s] = m.x[s * p.slots + slot];
    if (KX_AVERAGES) w.area[s] = m.area[s * p.slots + slot], w.area2[s] = m.area[(S + s) * p.slots + slot];
  }
  bool going = w.index >= 0;  // else -2: it is yet to take its first
  const double end = p.grid[p.samples - 1];
  double next_sample = going ? p.grid[w.sample] : 0;
  i64 status = kRunning;
  u64 finished = 0, written = 0, events = 0;
  for (i64 round = 0; round < rounds; ++round) {
    if (!going) {
      w.index = -1;
      if (!take(p, w)) break;
      going = true;
      stream = Stream(p.seed, static_cast<u64>(p.first + w.index));
      next_sample = p.grid[0];
    }
    double sums[R], sum = 0, next = infinity();
    bool good = true;  // an expression may be negative or not a number, which a sum does not always show
    Network::propensities(w.x, p.numbers, sums);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      if (Network::kChecked) good &= sums[r] >= 0;
      sums[r] = sum += sums[r];
    }
    if (sum > 0 && sum <= kLargest && good) {
      next = w.t + logarithm.minus_log(stream.uniform_open()) / sum;
    } else if (!(sum == 0 && good)) {
      status = fail_propensity(p, m, slot, w);
      break;
    }
    if (next > next_sample) {
      const i64 before = w.sample;
      for (; w.sample < p.samples && p.grid[w.sample] < next; ++w.sample) write_sample(p, out, w);
      written += static_cast<u64>(w.sample - before);
      next_sample = w.sample < p.samples ? p.grid[w.sample] : infinity();
    }
    if (next > end) {
      if (KX_AVERAGES) add_area(p, w, end), keep_areas(p, out, w);
      keep_firings(p, out, w);
      ++finished;
      going = false;
      status = look_at_counts(p, m, slot, w, false);
      if (status != kRunning) break;
      continue;
    }
    const double target = stream.uniform() * sum;
    int fired = 0;
#pragma unroll
    for (int r = 0; r < R; ++r) fired += sums[r] <= target;
    if (fired == R) {  // only a subnormal total rounds u a0 up to a0; then the last that can fire is meant
      fired = 0;
#pragma unroll
      for (int r = 1; r < R; ++r) fired = sums[r] > sums[r - 1] ? r : fired;
    }
    if (KX_AVERAGES) add_area(p, w, next);
    w.t = next;
    ++events;
#pragma unroll
    for (int r = 0; r < R; ++r) w.fired[r] += fired == r;
    Network::fire(w.x, fired);
    if (Network::kChecked) {
      status = look_at_counts(p, m, slot, w, true);
      if (status != kRunning) break;
    }
  }
  if (going && status == kRunning) status = look_at_counts(p, m, slot, w, false);
  if (going) keep_firings(p, out, w);
  m.trajectory[slot] = going || status != kRunning ? w.index : w.index == -1 ? -1 : -2;
  m.status[slot] = status, m.t[slot] = w.t, m.sample[slot] = w.sample;
  stream.save(m.stream + slot, p.slots);
#pragma unroll
  for (int s = 0; s < S; ++s) {
    m.x[s * p.slots + slot] = w.x[s];
    if (KX_AVERAGES) m.area[s * p.slots + slot] = w.area[s], m.area[(S + s) * p.slots + slot] = w.area2[s];
  }
  if (finished) atomicAdd(p.control + kFinished, finished);
  if (written) atomicAdd(p.control + kSamples, written);
  if (events) atomicAdd(p.control + kEvents, events);
}

}  // namespace kx::gillespie

#if KX_MOMENTS
extern "C" __global__ void __launch_bounds__(128, 1)
    gillespie(kx::i64 n, kx::i64 first, kx::i64 samples, kx::i64 slots, kx::u64 seed, double start,
              const double* __restrict__ grid, const double* __restrict__ numbers,
              const double* __restrict__ initial, kx::u64* control, double* x, double* t, double* value,
              kx::u64* stream, kx::i64* place, kx::i64 rounds, kx::u64* count, kx::u64* square,
              kx::u64* histogram, kx::i64 low, kx::i64 width, kx::i64 cells) {
  using namespace kx::gillespie;
  walk_on(Problem{n, first, samples, slots, seed, start, grid, numbers, initial, nullptr, control},
          Sums{count, square, histogram, low, width, cells},
          Memory{x, t, value, nullptr, stream, place, place + slots, place + 2 * slots, place + 3 * slots},
          rounds);
}
#else
extern "C" __global__ void __launch_bounds__(128, 1)
    gillespie(kx::i64 n, kx::i64 first, kx::i64 samples, kx::i64 slots, kx::u64 seed, double start,
              const double* __restrict__ grid, const double* __restrict__ numbers,
              const double* __restrict__ initial, kx::u64* control, double* x, double* t, double* value,
              kx::u64* stream, kx::i64* place, kx::i64 rounds, const kx::i64* __restrict__ starts,
              kx::i64* counts, kx::i64* fired, double* area, double* areas) {
  using namespace kx::gillespie;
  walk_on(Problem{n, first, samples, slots, seed, start, grid, numbers, initial, starts, control},
          Samples{counts, fired, areas, KX_AVERAGES ? areas + kx::gillespie::S * n : nullptr},
          Memory{x, t, value, area, stream, place, place + slots, place + 2 * slots, place + 3 * slots},
          rounds);
}
#endif
KX_ENTRY(gillespie)
