// The direct method with a trajectory in each vector lane: the numbers of direct.cpp bit for bit, since every
// sum, product and comparison is made in the same order, and each lane draws from its trajectory's stream.
//
// Layout: counts, times, streams and cumulative sums are arrays of vectors, (rows, groups, lanes); up to four
// vectors of trajectories, the groups, are walked together to hide latency. A round is one event in
// every lane: propensities summed as they are computed, the reaction as the number of cumulative sums at most
// u a0, and for each species that changes a look-up of its change by the reaction, a permutation of registers
// where there are 8 lanes. Firings are counted in bytes, eight reactions to a word, and transferred before
// one can overflow. Innermost are the loops over groups, inside those over reactions or species, so that a
// rate is loaded once for all.
//
// A lane that passes sample times or ends leaves the common path: samples are written from its column of
// counts, and a lane that has ended is given the next trajectory after the round, whose event it takes back.
//
// A round of 8 lanes takes 15 ns at two reactions, where draws and the logarithm are most of it, and 33 ns at
// eighteen, where loads of counts and sums are. Lost: code generated for one network, up to twice as fast at
// two reactions, because it needs a compiler at run time.
#include "gillespie/lanes.hpp"

#include "gillespie/simd/lane_expression.hpp"

namespace kxfast::gillespie::KXFAST_ISA {
namespace {

constexpr int64_t kTransferEvery = 255;
constexpr double kLeastTotal = 1e-290, kLargestTotal = 1e300;

// `least` becomes the least of the rates that expressions gave, which is negative if one is.
template <int kGroups, bool kChecked>
KXFAST_INLINE void sum_propensities(const LaneModel& m, const LaneBlock& b, Reals (&sum)[kGroups],
                                    Reals (&least)[kGroups]) {
  const Reals* const x = reinterpret_cast<const Reals*>(b.x);
  Reals* out = reinterpret_cast<Reals*>(b.sums);
  for (int g = 0; g < kGroups; ++g) sum[g] = least[g] = Reals{};
  const LaneReaction* const end = m.reaction + m.reactions;
  for (const LaneReaction* each = m.reaction; each != end; ++each, out += kGroups) {
    if (kChecked && each->order == kExpression) {
      for (int32_t i = each->one; i < each->other; ++i) take_step<kGroups>(m.steps[i], b);
      const Reals* const value = x + each->third * kGroups;
      for (int g = 0; g < kGroups; ++g) {
        least[g] = smaller(value[g], least[g]);
        out[g] = sum[g] += value[g];
      }
      continue;
    }
    const Reals rate = all(each->rate);
    const Reals* const one = x + each->one * kGroups;
    const Reals* const other = x + each->other * kGroups;
    if (each->order == 1) {
      for (int g = 0; g < kGroups; ++g) out[g] = sum[g] += rate * one[g];
    } else if (each->order == 2) {
      for (int g = 0; g < kGroups; ++g) out[g] = sum[g] += rate * one[g] * (other[g] - each->less);
    } else if (each->order == 0) {
      for (int g = 0; g < kGroups; ++g) out[g] = sum[g] += rate;
    } else {
      const Reals* const third = x + each->third * kGroups;
      for (int g = 0; g < kGroups; ++g)
        out[g] = sum[g] += rate * one[g] * (other[g] - each->less) * (third[g] - each->third_less);
    }
  }
}

// An exponential and a uniform number in each lane.
KXFAST_INLINE void draw(const LaneBlock& b, int64_t groups, int64_t g, Reals& exponential, Reals& uniform) {
  Words* const s = reinterpret_cast<Words*>(b.stream) + g;
  LaneStream stream{s[0], s[groups], s[2 * groups], s[3 * groups]};
  exponential = -log_of_unit(unit_open(stream.bits()));
  uniform = unit(stream.bits());
  s[0] = stream.s0, s[groups] = stream.s1, s[2 * groups] = stream.s2, s[3 * groups] = stream.s3;
}

// Gives lane l, counted over all groups, the start of its slot's trajectory.
void start(const LaneModel& m, LaneBlock& b, int64_t l) {
  const int64_t stride = b.groups * kLanes;
  const LaneSlot& slot = b.slots[l];
  for (int64_t row = 0; row < m.rows; ++row) b.x[row * stride + l] = m.initial[row];
  for (int64_t s = 0; s < m.species && slot.counts; ++s)
    b.x[s * stride + l] = static_cast<double>(slot.counts[s]);
  for (int64_t r = 0; r < m.reactions; ++r) b.fired[r * stride + l] = 0;
  for (int i = 0; i < 4; ++i) b.stream[i * stride + l] = slot.stream[i];
  for (int i = 0; i < 3; ++i) b.recent[i * stride + l] = 0;
  b.t[l] = m.start;
  // A lane without a trajectory walks on from there and is never looked at.
  b.next_sample[l] = slot.trajectory < 0 ? HUGE_VAL : m.grid[0];
}

// Adds a lane's firings to its slot, less the event that came after the end.
void finish(const LaneModel& m, LaneBlock& b, int64_t l, uint64_t taken_back) {
  const int64_t stride = b.groups * kLanes;
  LaneSlot& slot = b.slots[l];
  for (int64_t r = 0; r < m.reactions; ++r) {
    const uint64_t recent = b.recent[(r / 8) * stride + l] >> (8 * (r % 8)) & 255;
    const int64_t fired = b.fired[r * stride + l] + static_cast<int64_t>(recent) -
                          static_cast<int64_t>(static_cast<uint64_t>(r) == taken_back);
    slot.fired[r] += fired;
    slot.events += fired;
  }
}

bool in_range(const LaneModel& m, const LaneBlock& b, int64_t l) {
  bool good = true;
  for (int64_t s = 0; s < m.species; ++s) good &= b.x[s * b.groups * kLanes + l] <= kLargestLaneCount;
  return good;
}

// Writes the samples of the late lanes of one group before their next events; a bit for each that has ended.
unsigned pass_samples(const LaneModel& m, LaneBlock& b, int64_t g, unsigned late, Reals next, Reals total) {
  unsigned ended = 0;
  for (; late; late &= late - 1) {
    const int lane = __builtin_ctz(late);
    const int64_t l = g * kLanes + lane;
    LaneSlot& slot = b.slots[l];
    if (slot.trajectory < 0) continue;
    const double until = total[lane] > 0 ? next[lane] : HUGE_VAL;
    const int64_t before = slot.sample;
    for (; slot.sample < m.samples && m.grid[slot.sample] < until; ++slot.sample) {
      int64_t* const row = slot.out + slot.sample * m.species;
      for (int64_t s = 0; s < m.species; ++s) row[s] = static_cast<int64_t>(b.x[s * b.groups * kLanes + l]);
    }
    b.samples_written += slot.sample - before;
    if (slot.sample == m.samples) {
      ended |= 1u << lane;
      b.failed |= !in_range(m, b, l);
    } else {
      b.next_sample[l] = m.grid[slot.sample];
    }
  }
  return ended;
}

void restart(const LaneModel& m, LaneBlock& b, int64_t g, unsigned ended, Words chosen) {
  for (; ended && !b.failed; ended &= ended - 1) {
    const int lane = __builtin_ctz(ended);
    const int64_t l = g * kLanes + lane;
    finish(m, b, l, chosen[lane]);
    if (!b.refill(b.context, b.slots[l])) --b.live;
    start(m, b, l);
  }
}

// Whether among the lanes of `odd` is one that has a trajectory.
bool has_trajectory(const LaneBlock& b, int64_t g, unsigned odd) {
  for (; odd; odd &= odd - 1)
    if (b.slots[g * kLanes + __builtin_ctz(odd)].trajectory >= 0) return true;
  return false;
}

// Marks the block as failed if in a trajectory a count or a rate is negative, or if the total is so near the
// ends of the range of doubles that the scalar kernel takes other ways.
template <int kGroups>
KXFAST_INLINE void look_at_counts_and_rates(const LaneModel& m, LaneBlock& b, const Reals (&total)[kGroups],
                                            Reals (&least)[kGroups]) {
  const Reals* const x = reinterpret_cast<const Reals*>(b.x);
  for (int64_t i = 0; i < m.moving; ++i)
    for (int g = 0; g < kGroups; ++g) least[g] = smaller(x[m.changed[i] * kGroups + g], least[g]);
  for (int g = 0; g < kGroups; ++g) {
    const unsigned odd = not_at_most(all(0), least[g]) | not_at_most(total[g], all(kLargestTotal)) |
                         (not_at_most(all(kLeastTotal), total[g]) & not_at_most(total[g], all(0)));
    if (__builtin_expect(odd != 0, 0)) b.failed |= has_trajectory(b, g, odd);
  }
}

// Moves the firings counted in bytes to where there is room; false if a count has grown too large.
bool transfer(const LaneModel& m, LaneBlock& b) {
  const int64_t stride = b.groups * kLanes;
  bool good = !b.failed;
  for (int64_t l = 0; l < stride; ++l) {
    for (int64_t r = 0; r < m.reactions; ++r)
      b.fired[r * stride + l] += static_cast<int64_t>(b.recent[(r / 8) * stride + l] >> (8 * (r % 8)) & 255);
    for (int i = 0; i < 3; ++i) b.recent[i * stride + l] = 0;
    good = good && (b.slots[l].trajectory < 0 || in_range(m, b, l));
  }
  return good;
}

// One event in every lane; kEights is reactions / 8, rounded up.
template <int kGroups, int kEights, bool kChecked>
KXFAST_INLINE void round_of_events(const LaneModel& m, LaneBlock& b) {
  Reals total[kGroups], next[kGroups], target[kGroups], least[kGroups];
  Words chosen[kGroups];
  unsigned late[kGroups], any_late = 0, any_ended = 0;
  Reals* const t = reinterpret_cast<Reals*>(b.t);
  Reals* const x = reinterpret_cast<Reals*>(b.x);
  const Reals* const sums = reinterpret_cast<const Reals*>(b.sums);
  Words* const recent = reinterpret_cast<Words*>(b.recent);
  sum_propensities<kGroups, kChecked>(m, b, total, least);
  if (kChecked) look_at_counts_and_rates<kGroups>(m, b, total, least);
  for (int g = 0; g < kGroups; ++g) {
    Reals exponential, uniform;
    draw(b, kGroups, g, exponential, uniform);
    next[g] = t[g] + exponential / total[g];
    target[g] = uniform * total[g];
    any_late |= late[g] = not_at_most(next[g], reinterpret_cast<const Reals*>(b.next_sample)[g]);
    chosen[g] = Words{};
  }
  for (int64_t r = 0; r < m.reactions - 1; ++r)
    for (int g = 0; g < kGroups; ++g) chosen[g] = count_up(chosen[g], sums[r * kGroups + g], target[g]);
  if (__builtin_expect(any_late != 0, 0))
    for (int g = 0; g < kGroups; ++g)
      any_ended |= late[g] = late[g] ? pass_samples(m, b, g, late[g], next[g], total[g]) : 0;
  for (int64_t i = 0; i < m.moving; ++i) {
    Reals* const row = x + m.changed[i] * kGroups;
    for (int g = 0; g < kGroups; ++g) row[g] += look_up<kEights>(m.change + i * kLaneReactions, chosen[g]);
  }
  for (int g = 0; g < kGroups; ++g) {
    t[g] = next[g];
    for (int i = 0; i < kEights; ++i)
      recent[i * kGroups + g] += bit(8 * chosen[g] - 64 * static_cast<uint64_t>(i));
  }
  if (__builtin_expect(any_ended != 0, 0))
    for (int g = 0; g < kGroups; ++g) restart(m, b, g, late[g], chosen[g]);
}

template <int kGroups, int kEights, bool kChecked>
LaneStatus walk(const LaneModel& m, LaneBlock& b, int64_t rounds) {
  while (rounds > 0 && b.live) {
    const int64_t until_transfer = rounds < kTransferEvery ? rounds : kTransferEvery;
    for (int64_t i = 0; i < until_transfer && b.live; ++i) round_of_events<kGroups, kEights, kChecked>(m, b);
    if (!transfer(m, b)) return LaneStatus::failed;
    rounds -= until_transfer;
  }
  return b.live ? LaneStatus::running : LaneStatus::finished;
}

template <int kGroups, bool kChecked>
LaneStatus walk(const LaneModel& m, LaneBlock& b, int64_t rounds) {
  if (m.reactions <= 8) return walk<kGroups, 1, kChecked>(m, b, rounds);
  if (m.reactions <= 16) return walk<kGroups, 2, kChecked>(m, b, rounds);
  return walk<kGroups, 3, kChecked>(m, b, rounds);
}

template <int kGroups>
LaneStatus walk(const LaneModel& m, LaneBlock& b, int64_t rounds) {
  return m.checked ? walk<kGroups, true>(m, b, rounds) : walk<kGroups, false>(m, b, rounds);
}

}  // namespace

int lane_width() {
  return kLanes;
}

void fill_lanes(const LaneModel& m, LaneBlock& b) {
  b.live = 0;
  for (int64_t l = 0; l < b.groups * kLanes; ++l) {
    b.live += b.refill(b.context, b.slots[l]);
    start(m, b, l);
  }
}

LaneStatus walk_lanes(const LaneModel& m, LaneBlock& b, int64_t rounds) {
  if (b.groups == 1) return walk<1>(m, b, rounds);
  if (b.groups == 2) return walk<2>(m, b, rounds);
  return walk<kLaneGroups>(m, b, rounds);
}

}  // namespace kxfast::gillespie::KXFAST_ISA
