// Runs the threads of blocks that are there at a time in one order or another.
#pragma once

#include <algorithm>

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
  b.live = b.threads, b.arrived = 0, b.sum = 0, b.error[0] = 0;
  b.unkind = kind > 1, b.paused = 0;
  b.starved_warp = (kind + b.index.x + 3 * b.index.y + 7 * b.index.z) % static_cast<unsigned>(b.warp.size());
  b.starved_lane = (kind + 1) % 2;
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

// Lets the threads of a block run until all of them wait, those that starve or the others; false if that is
// where they were, or an error is in it.
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
        if (thread->live && b.starves_now(*thread) == starved) b.scheduler.switch_to(thread->fiber.context());
        if (b.error[0] || b.paused) return !b.error[0];
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

// Runs blocks that are there at a time and may wait for each other; null, or one with a line in its error.
// Threads that starve go on when no others can, a block that has paused when that does not help either, the
// last one first.
inline Block* run_together(Block* all, unsigned count, unsigned kind, size_t shared_bytes) {
  Block* const end = all + count;
  Order blocks(kind, count);
  std::vector<Order> orders;
  for (Block* each = all; each != end; ++each) {
    prepare(*each, kind, shared_bytes);
    each->alone = count == 1;
    orders.emplace_back(kind, each->threads);
  }
  const auto first_that = [&](auto is) { return std::find_if(all, end, is); };
  const auto goes_on = [&](Block& each, bool starved) {
    return each.live && !each.paused &&
           run_rounds(each, orders[static_cast<size_t>(&each - all)], kind, starved);
  };
  const auto wrong = [](const Block& each) { return each.error[0] != 0; };
  const auto less_paused = [](const Block& a, const Block& b) { return a.paused < b.paused; };
  const auto live = [](const Block& each) { return each.live > 0; };
  for (Block* next; (next = first_that(live)) != end;) {
    bool some = false;
    for (Block* each = all; each != end; ++each)
      while (goes_on(*each, false)) some = true;
    if (!some)  // those that starve go on in one of the blocks, in another one each time
      for (const unsigned i : blocks.next())
        if (first_that(wrong) == end && (some = goes_on(all[i], true))) break;
    if (!some) {
      Block* const last = std::max_element(all, end, less_paused);
      if (last->paused) last->paused = 0, some = true;
    }
    if (!some && first_that(wrong) == end) say_deadlock(*next);
    if (Block* const found = first_that(wrong); found != end) return found;
  }
  return nullptr;
}

}  // namespace kx_emu
