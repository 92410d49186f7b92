// Ensembles of trajectories, their moments, and the log of one trajectory.
#pragma once

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
};

// counts (n, T, S), fired (n, R); mean and variance (n, S) over time, or null; when each was stopped (n,), or
// null.
struct Results {
  int64_t *counts, *fired;
  double *mean, *variance, *stopped;
};
void simulate(const Ensemble& ensemble, const Results& results);

// mean, variance (T, S) over trajectories, divisor n - 1; returns the number of events.
int64_t moments(const Ensemble& ensemble, double* mean, double* variance);

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
