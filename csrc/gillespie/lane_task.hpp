// A thread's share of an ensemble in vector lanes: a block of trajectories, each lane taking the next of the
// ensemble when its own has ended.
#pragma once

#include <atomic>

#include "core/threads.hpp"
#include "gillespie/complete.hpp"
#include "gillespie/lane_network.hpp"

namespace kxfast::gillespie {

// Where the trajectories of one task go.
class LaneOutput {
 public:
  virtual ~LaneOutput() = default;
  // Sets slot.out and slot.fired of the slot in a place for the trajectory of an index in the ensemble.
  virtual void begin(LaneSlot& slot, int64_t place, int64_t index) = 0;
  virtual void end(const LaneSlot& slot) = 0;
};

class LaneTask {
 public:
  LaneTask(const Ensemble& ensemble, const LaneNetwork& network, int64_t groups, std::atomic<int64_t>& next,
           LaneOutput& output);
  void run(Failure& failure);

 private:
  static bool refill(void* task, LaneSlot& slot);
  bool take(LaneSlot& slot);
  void run_scalar(Failure& failure);

  const Ensemble& e_;
  const LaneModel& m_;
  std::atomic<int64_t>& next_;
  LaneOutput& output_;
  LaneBlock block_{};
  Buffer<double> reals_;
  Buffer<uint64_t> words_;
  Buffer<int64_t> fired_;
  Buffer<LaneSlot> slots_;
};

// Tasks for the ensemble, one a thread, and groups of lanes in each; no tasks if lanes are not for it.
struct LanePlan {
  int64_t tasks, groups, width;
  int64_t lanes() const { return groups * width; }
};
LanePlan plan_lanes(const Ensemble& ensemble, const LaneNetwork& network);

// Runs the ensemble; make() gives each task its output, a std::unique_ptr<LaneOutput>.
template <class Make>
void run_lanes(const Ensemble& e, const LaneNetwork& network, const LanePlan& plan, Failure& failure,
               Make&& make) {
  std::atomic<int64_t> next{0};
  parallel_for(
      plan.tasks,
      [&](int64_t) {
        const auto output = make();
        LaneTask(e, network, plan.groups, next, *output).run(failure);
      },
      e.threads, &e.job);
}

}  // namespace kxfast::gillespie
