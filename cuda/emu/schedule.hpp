// Runs the threads of a block in one order or another, and blocks one after another or together.
#pragma once

#include "block.hpp"

namespace kx_emu {

// Which thread runs when: in order, in reverse, or shuffled anew in each round.
class Order {
 public:
  Order(unsigned kind, unsigned size) : kind_(kind), places_(size) {
    for (unsigned i = 0; i < size; ++i) places_[i] = kind == 1 ? size - 1 - i : i;
  }
  const std::vector<unsigned>& next() {
    for (size_t i = places_.size(); kind_ > 1 && i > 1; --i) {
      state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
      std::swap(places_[i - 1], places_[(state_ + kind_) % i]);
    }
    return places_;
  }

 private:
  unsigned kind_;
  uint64_t state_ = 0x9E3779B97F4A7C15;
  std::vector<unsigned> places_;
};

inline void prepare(Block& b, unsigned kind, size_t shared_bytes) {
  b.thread.resize(b.threads > b.thread.size() ? b.threads : b.thread.size());
  b.warp.assign((b.threads + kWarp - 1) / kWarp, Warp());
  b.shared.assign(shared_bytes + 1024, kPoison);
  b.copied_by.assign(shared_bytes / 16, 0);
  b.live = b.threads, b.arrived = 0, b.sum = 0, b.error[0] = 0, b.late = kind > 1;
  const size_t which = kind + b.index.x + 3 * b.index.y + 7 * b.index.z;
  b.starved = kind > 1 && b.warp.size() > 1 ? static_cast<unsigned>(which % b.warp.size()) : ~0u;
  for (unsigned i = 0; i < b.threads; ++i) {
    Thread& each = b.thread[i];
    each.index = dim3(i % b.size.x, i / b.size.x % b.size.y, i / (b.size.x * b.size.y));
    each.linear = i, each.lane = i % kWarp, each.warp = i / kWarp, each.group = 0;
    each.live = true, each.waits_for = nullptr;
    each.copies.clear(), each.unpublished.clear(), each.products.clear(), each.pending.clear();
    each.begun = false, each.product_group = 0;
    each.fiber.begin(&run_thread);
    b.warp[each.warp].live |= 1u << each.lane;
  }
}

// Lets the threads of a block run until all of them wait, those of the starved warp or the others; false if
// that is where they were, or an error is in it.
inline bool run_round(Block& b, Order& order, unsigned kind, bool starved) {
  block = &b;
  const uint64_t before = b.steps;
  const std::vector<unsigned>& places = order.next();
  for (size_t first = 0, end; first < places.size(); first = end) {
    end = first + 1;  // in order and in reverse, a warp goes on until it waits for another
    while (kind < 2 && end < places.size() && places[end] / kWarp == places[first] / kWarp) ++end;
    uint64_t start;
    do {
      start = b.progress;
      for (size_t at = first; at < end; ++at) {
        thread = &b.thread[places[at]];
        if (thread->live && (thread->warp == b.starved) == starved)
          b.scheduler.switch_to(thread->fiber.context());
        if (b.error[0]) return false;
      }
    } while (kind < 2 && b.progress != start);
  }
  return b.steps != before;
}

// The same until nobody goes on: who goes on late sees in one round that nobody did in the one before.
inline bool run_rounds(Block& b, Order& order, unsigned kind, bool starved = false) {
  return run_round(b, order, kind, starved) || (!b.error[0] && run_round(b, order, kind, starved));
}

// Says of a block that rests unfinished who waits for what.
inline void say_deadlock(Block& b) {
  for (unsigned i = 0; i < b.threads && !b.error[0]; ++i)
    if (b.thread[i].live)
      std::snprintf(b.error, sizeof b.error, "deadlock: thread %u waits for %s (block %u,%u,%u)", i,
                    b.thread[i].waits_for ? b.thread[i].waits_for : "nothing", b.index.x, b.index.y,
                    b.index.z);
}

// Runs one block to its end; false with a line in b.error if that is impossible.
inline bool run_block(Block& b, unsigned kind, size_t shared_bytes) {
  block = &b;
  prepare(b, kind, shared_bytes);
  Order order(kind, b.threads);
  while (b.live) {
    if (run_rounds(b, order, kind) || (!b.error[0] && run_rounds(b, order, kind, true))) continue;
    say_deadlock(b);
    return false;
  }
  return true;
}

// Runs blocks that are all there at a time and may wait for each other, in the order given; null, or the one
// with a line in its error.
inline Block* run_together(std::vector<Block>& all, const std::vector<unsigned>& places, unsigned kind,
                           size_t shared_bytes) {
  std::vector<Order> orders;
  for (Block& each : all) {
    block = &each;
    prepare(each, kind, shared_bytes);
    orders.emplace_back(kind, each.threads);
  }
  const auto first_of = [&](auto goes_on) -> Block* {
    for (const unsigned i : places)
      if (all[i].live && goes_on(i)) return &all[i];
    return nullptr;
  };
  const auto live = [&](unsigned i) { return all[i].live > 0; };
  const auto wrong = [&](unsigned i) { return all[i].error[0] != 0; };
  while (Block* any = first_of(live)) {
    bool some = false;
    for (const unsigned i : places)
      while (all[i].live && run_rounds(all[i], orders[i], kind)) some = true;
    if (!some) some = first_of([&](unsigned i) { return run_rounds(all[i], orders[i], kind, true); });
    if (Block* const found = first_of(wrong)) return found;
    if (some) continue;
    say_deadlock(*any);
    return any;
  }
  return nullptr;
}

}  // namespace kx_emu
