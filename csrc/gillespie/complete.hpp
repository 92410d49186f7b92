// One trajectory of an ensemble from start to end, and what went wrong in which.
#pragma once

#include <mutex>
#include <stdexcept>
#include <string>

#include "gillespie/director.hpp"
#include "gillespie/ensemble.hpp"
#include "gillespie/walker.hpp"

namespace kxfast::gillespie {

// The first trajectory that failed, of those that were looked at.
class Failure {
 public:
  void record(int64_t index, const std::string& text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (index_ < 0 || index < index_) index_ = index, text_ = text;
  }
  void raise() const {
    if (index_ >= 0) throw std::domain_error(text_ + " in trajectory " + std::to_string(index_));
  }

 private:
  std::mutex mutex_;
  int64_t index_ = -1;
  std::string text_;
};

// Runs `walker` to the end of the grid; false if it failed or the job was stopped. What events hold there
// goes to `after`, if that is not null.
inline bool complete(const Ensemble& e, Walker& walker, int64_t index, Failure& failure,
                     EventState* after = nullptr) {
  Walk& walk = walker.walk;
  walk.grid = e.grid.data;
  walk.samples = e.grid.size[0];
  walk.end = walk.grid[walk.samples - 1];
  walk.window = walk.grid[0];
  Director director(e.network, walk);
  const int64_t budget = stretch(e.network.model());
  const EventState* const left = e.before ? e.before->data() + index - e.first : nullptr;
  for (Status status = director.begin(left); status <= Status::stopped || status > Status::finished;) {
    const int64_t before = walk.sample;
    if (status <= Status::stopped) {
      walk.stop = director.next_stop();
      walk.pausing = walk.stop <= walk.end;
      if (!walk.pausing) walk.stop = walk.end;
      status = walker.go_on(budget);
    }
    if (status == Status::watched || status == Status::stopped) status = director.settle();
    if (status > Status::finished) {
      failure.record(index, describe(status, walk));
      e.job.stop();
      return false;
    }
    if (!e.job.advance(walk.sample - before)) return false;
  }
  if (after) *after = director.leave();
  return true;
}

}  // namespace kxfast::gillespie
