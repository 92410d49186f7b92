// Which exact method "auto" stands for. Small networks take the direct method, which computes everything anew
// and runs in vector lanes. For others one short trajectory is walked and what each method would have done in
// it is counted: propensities computed, bounds renewed, candidates rejected. The costs below turn the counts
// into nanoseconds; they were fitted on one machine to measured networks, and only their ratios matter.
// Counting instead of timing gives the same answer, and so the same numbers for a seed, on every machine and
// every day.
#include <algorithm>
#include <functional>

#include "gillespie/ensemble.hpp"
#include "gillespie/walker.hpp"

namespace kxfast::gillespie {
namespace {

constexpr int64_t kTrialEvents = 8192, kTrialStretch = 512, kTrialWork = 400000;
constexpr int64_t kSortedFrom = 7;  // below, nothing beats an unrolled loop

// Events, and sums over them: propensities that the fired reaction affects, places a sorted search would
// pass, bounds made anew, and candidates that were none.
struct Trial {
  double events, affected, passed, looked, rejected;
};

Trial walk_trial(const Network& network, Job& job) {
  const Model& m = network.model();
  Walker walker(network, Method::rssa);
  Walk& walk = walker.begin(0, 0);
  std::vector<int64_t> fired(static_cast<size_t>(m.reactions));
  walk.fired = fired.data();
  walk.stop = walk.end = DBL_MAX;
  walk.most = kTrialEvents;
  Status status = Status::running;
  while (status == Status::running && walk.events < walk.most && walk.looked < kTrialWork && job.advance(0))
    status = walker.go_on(kTrialStretch);
  double affected = 0, passed = 0;
  for (size_t r = 0; r < fired.size(); ++r)
    affected += static_cast<double>(fired[r]) * (m.affected_begin[r + 1] - m.affected_begin[r]);
  std::sort(fired.begin(), fired.end(), std::greater<>());
  for (size_t rank = 0; rank < fired.size(); ++rank)
    passed += static_cast<double>(fired[rank]) * static_cast<double>(rank);
  return {static_cast<double>(walk.events), affected, passed, static_cast<double>(walk.looked),
          static_cast<double>(walk.rejected)};
}

}  // namespace

Method choose_method(const Network& network, bool single, Job& job) {
  const int64_t count = network.model().reactions;
  const auto reactions = static_cast<double>(count);
  const bool small = count <= kRecomputeUpTo;
  if (count < kSortedFrom || (small && !single)) return Method::direct;
  const Trial trial = walk_trial(network, job);
  const double sorting = trial.events * 20 + trial.affected * 1.6 + trial.passed * 0.76;
  if (small) return sorting < trial.events * (10 + 1.5 * reactions) ? Method::sorting_direct : Method::direct;
  const double direct = trial.events * (42 + reactions / 100) + trial.affected * 2.3;
  const double composition = trial.events * 26 + trial.affected * 4.2;
  const double rssa = (trial.events + trial.rejected) * 40 + trial.looked * 12;
  const double least = std::min({direct, sorting, composition, rssa});
  if (least == direct) return Method::direct;
  if (least == sorting) return Method::sorting_direct;
  return least == composition ? Method::composition_rejection : Method::rssa;
}

}  // namespace kxfast::gillespie
