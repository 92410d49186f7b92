// Trajectories are the units of work, handed out in tasks of a few; trajectory i draws from stream (seed, i).
//
// Moments are sums of integers: the counts in 64 bits, their squares in 128, both exact, so they may be
// added in any order and the result depends neither on threads nor on blocks. Each task adds to one of as
// many accumulators as there are threads.
#include "gillespie/ensemble.hpp"

#include <algorithm>
#include <memory>
#include <mutex>

#include "gillespie/lane_task.hpp"

namespace kxfast::gillespie {
namespace {

__extension__ typedef unsigned __int128 Wide;

// body(walker, first, last) for tasks of a few trajectories each.
template <class Body>
void for_trajectories(const Ensemble& e, Body&& body) {
  const int64_t size = std::clamp<int64_t>(e.n / 256, 1, 64), tasks = (e.n + size - 1) / size;
  parallel_for(
      tasks,
      [&](int64_t task) {
        Walker walker(e.network, e.method);
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
  Bins bins;
  Buffer<int64_t> histograms;
  int64_t events = 0;

  Sums(int64_t cells, int64_t reactions, const Bins& chosen)
      : count(static_cast<size_t>(cells)),
        fired(static_cast<size_t>(reactions)),
        square(static_cast<size_t>(cells)),
        bins(chosen),
        histograms(static_cast<size_t>(cells * chosen.cells())) {
    std::fill(histograms.begin(), histograms.end(), 0);
    std::fill(count.begin(), count.end(), 0);
    std::fill(fired.begin(), fired.end(), 0);
    std::fill(square.begin(), square.end(), Wide{0});
  }
  void add(const int64_t* sample) {
    for (size_t i = 0; i < count.size(); ++i) {
      count[i] += sample[i];
      square[i] += static_cast<Wide>(sample[i]) * static_cast<Wide>(sample[i]);
    }
    const auto cells = static_cast<size_t>(bins.cells());
    for (size_t i = 0; i < count.size() && cells; ++i)
      ++histograms[i * cells + static_cast<size_t>(bins.place(sample[i]))];
  }
  void add(const Sums& other) {
    for (size_t i = 0; i < count.size(); ++i) count[i] += other.count[i], square[i] += other.square[i];
    for (size_t i = 0; i < histograms.size(); ++i) histograms[i] += other.histograms[i];
    events += other.events;
  }
};

// Accumulators are taken and given back by tasks; there are never more than threads at work.
class SumsPool {
 public:
  SumsPool(int64_t cells, int64_t reactions, const Bins& bins)
      : cells_(cells), reactions_(reactions), bins_(bins) {}
  Sums* take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) {
      all_.push_back(std::make_unique<Sums>(cells_, reactions_, bins_));
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
  Bins bins_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Sums>> all_;
  std::vector<Sums*> free_;
};

// Counts and firings of each trajectory where they belong in the result.
class Trajectories final : public LaneOutput {
 public:
  Trajectories(const Ensemble& e, int64_t* counts, int64_t* fired)
      : counts_(counts),
        fired_(fired),
        cells_(e.grid.size[0] * e.network.model().species),
        reactions_(e.network.model().reactions) {}
  void begin(LaneSlot& slot, int64_t, int64_t index) override {
    slot.out = counts_ + index * cells_;
    slot.fired = fired_ + index * reactions_;
    std::fill(slot.fired, slot.fired + reactions_, 0);
  }
  void end(const LaneSlot&) override {}

 private:
  int64_t *counts_, *fired_, cells_, reactions_;
};

// Samples of each lane, added to a thread's sums.
class Additions final : public LaneOutput {
 public:
  Additions(SumsPool& pool, int64_t lanes) : pool_(pool), sums_(pool.take()), cells_(sums_->count.size()) {
    samples_ = Buffer<int64_t>(cells_ * static_cast<size_t>(lanes));
  }
  ~Additions() override { pool_.give_back(sums_); }
  void begin(LaneSlot& slot, int64_t place, int64_t) override {
    slot.out = samples_.data() + static_cast<size_t>(place) * cells_;
    slot.fired = sums_->fired.data();
  }
  void end(const LaneSlot& slot) override {
    sums_->add(slot.out);
    sums_->events += slot.events;
  }

 private:
  SumsPool& pool_;
  Sums* sums_;
  size_t cells_;
  Buffer<int64_t> samples_;
};

}  // namespace

void simulate(const Ensemble& e, const Results& out) {
  const int64_t species = e.network.model().species, reactions = e.network.model().reactions;
  Failure failure;
  const LaneNetwork lanes(e.network, e.grid, e.start);
  if (const LanePlan plan = plan_lanes(e, lanes); plan.tasks && !out.mean) {
    run_lanes(e, lanes, plan, failure,
              [&] { return std::make_unique<Trajectories>(e, out.counts, out.fired); });
    return failure.raise();
  }
  for_trajectories(e, [&](Walker& walker, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      Walk& walk = walker.begin(e.seed, e.first + i, e.counts_of(i), e.start);
      walk.epsilon = e.epsilon;
      walk.out = out.counts + i * e.grid.size[0] * species;
      walk.fired = out.fired + i * reactions;
      std::fill(walk.fired, walk.fired + reactions, 0);
      if (out.mean) walker.average();
      if (!complete(e, walker, e.first + i, failure, out.after ? out.after + i : nullptr)) return;
      if (out.mean) time_average(walk, species, out.mean + i * species, out.variance + i * species);
      if (out.stopped) out.stopped[i] = walk.stopped_at;
    }
  });
  failure.raise();
}

namespace {

void add_trajectories(const Ensemble& e, SumsPool& pool, int64_t cells, Failure& failure) {
  for_trajectories(e, [&](Walker& walker, int64_t from, int64_t to) {
    Buffer<int64_t> samples(static_cast<size_t>(cells));
    Sums* sums = pool.take();
    for (int64_t i = from; i < to; ++i) {
      Walk& walk = walker.begin(e.seed, e.first + i, e.counts_of(i), e.start);
      walk.epsilon = e.epsilon;
      walk.out = samples.data();
      walk.fired = sums->fired.data();
      if (!complete(e, walker, e.first + i, failure)) break;
      sums->add(samples.data());
      sums->events += walk.events;
    }
    pool.give_back(sums);
  });
}

}  // namespace

int64_t moments(const Ensemble& e, const Bins& bins, double* mean, double* variance, int64_t* histograms) {
  const int64_t cells = e.grid.size[0] * e.network.model().species;
  SumsPool pool(cells, e.network.model().reactions, bins);
  Failure failure;
  const LaneNetwork lanes(e.network, e.grid, e.start);
  if (const LanePlan plan = plan_lanes(e, lanes); plan.tasks)
    run_lanes(e, lanes, plan, failure, [&] { return std::make_unique<Additions>(pool, plan.lanes()); });
  else
    add_trajectories(e, pool, cells, failure);
  failure.raise();
  if (e.job.stopped()) return 0;
  const Sums& sums = pool.total();
  std::copy(sums.histograms.begin(), sums.histograms.end(), histograms);
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
