// One trajectory of an ensemble from start to end, and what went wrong in which.
#pragma once

#include <mutex>
#include <stdexcept>
#include <string>

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

// Runs `walker` to the end of the grid; false if it failed or the job was stopped.
inline bool complete(const Ensemble& e, Walker& walker, int64_t index, Failure& failure) {
  Walk& walk = walker.walk;
  walk.grid = e.grid.data;
  walk.samples = e.grid.size[0];
  walk.end = walk.grid[walk.samples - 1];
  walk.window = walk.grid[0];
  const int64_t budget = stretch(e.network.model());
  for (Status status = Status::running; status == Status::running;) {
    const int64_t before = walk.sample;
    status = walker.go_on(budget);
    if (status > Status::finished) {
      failure.record(index, describe(status, walk));
      e.job.stop();
    }
    if (!e.job.advance(walk.sample - before)) return false;
  }
  return true;
}

}  // namespace kxfast::gillespie
