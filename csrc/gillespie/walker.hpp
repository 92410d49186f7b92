// One trajectory, the memory that it needs, and the words for what can go wrong in it.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <string>

#include "core/workspace.hpp"
#include "gillespie/network.hpp"

namespace kxfast::gillespie {

// Doubles are exact up to 2^53; a stretch of events cannot lead from here to there.
constexpr double kLargestCount = 0x1p52;

// Sums over blocks of propensities are made anew at the start of a stretch, which should cost little.
inline int64_t stretch(const Model& m) {
  return std::max<int64_t>(4096, 16 * m.reactions);
}

// One trajectory and the memory it needs; used for one after another.
class Walker {
 public:
  Walker(const Network& network, Method method)
      : network_(network),
        method_(method),
        x_(network.initial().size()),
        work_(static_cast<size_t>(work_size(network.model().state, network.model().reactions))),
        area_(2 * network.initial().size()) {}

  // Trajectory `index` of a seed, from the network's counts or from others.
  Walk& begin(uint64_t seed, int64_t index, const int64_t* counts = nullptr, double time = 0) {
    stream_ = Stream(seed, static_cast<uint64_t>(index));
    std::copy(network_.initial().begin(), network_.initial().end(), x_.begin());
    if (counts) std::copy(counts, counts + network_.model().species, x_.begin());
    walk = Walk{};
    window_ = 1;
    failures_ = 0;
    walk.stream = &stream_;
    walk.x = x_.data();
    walk.work = work_.data();
    walk.x0 = network_.initial().data();
    walk.most = INT64_MAX;
    walk.stopped_at = HUGE_VAL;
    walk.t = time;
    return walk;
  }

  void average() {
    std::fill(area_.begin(), area_.end(), 0.0);
    walk.area = area_.data();
    walk.area2 = area_.data() + network_.model().species;
  }

  // At most `budget` candidates further; where rates depend on the time at most to the end of a window.
  Status go_on(int64_t budget) { return network_.model().timed ? go_through_window(budget) : step(budget); }

  Walk walk;

 private:
  // Bounds of rates that depend on the time hold from now to the end of a window, whose length follows from
  // how many candidates came of the last one and how many were rejected: what lies ahead of a window never
  // matters, so the thinning is exact.
  Status go_through_window(int64_t budget) {
    double* const time = walk.x + network_.model().state + 2;
    const double stop = walk.stop;
    const bool pausing = walk.pausing, within = walk.t + window_ < stop;
    if (within) walk.stop = walk.t + window_, walk.pausing = true;
    time[0] = walk.t, time[1] = walk.stop;
    const int64_t events = walk.events, rejected = walk.rejected;
    const Status status = step(budget);
    const int64_t thinned = walk.rejected - rejected, candidates = walk.events - events + thinned;
    walk.stop = stop, walk.pausing = pausing;
    if (status == Status::bad_propensity && walk.value == HUGE_VAL && failures_++ < kMostFailures)
      return window_ /= 8, Status::running;  // there may be a bound in a shorter window
    if (status != Status::bad_propensity) failures_ = 0;
    if (4 * thinned > candidates)
      window_ /= 2;
    else if (candidates < 32)
      window_ *= candidates ? 2 : 8;
    return status == Status::stopped && within ? Status::running : status;
  }

  Status step(int64_t budget) {
    const Model& m = network_.model();
    const Status status = kernel()(m, walk, budget);
    walk.begun = true;
    for (int64_t s = 0; s < m.species && status <= Status::finished; ++s)
      if (walk.x[s] > kLargestCount) return walk.culprit = s, walk.value = walk.x[s], Status::too_large;
    return status;
  }

  using Kernel = Status (*)(const Model&, Walk&, int64_t);
  Kernel kernel() const {
    switch (method_) {
      case Method::direct:
        return KXFAST_PICK(Kernel, run_direct);
      case Method::sorting_direct:
        return KXFAST_PICK(Kernel, run_sorting_direct);
      case Method::next_reaction:
        return KXFAST_PICK(Kernel, run_next_reaction);
      case Method::composition_rejection:
        return KXFAST_PICK(Kernel, run_composition_rejection);
      case Method::rssa:
        return KXFAST_PICK(Kernel, run_rssa);
      default:
        return KXFAST_PICK(Kernel, run_tau_leaping);
    }
  }

  static constexpr int kMostFailures = 40;
  const Network& network_;
  Method method_;
  double window_ = 1;
  int failures_ = 0;
  Stream stream_{0, 0};
  Buffer<double> x_, work_, area_;
};

inline std::string describe(Status status, const Walk& walk) {
  char text[200];
  const long long culprit = walk.culprit;
  if (status == Status::negative_count)
    std::snprintf(text, sizeof text, "the count of species %lld must stay at least 0; got %g at t = %g",
                  culprit, walk.value, walk.t);
  else if (status == Status::too_large)
    std::snprintf(text, sizeof text, "the count of species %lld must stay at most 2**52; got %g at t = %g",
                  culprit, walk.value, walk.t);
  else if (status == Status::bad_assignment)
    std::snprintf(text, sizeof text,
                  "an event must assign a finite number, to a species a whole one; got %g for place "
                  "%lld of the state at t = %g",
                  walk.value, culprit, walk.t);
  else if (status == Status::restless)
    std::snprintf(text, sizeof text, "events must come to rest; got a million of them at t = %g", walk.t);
  else if (culprit < 0)
    std::snprintf(text, sizeof text, "the sum of all propensities must be finite; got inf at t = %g", walk.t);
  else
    std::snprintf(text, sizeof text,
                  "the propensity of reactions[%lld] must be finite and at least 0; got %g at t = %g",
                  culprit, walk.value, walk.t);
  return text;
}

}  // namespace kxfast::gillespie
