// Blocks of lanes, walked a fraction of a millisecond at a time. Which task walks a trajectory, and in which
// lane, depends on time; what becomes of it does not.
#include "gillespie/lane_task.hpp"

#include <algorithm>

namespace kxfast::gillespie {
namespace {

constexpr int64_t kRounds = 1020;  // whole numbers of transfers

int64_t width() {
  return KXFAST_PICK(int (*)(), lane_width)();
}

}  // namespace

LanePlan plan_lanes(const Ensemble& e, const LaneNetwork& network) {
  if (e.lanes == Lanes::never || e.method != Method::direct || !network.served()) return {};
  if (e.lanes == Lanes::automatic && e.n < width()) return {};
  const int64_t vectors = (e.n + width() - 1) / width();
  const int64_t tasks = std::min<int64_t>(e.threads ? e.threads : num_threads(), vectors);
  const int64_t share = vectors / tasks;
  return {tasks, share >= 2 * kLaneGroups ? kLaneGroups : share >= 2 ? 2 : 1, width()};
}

LaneTask::LaneTask(const Ensemble& ensemble, const LaneNetwork& network, int64_t groups,
                   std::atomic<int64_t>& next, LaneOutput& output)
    : e_(ensemble), m_(network.model()), next_(next), output_(output) {
  const auto lanes = static_cast<size_t>(groups * width()), rows = static_cast<size_t>(m_.rows),
             reactions = static_cast<size_t>(m_.reactions);
  reals_ = Buffer<double>(lanes * (rows + 2 + reactions));
  words_ = Buffer<uint64_t>(lanes * 7);
  fired_ = Buffer<int64_t>(lanes * reactions);
  slots_ = Buffer<LaneSlot>(lanes);
  std::fill(slots_.begin(), slots_.end(), LaneSlot{-1, 0, 0, {}, nullptr, nullptr, nullptr});
  block_.x = reals_.data();
  block_.t = block_.x + lanes * rows;
  block_.next_sample = block_.t + lanes;
  block_.sums = block_.next_sample + lanes;
  block_.stream = words_.data();
  block_.recent = block_.stream + 4 * lanes;
  block_.fired = fired_.data();
  block_.slots = slots_.data();
  block_.groups = groups;
  block_.context = this;
  block_.refill = &refill;
}

bool LaneTask::refill(void* task, LaneSlot& slot) {
  auto* self = static_cast<LaneTask*>(task);
  if (slot.trajectory >= 0) self->output_.end(slot);
  return self->take(slot);
}

bool LaneTask::take(LaneSlot& slot) {
  const int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
  slot.sample = slot.events = 0;
  slot.trajectory = index < e_.n ? e_.first + index : -1;
  slot.counts = slot.trajectory < 0 ? nullptr : e_.counts_of(index);
  if (slot.trajectory < 0) return false;
  const Stream stream(e_.seed, static_cast<uint64_t>(slot.trajectory));
  for (int i = 0; i < 4; ++i) slot.stream[i] = stream.word(i);
  output_.begin(slot, &slot - block_.slots, index);
  return true;
}

void LaneTask::run(Failure& failure) {
  const auto walk = KXFAST_PICK(LaneStatus (*)(const LaneModel&, LaneBlock&, int64_t), walk_lanes);
  KXFAST_PICK(void (*)(const LaneModel&, LaneBlock&), fill_lanes)(m_, block_);
  LaneStatus status = block_.live ? LaneStatus::running : LaneStatus::finished;
  while (status == LaneStatus::running) {
    const int64_t before = block_.samples_written;
    status = walk(m_, block_, kRounds);
    if (!e_.job.advance(block_.samples_written - before)) return;
  }
  if (status == LaneStatus::failed) run_scalar(failure);
}

// A count or a rate has left the range of lanes: the trajectories in them start again, one by one, and find
// out when.
void LaneTask::run_scalar(Failure& failure) {
  Walker walker(e_.network, e_.method);
  for (LaneSlot& slot : slots_)
    while (slot.trajectory >= 0) {
      e_.job.advance(-slot.sample);
      Walk& walk = walker.begin(e_.seed, slot.trajectory, slot.counts, e_.start);
      walk.out = slot.out;
      walk.fired = slot.fired;
      if (!complete(e_, walker, slot.trajectory, failure)) return;
      slot.events = walk.events;
      output_.end(slot);
      take(slot);
    }
}

}  // namespace kxfast::gillespie
