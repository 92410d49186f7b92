// Trajectories are the units of work, handed out in tasks of a few; trajectory i draws from stream (seed, i).
//
// Moments are sums of integers: the counts in 64 bits, their squares in 128, both exact, so they may be
// added in any order and the result depends neither on threads nor on blocks. Each task adds to one of as
// many accumulators as there are threads.
#include "gillespie/ensemble.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "core/threads.hpp"
#include "gillespie/walker.hpp"

namespace kxfast::gillespie {
namespace {

__extension__ typedef unsigned __int128 Wide;

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
bool complete(const Ensemble& e, Walker& walker, int64_t index, Failure& failure) {
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

// body(walker, first, last) for tasks of a few trajectories each.
template <class Body>
void for_trajectories(const Ensemble& e, Body&& body) {
  const int64_t size = std::clamp<int64_t>(e.n / 256, 1, 64), tasks = (e.n + size - 1) / size;
  parallel_for(
      tasks,
      [&](int64_t task) {
        Walker walker(e.network);
        body(walker, task * size, std::min(e.n, (task + 1) * size));
      },
      e.threads, &e.job);
}

void time_average(const Walk& walk, int64_t species, double* mean, double* variance) {
  const double length = walk.end - walk.window;
  for (int64_t s = 0; s < species; ++s) {
    const double shift = walk.area[s] / length;
    mean[s] = walk.x0[s] + shift;
    variance[s] = std::max(0.0, walk.area2[s] / length - shift * shift);
  }
}

struct Sums {
  Buffer<int64_t> count, fired;
  Buffer<Wide> square;
  int64_t events = 0;

  Sums(int64_t cells, int64_t reactions)
      : count(static_cast<size_t>(cells)),
        fired(static_cast<size_t>(reactions)),
        square(static_cast<size_t>(cells)) {
    std::fill(count.begin(), count.end(), 0);
    std::fill(fired.begin(), fired.end(), 0);
    std::fill(square.begin(), square.end(), Wide{0});
  }
  void add(const int64_t* sample) {
    for (size_t i = 0; i < count.size(); ++i) {
      count[i] += sample[i];
      square[i] += static_cast<Wide>(sample[i]) * static_cast<Wide>(sample[i]);
    }
  }
  void add(const Sums& other) {
    for (size_t i = 0; i < count.size(); ++i) count[i] += other.count[i], square[i] += other.square[i];
    events += other.events;
  }
};

// Accumulators are taken and given back by tasks; there are never more than threads at work.
class SumsPool {
 public:
  SumsPool(int64_t cells, int64_t reactions) : cells_(cells), reactions_(reactions) {}
  Sums* take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) {
      all_.push_back(std::make_unique<Sums>(cells_, reactions_));
      return all_.back().get();
    }
    Sums* sums = free_.back();
    free_.pop_back();
    return sums;
  }
  void give_back(Sums* sums) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(sums);
  }
  Sums& total() {
    for (size_t i = 1; i < all_.size(); ++i) all_[0]->add(*all_[i]);
    return *all_[0];
  }

 private:
  int64_t cells_, reactions_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Sums>> all_;
  std::vector<Sums*> free_;
};

}  // namespace

void simulate(const Ensemble& e, int64_t* counts, int64_t* fired, double* mean, double* variance) {
  const int64_t species = e.network.model().species, reactions = e.network.model().reactions;
  Failure failure;
  for_trajectories(e, [&](Walker& walker, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      Walk& walk = walker.begin(e.seed, e.first + i);
      walk.out = counts + i * e.grid.size[0] * species;
      walk.fired = fired + i * reactions;
      std::fill(walk.fired, walk.fired + reactions, 0);
      if (mean) walker.average();
      if (!complete(e, walker, e.first + i, failure)) return;
      if (mean) time_average(walk, species, mean + i * species, variance + i * species);
    }
  });
  failure.raise();
}

int64_t moments(const Ensemble& e, double* mean, double* variance) {
  const int64_t cells = e.grid.size[0] * e.network.model().species;
  SumsPool pool(cells, e.network.model().reactions);
  Failure failure;
  for_trajectories(e, [&](Walker& walker, int64_t from, int64_t to) {
    Buffer<int64_t> samples(static_cast<size_t>(cells));
    Sums* sums = pool.take();
    for (int64_t i = from; i < to; ++i) {
      Walk& walk = walker.begin(e.seed, e.first + i);
      walk.out = samples.data();
      walk.fired = sums->fired.data();
      if (!complete(e, walker, e.first + i, failure)) break;
      sums->add(samples.data());
      sums->events += walk.events;
    }
    pool.give_back(sums);
  });
  failure.raise();
  if (e.job.stopped()) return 0;
  const Sums& sums = pool.total();
  const auto n = static_cast<double>(e.n);
  for (size_t i = 0; i < sums.count.size(); ++i) {
    // Squares about an integer near the mean: exact modulo 2^128, and small.
    const int64_t centre = sums.count[i] / e.n, rest = sums.count[i] % e.n;
    const Wide about = sums.square[i] - 2 * static_cast<Wide>(centre) * static_cast<Wide>(sums.count[i]) +
                       static_cast<Wide>(centre) * static_cast<Wide>(centre) * static_cast<Wide>(e.n);
    const auto remainder = static_cast<double>(rest);
    mean[i] = static_cast<double>(centre) + remainder / n;
    variance[i] = std::max(0.0, static_cast<double>(about) - remainder * (remainder / n)) / (n - 1);
  }
  return sums.events;
}

}  // namespace kxfast::gillespie
