// A block of threads: who has arrived where, what a warp exchanges, and everything that is fatal.
//
// A thread runs until it waits; then the next one runs, in the order of the launch. Whatever a thread reads
// that another has yet to write is therefore seen as missing in one order or another: where threads are
// shuffled, half of one warp of each block starves, shared memory starts as 0xCD, and asynchronous copies are
// carried out as late as the program allows. An error ends the launch: its fibers are abandoned, and the
// launch returns a line that says what, in which block and thread.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <vector>

#include "fiber.hpp"

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace kx_emu {

constexpr unsigned char kPoison = 0xCD;
constexpr unsigned kWarp = 32, kMostShared = 227 * 1024;
constexpr size_t kMostExchanged = 64;  // bytes of a lane in one collective

enum class Collective : int { shuffle, vote, match, sync, load_matrix, multiply, group };

// An asynchronous copy that nobody has waited for yet.
struct Copy {
  void* to;
  const void* from;
  unsigned bytes, group;
};

// A product of a warp group that nobody has waited for yet: where its factors are, `tiles` of 8 columns that
// it makes, and the sums it goes to, which are poison until then.
struct Product {
  uint64_t factor[2];
  bool turned[2], brain, adds, in_registers;
  uint32_t registers[4];  // of the first factor
  unsigned tiles;
  float* sums = nullptr;
  unsigned group = 0;
  uint16_t seen[2][16] = {};  // what this thread watches of the factors, as it was when the product began
};
struct Pending {
  float* sums;
  std::vector<float> kept;
};

struct Thread {
  dim3 index;
  unsigned linear = 0, lane = 0, warp = 0, group = 0;
  bool live = false;
  const char* waits_for = nullptr;
  std::vector<Copy> copies;
  std::vector<unsigned> unpublished;  // what it has copied to, in 16 bytes of shared memory
  bool begun = false;                 // a group of products
  unsigned product_group = 0;
  std::vector<Product> products;
  std::vector<Pending> pending;
  Fiber fiber;
};

// What the lanes of one collective gave; each of them reads it once.
struct Exchange {
  unsigned readers = 0;
  unsigned char data[kWarp][kMostExchanged];
};

struct Slot {
  bool waiting = false;
  unsigned mask = 0;
  Collective kind = Collective::sync;
  Exchange* result = nullptr;
  unsigned char data[kMostExchanged];
};

struct Warp {
  unsigned live = 0;
  Slot slot[kWarp];
  Exchange exchange[kWarp + 1];  // at most a lane each is yet to read one
};

struct Block {
  dim3 index, size, grid;
  unsigned threads = 0, live = 0, arrived = 0;
  int sum = 0, last_sum = 0;  // what was given to the barrier now waited for, and to the last one
  uint64_t barriers = 0;
  uint64_t progress = 0, steps = 0;  // waits that are over; threads that have gone on behind one
  // Where threads are shuffled: lanes of a warp, the odd or the even ones, run when no other thread can go
  // on, and so does who arrives at a barrier in shared memory; after an atomic a block pauses.
  bool unkind = false;
  unsigned starved_warp = 0, starved_lane = 0;
  bool alone = true;    // no other block is there at the time
  unsigned paused = 0;  // 0, or how many have been before it
  std::vector<Thread> thread;
  std::vector<Warp> warp;
  std::vector<unsigned char> shared;
  std::vector<uint16_t> copied_by;  // of 16 bytes each: who has not published what it copied there, and one
  void (*body)(void*) = nullptr;
  void* arguments = nullptr;
  Context scheduler;
  char error[256] = "";

  bool starves_now(const Thread& each) const {
    return unkind && each.warp == starved_warp && each.lane % 2 == starved_lane;
  }
};

inline Block* block = nullptr;  // the one that runs, and its thread
inline Thread* thread = nullptr;

inline void yield() {
  thread->fiber.context().switch_to(block->scheduler);
}

// Lets other blocks go on as far as they can after this one may have told them something.
inline void pause_block() {
  static unsigned count = 0;
  if (!block->unkind || block->alone) return;
  block->paused = ++count;
  yield();
}

template <class Ready>
void wait_until(const char* what, Ready ready) {
  thread->waits_for = what;
  while (!ready()) yield();
  thread->waits_for = nullptr;
  ++block->steps;
}

// Ends the launch; never returns to the thread.
[[noreturn]] __attribute__((format(printf, 1, 2))) inline void fatal(const char* format, ...) {
  char what[160];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  std::snprintf(block->error, sizeof block->error, "%s (block %u,%u,%u, thread %u)", what, block->index.x,
                block->index.y, block->index.z, thread->linear);
  for (;;) yield();
}

inline void require_all_live(const char* what) {
  for (const Thread& each : block->thread)
    if (each.linear < block->threads && !each.live)
      fatal("%s is not reached by thread %u, which has exited", what, each.linear);
}

// Waits for every thread of the block; returns the sum of what they gave.
inline int barrier(int value) {
  require_all_live("a barrier");
  const uint64_t mine = block->barriers;
  block->sum += value;
  if (++block->arrived == block->threads) {
    block->arrived = 0;
    block->last_sum = block->sum;
    block->sum = 0;
    ++block->barriers, ++block->progress;
  }
  wait_until("a barrier", [&] { return block->barriers != mine; });
  return block->last_sum;
}

// Waits for every lane of the mask, each giving `size` bytes. done() must follow when the result is read.
inline Exchange* collect(Collective kind, unsigned mask, const void* data, size_t size) {
  Warp& warp = block->warp[thread->warp];
  Slot& own = warp.slot[thread->lane];
  if (!(mask >> thread->lane & 1))
    fatal("the mask %08x leaves out lane %u, which names it", mask, thread->lane);
  if (mask & ~warp.live)
    fatal("the mask %08x names lanes that have exited or are not there: %08x", mask, mask & ~warp.live);
  static_assert(sizeof own.data == kMostExchanged);
  std::memcpy(own.data, data, size);
  own.waiting = true, own.mask = mask, own.kind = kind, own.result = nullptr;
  bool complete = true;
  for (unsigned l = 0; l < kWarp; ++l) {
    const Slot& other = warp.slot[l];
    if (!(mask >> l & 1) || !other.waiting) {
      complete = complete && !(mask >> l & 1);
    } else if (other.mask != mask || other.kind != kind) {
      fatal("lane %u waits in another collective or with another mask, %08x, not %08x", l, other.mask, mask);
    }
  }
  if (complete) {
    Exchange* result = warp.exchange;
    while (result->readers) ++result;
    for (unsigned l = 0; l < kWarp; ++l) {
      if (!(mask >> l & 1)) continue;
      std::memcpy(result->data[l], warp.slot[l].data, size);
      warp.slot[l].waiting = false, warp.slot[l].result = result, ++result->readers;
    }
    ++block->progress;
  }
  wait_until("the lanes of its warp", [&] { return !own.waiting; });
  return own.result;
}
inline void done(Exchange* exchange) {
  --exchange->readers;
}

// The block's shared memory, of which `used` bytes must be there; aligned as on a device.
inline unsigned char* shared_bytes(size_t used) {
  if (used + 1024 > block->shared.size())
    fatal("%zu bytes of shared memory are used, of %zu", used, block->shared.size() - 1024);
  const auto start = reinterpret_cast<uintptr_t>(block->shared.data());
  return block->shared.data() + ((start + 1023) / 1024 * 1024 - start);
}

// How far into the block's shared memory an address is.
inline unsigned shared_offset(const void* place) {
  return static_cast<unsigned>(static_cast<const unsigned char*>(place) - shared_bytes(0));
}

// What a thread copies to shared memory is not for products of warp groups until it has published it.
inline void note_unpublished(const void* to) {
  const unsigned place = shared_offset(to) / 16;
  const auto mine = static_cast<uint16_t>(thread->linear + 1);
  if (place < block->copied_by.size() && std::exchange(block->copied_by[place], mine) != mine)
    thread->unpublished.push_back(place);
}
inline void publish_copies() {
  for (const unsigned place : thread->unpublished)
    if (block->copied_by[place] == thread->linear + 1) block->copied_by[place] = 0;
  thread->unpublished.clear();
  for (const Copy& each : thread->copies) note_unpublished(each.to);
}

// Carries out the copies of all but the last `most` groups.
inline void finish_copies(unsigned most) {
  size_t kept = 0;
  for (const Copy& each : thread->copies) {
    if (each.group + most < thread->group)
      std::memcpy(each.to, each.from, each.bytes);
    else
      thread->copies[kept++] = each;
  }
  thread->copies.resize(kept);
}

inline void leave() {
  Warp& warp = block->warp[thread->warp];
  for (const Slot& each : warp.slot)
    if (each.waiting && each.mask >> thread->lane & 1)
      fatal("lane %u exits while others of its warp wait for it", thread->lane);
  if (!thread->copies.empty()) fatal("a thread exits with asynchronous copies that it has not waited for");
  if (!thread->products.empty())
    fatal("a thread exits with products of its warp group that it has not waited for");
  if (block->arrived) fatal("a barrier is not reached by thread %u, which exits", thread->linear);
  thread->live = false;
  warp.live &= ~(1u << thread->lane);
  --block->live, ++block->progress;
  thread->fiber.finish();
}

inline void run_thread() {
  ++block->steps;
  block->body(block->arguments);
  leave();
  for (;;) yield();
}

}  // namespace kx_emu
