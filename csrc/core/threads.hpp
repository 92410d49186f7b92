// A parallel loop over numbered tasks. The caller works too and waits for tasks, not for threads: a call that
// is over before a worker has woken costs about a microsecond. Each thread begins with its own share of
// neighbouring tasks, the same in every loop, whose data its cache may still hold from the loop before (one
// counter for all: 10 % slower for forward and backward of 128 rows, 2 % for nine layers), and then takes
// from the others' shares, one task at a time; what a task computes must depend on its number alone, so
// results never depend on the number of threads. A second Python thread that calls while the pool is busy,
// and a task that calls again, do their work alone, in their own thread. After fork() the child starts a new
// pool. OpenMP lost: 20 ms tails on busy machines, and a child that hangs. But where a framework keeps an
// OpenMP team, whose threads spin for milliseconds after each of its loops, a second pool beside it has half
// the machine (1.6 times the time of a training step on 2 cores): there our loops run on that team.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <type_traits>

#include "core/job.hpp"

namespace kxfast {

int num_threads();            // set_num_threads, else KXFAST_NUM_THREADS, else OMP_NUM_THREADS, else affinity
void set_num_threads(int n);  // 0 goes back to the default
int default_num_threads();

// Loops run on an OpenMP team from now on: GOMP_parallel and omp_get_max_threads, which bounds our number;
// null for our own pool again. A child of fork() has its own pool, for the team is not there.
using TeamRun = void (*)(void (*body)(void*), void* context, unsigned threads, unsigned flags);
using TeamSize = int (*)();
void use_team(TeamRun run, TeamSize size);

int free_threads(int threads = 0);  // how many a loop with that argument would have if it were begun here

using Task = void (*)(void* context, int64_t index);

// threads = 0: num_threads(). With a job, the caller tends it, and tasks not yet begun are dropped once it
// stops.
void parallel_tasks(int64_t tasks, Task task, void* context, int threads, Job* job);

// body(index) must not throw.
template <class Body>
void parallel_for(int64_t tasks, Body&& body, int threads = 0, Job* job = nullptr) {
  using Plain = std::remove_reference_t<Body>;
  parallel_tasks(
      tasks, [](void* context, int64_t index) { (*static_cast<Plain*>(context))(index); },
      const_cast<void*>(static_cast<const void*>(&body)), threads, job);
}

// The same for bodies that take memory: where there is none the caller hears of it.
template <class Body>
void each_task(int64_t tasks, Body&& body, int threads = 0) {
  std::atomic<bool> starved{false};
  const auto task = [&](int64_t index) {
    try {
      if (!starved) body(index);
    } catch (const std::bad_alloc&) {
      starved = true;
    }
  };
  parallel_for(tasks, task, threads);
  if (starved) throw std::bad_alloc();
}

}  // namespace kxfast
