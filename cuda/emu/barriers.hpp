// Barriers in shared memory, and waiting for other blocks.
#pragma once

#include "block.hpp"

namespace kx_emu {

// A barrier in shared memory: arrivals that a round takes, those yet to come, the parity of the round, a
// mark.
struct BarrierState {
  uint16_t arrivals, missing, parity, mark;
};
constexpr uint16_t kBarrierMark = 0x5AFE;

inline void make_barrier(void* place, unsigned arrivals) {
  const auto all = static_cast<uint16_t>(arrivals);
  const BarrierState made{all, all, 0, kBarrierMark};
  std::memcpy(place, &made, sizeof made);
}
inline BarrierState state_of(const void* place) {
  BarrierState found;
  std::memcpy(&found, place, sizeof found);
  if (found.mark != kBarrierMark) fatal("a barrier in shared memory is used before it is made");
  return found;
}
inline void arrive_at_barrier(void* place) {
  BarrierState now = state_of(place);
  if (!--now.missing) {
    now.missing = now.arrivals, now.parity ^= 1;
    ++block->progress;
  }
  std::memcpy(place, &now, sizeof now);
  for (uint64_t before = block->progress + 1; block->unkind && block->progress != before;) {
    before = block->progress;
    yield();
  }
  ++block->steps;
}
inline bool barrier_is_over(const void* place, unsigned parity) {
  return state_of(place).parity != parity;
}
inline void wait_for_barrier(const void* place, unsigned parity) {
  wait_until("a barrier in shared memory", [&] { return barrier_is_over(place, parity); });
}

// Waits until other blocks have brought a counter to a number.
inline void wait_for_blocks(const unsigned* counter, unsigned least) {
  wait_until("other blocks", [&] { return *counter >= least; });
}

}  // namespace kx_emu
