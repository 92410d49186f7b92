// Ensembles of trajectories, their moments, and the log of one trajectory.
#pragma once

#include <algorithm>

#include "core/job.hpp"
#include "core/workspace.hpp"
#include "gillespie/network.hpp"

namespace kxfast::gillespie {

// Whether trajectories run in vector lanes (lanes.hpp), which changes no number: where it pays, never, or
// wherever the network allows it.
enum class Lanes : int { automatic = -1, never, always };

// Trajectories first .. first + n of a seed, sampled at `grid`; a job counts samples. Throws
// std::domain_error where a rate or a count is not one.
struct Ensemble {
  const Network& network;
  Method method;
  View<const double, 1> grid;
  int64_t first, n;
  uint64_t seed;
  int threads;
  Job& job;
  Lanes lanes = Lanes::automatic;
  double epsilon = 0.03;                            // of tau-leaping
  double start = 0;                                 // the time at which all begin
  View<const int64_t, 2> counts = {};               // at the start, (n, S), or none: the network's
  const std::vector<EventState>* before = nullptr;  // what events held there, (n,), or none
  const int64_t* counts_of(int64_t index) const {
    return counts.size[0] ? counts.data + index * counts.size[1] : nullptr;
  }
};

// A histogram of each sample: `bins` of `width` counts from `low` on, after one for what is below and before
// one for what is above.
struct Bins {
  int64_t low = 0, width = 1, bins = 0;
  int64_t cells() const { return bins ? bins + 2 : 0; }
  int64_t place(int64_t count) const { return count < low ? 0 : std::min((count - low) / width, bins) + 1; }
};

// counts (n, T, S), fired (n, R); mean and variance (n, S) over time, or null; when each was stopped (n,), or
// null; what events hold at the end, (n,), or null.
struct Results {
  int64_t *counts, *fired;
  double *mean, *variance, *stopped;
  EventState* after;
};
void simulate(const Ensemble& ensemble, const Results& results);

// mean, variance (T, S) over trajectories, divisor n - 1, and histograms (T, S, bins.cells()); returns the
// number of events.
int64_t moments(const Ensemble& ensemble, const Bins& bins, double* mean, double* variance,
                int64_t* histograms);

// The events of one trajectory until t_end or max_events, whichever is first.
struct Log {
  Buffer<double> times;
  Buffer<int32_t> reactions;
  bool absorbed = false;
};
Log events(const Network& network, Method method, uint64_t seed, double t_end, int64_t max_events, Job& job);

// The exact method that costs least, for a single trajectory or for many, by what a short trajectory needs of
// each; counted, not timed, so the answer is the same on every machine.
Method choose_method(const Network& network, bool single, Job& job);

}  // namespace kxfast::gillespie
