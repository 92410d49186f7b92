// One long call: how far it is, and whether it must stop. Any thread adds to `done` and asks `stopped`; only
// the thread that made the job runs `tend`, at most every 50 ms, where a binding looks for Ctrl-C and reports
// progress.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace kxfast {

class Job {
 public:
  explicit Job(int64_t units = 0) : total(units) {}
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  bool stopped() const { return stop_.load(std::memory_order_relaxed); }
  void stop() { stop_.store(true, std::memory_order_relaxed); }

  // To be called every millisecond or so of work; false means: return at once, results are thrown away.
  bool advance(int64_t units) {
    done.fetch_add(units, std::memory_order_relaxed);
    if (pthread_equal(owner_, pthread_self())) tend_if_due();
    return !stopped();
  }

  void tend_if_due() {
    const auto now = std::chrono::steady_clock::now();
    if (now < due_) return;
    tend();
    due_ = now + kInterval;
  }

  static constexpr std::chrono::milliseconds kInterval{50};
  std::atomic<int64_t> done{0};
  const int64_t total;

 protected:
  virtual void tend() {}

 private:
  std::atomic<bool> stop_{false};
  pthread_t owner_ = pthread_self();
  std::chrono::steady_clock::time_point due_ = std::chrono::steady_clock::now() + kInterval;
};

// body(i) for i = 0 .. size - 1 on the calling thread, which hears the job now and then; a stopped job ends
// the loop.
template <class Body>
void in_stretches(int64_t size, Job& job, Body&& body) {
  constexpr int64_t kStretch = 1 << 18;
  for (int64_t begin = 0; begin < size && job.advance(0); begin += kStretch) {
    const int64_t end = size - begin < kStretch ? size : begin + kStretch;
    for (int64_t i = begin; i < end; ++i) body(i);
  }
}

}  // namespace kxfast
