#include "core/threads.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace kxfast {
namespace {

thread_local bool inside_task = false;

struct Inside {
  Inside() { inside_task = true; }
  ~Inside() { inside_task = false; }
};

// Loops of a call follow one another within microseconds, while a sleeping thread takes some 50 us to wake:
// who has nothing to do looks around for about that long before it sleeps.
template <class Ready>
bool spin_until(Ready&& ready) {
  constexpr std::chrono::microseconds kSpin{60};
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
#ifdef KXFAST_X86
      __builtin_ia32_pause();
#endif
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// One loop in flight. Workers hold a reference only while `users` counts them, and the caller waits for that.
// Its tasks are in as many shares as there are threads; who is through with the share of his seat helps with
// the next ones.
class Loop {
 public:
  Loop(Task body, void* given, int64_t count, int threads, Job* owner)
      : tasks(count),
        job(owner),
        task_(body),
        context_(given),
        shares_(static_cast<int>(std::min<int64_t>(std::min(threads, kMostShares), count))) {
    for (int i = 0; i < shares_; ++i) {
      share_[i].next.store(i * tasks / shares_, std::memory_order_relaxed);
      share_[i].end = (i + 1) * tasks / shares_;
    }
  }

  // Seat 0 is the caller's.
  void drain(int seat) {
    Inside mark;
    for (int turn = 0; turn < shares_; ++turn) {
      Share& share = share_[(seat + turn) % shares_];
      for (int64_t i; (i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) {
        if (job && job->stopped()) return;
        task_(context_, i);
        if (seat == 0 && job) job->tend_if_due();
      }
    }
  }

  const int64_t tasks;
  Job* const job;
  std::atomic<int> users{0};  // workers inside; changed under the pool's mutex

 private:
  static constexpr int kMostShares = 64;
  struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
  };

  const Task task_;
  void* const context_;
  const int shares_;
  Share share_[kMostShares];
};

class Pool {
 public:
  void run(Loop& loop, int threads) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (loop_ || threads <= 1) {  // busy with another caller's loop
      lock.unlock();
      loop.drain(0);
      return;
    }
    for (int n = static_cast<int>(workers_.size()); n < threads - 1; ++n)
      workers_.emplace_back([this, n] { work(n + 1); });
    loop_ = &loop;
    seats_ = static_cast<int>(std::min<int64_t>(threads - 1, loop.tasks - 1));
    const int asleep = std::min<int>(seats_, sleepers_);
    lock.unlock();
    for (int i = 0; i < asleep; ++i) wake_.notify_one();
    loop.drain(0);
    lock.lock();
    loop_ = nullptr;  // nobody joins any more
    seats_ = 0;
    if (loop.users > 0) {
      lock.unlock();
      spin_until([&] { return loop.users.load(std::memory_order_acquire) == 0; });
      lock.lock();
    }
    while (loop.users > 0) {
      done_.wait_for(lock, Job::kInterval);
      if (loop.job) {
        lock.unlock();
        loop.job->tend_if_due();
        lock.lock();
      }
    }
  }

 private:
  void work(int seat) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      if (seats_ == 0) {
        lock.unlock();
        spin_until([this] { return seats_.load(std::memory_order_relaxed) > 0; });
        lock.lock();
        ++sleepers_;
        wake_.wait(lock, [this] { return seats_ > 0; });
        --sleepers_;
      }
      Loop* loop = loop_;
      --seats_;
      ++loop->users;
      lock.unlock();
      loop->drain(seat);
      lock.lock();
      if (--loop->users == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  Loop* loop_ = nullptr;
  std::atomic<int> seats_{0};  // free ones of loop_; this and the rest change under the mutex
  int sleepers_ = 0;
};

// The pool lives as long as the process: its threads sleep when there is no work. After fork() the child has
// none of them, so it forgets the pool (a leak of a few hundred bytes) and makes a new one when it first
// needs it.
std::atomic<Pool*> shared_pool{nullptr};
std::atomic<TeamRun> team_run{nullptr};
std::atomic<TeamSize> team_size{nullptr};
std::atomic<int> chosen_threads{0};

void after_fork() {
  static const bool registered = [] {
    pthread_atfork(nullptr, nullptr, [] {
      shared_pool.store(nullptr);
      team_run.store(nullptr);
      inside_task = false;
    });
    return true;
  }();
  (void)registered;
}

// The caller is one of the team, and waits for the others at its end.
void run_on_team(TeamRun run, Loop& loop, int threads) {
  struct Both {
    Loop* loop;
    std::thread::id caller;
    std::atomic<int> arrived{0};
  } both{&loop, std::this_thread::get_id()};
  run(
      [](void* context) {
        Both& given = *static_cast<Both*>(context);
        given.loop->drain(std::this_thread::get_id() == given.caller ? 0 : ++given.arrived);
      },
      &both, static_cast<unsigned>(std::min<int64_t>(threads, loop.tasks)), 0);
}

Pool& pool() {
  after_fork();
  Pool* existing = shared_pool.load();
  if (existing) return *existing;
  Pool* made = new Pool;
  if (shared_pool.compare_exchange_strong(existing, made)) return *made;
  delete made;  // another thread was first; no worker has started in ours
  return *existing;
}

int positive_from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (!text) return 0;
  const long value = std::strtol(text, nullptr, 10);  // "4,2" of OMP_NUM_THREADS: the outer level counts
  return value > 0 && value < 100000 ? static_cast<int>(value) : 0;
}

}  // namespace

int default_num_threads() {
  static const int count = [] {
    if (const int own = positive_from_environment("KXFAST_NUM_THREADS")) return own;
    if (const int omp = positive_from_environment("OMP_NUM_THREADS")) return omp;
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }();
  return count;
}

int num_threads() {
  const int chosen = chosen_threads.load(std::memory_order_relaxed);
  return chosen > 0 ? chosen : default_num_threads();
}

void set_num_threads(int n) {
  chosen_threads.store(std::max(0, n), std::memory_order_relaxed);
}

void use_team(TeamRun run, TeamSize size) {
  after_fork();
  team_size.store(size);
  team_run.store(run);
}

int free_threads(int threads) {
  if (inside_task) return 1;
  if (threads <= 0) threads = num_threads();
  if (team_run.load(std::memory_order_relaxed))
    threads = std::min(threads, team_size.load(std::memory_order_relaxed)());
  return threads;
}

void parallel_tasks(int64_t tasks, Task task, void* context, int threads, Job* job) {
  if (tasks <= 0) return;
  if (inside_task) {  // a task that calls again works alone
    for (int64_t i = 0; i < tasks && !(job && job->stopped()); ++i) task(context, i);
    return;
  }
  const TeamRun team = team_run.load(std::memory_order_relaxed);
  threads = free_threads(threads);
  Loop loop(task, context, tasks, threads, job);
  if (threads == 1 || tasks == 1) {
    loop.drain(0);
  } else if (team) {
    run_on_team(team, loop, threads);
  } else {
    pool().run(loop, threads);
  }
}

}  // namespace kxfast
