#include "gillespie/director.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

namespace kxfast::gillespie {
namespace {

constexpr int kMostAtOnce = 1000000;

}  // namespace

Director::Director(const Network& network, Walk& walk)
    : network_(network),
      control_(network.control()),
      w_(walk),
      truth_(static_cast<size_t>(network.model().watches)) {
  for (size_t e = 0; e < control_.events.size(); ++e) truth_[e] = control_.events[e].initial;
}

double Director::value(int64_t program) const {
  using Function = double (*)(const Instruction*, const Instruction*, const double*);
  const Model& m = network_.model();
  return KXFAST_PICK(Function, value_of)(m.control + m.control_begin[program],
                                         m.control + m.control_begin[program + 1], w_.x);
}

Status Director::begin(const EventState* left) {
  if (truth_.empty()) return Status::running;
  w_.truth = truth_.data();
  if (left) {
    std::copy(left->variables.begin(), left->variables.end(), w_.x + network_.model().species);
    std::copy(left->truth.begin(), left->truth.end(), truth_.begin());
    delayed_ = left->delayed;
  }
  return settle();
}

EventState Director::leave() {
  const auto events = static_cast<std::ptrdiff_t>(control_.events.size());
  return {{w_.x + network_.model().species, w_.x + network_.model().state},
          {truth_.begin(), truth_.begin() + events},
          std::move(delayed_)};
}

Status Director::settle() {
  for (int i = 0; i < kMostAtOnce; ++i) {
    look_at_conditions();
    if (truth_.size() > control_.events.size() && truth_.back()) return finish();
    const int64_t due = choose_due();
    if (due < 0) return Status::running;
    const Delayed chosen = std::move(delayed_[static_cast<size_t>(due)]);
    delayed_.erase(delayed_.begin() + due);
    if (!carry_out(chosen)) return Status::bad_assignment;
  }
  return Status::restless;
}

void Director::look_at_conditions() {
  double& time = w_.x[network_.model().state + 2];
  for (size_t i = 0; i < truth_.size(); ++i) {
    time = std::nextafter(w_.t, HUGE_VAL);
    const bool before = truth_[i], now = value(static_cast<int64_t>(i)) != 0;
    time = w_.t;
    truth_[i] = now;
    if (i >= control_.events.size() || now == before) continue;
    const Event& event = control_.events[i];
    if (now) {
      const double delay = event.delay < 0 ? 0 : value(event.delay);
      delayed_.push_back(
          {w_.t + (delay > 0 ? delay : 0), i, event.early ? values(event) : std::vector<double>()});
    } else if (!event.persistent) {
      delayed_.erase(
          std::remove_if(delayed_.begin(), delayed_.end(), [&](const Delayed& p) { return p.event == i; }),
          delayed_.end());
    }
  }
}

std::vector<double> Director::values(const Event& event) const {
  std::vector<double> found;
  for (int64_t a = event.first; a < event.last; ++a)
    found.push_back(value(control_.assignments[static_cast<size_t>(a)].program));
  return found;
}

// The place in delayed_ of the event to be carried out now, -1 if none is due. An event without a priority
// comes after those that have one.
int64_t Director::choose_due() {
  double highest = 0;
  std::vector<int64_t> best;
  for (size_t i = 0; i < delayed_.size(); ++i) {
    if (delayed_[i].when > w_.t) continue;
    const int64_t program = control_.events[delayed_[i].event].priority;
    const double priority = program < 0 ? -DBL_MAX : value(program);
    if (best.empty() || priority > highest) best.clear(), highest = priority;
    if (priority == highest) best.push_back(static_cast<int64_t>(i));
  }
  if (best.size() < 2) return best.empty() ? -1 : best[0];
  return best[static_cast<size_t>(w_.stream->uniform() * static_cast<double>(best.size()))];
}

bool Director::carry_out(const Delayed& due) {
  const Model& m = network_.model();
  const Event& event = control_.events[due.event];
  const std::vector<double> found = event.early ? due.values : values(event);
  for (int64_t a = event.first; a < event.last; ++a) {
    const int64_t target = control_.assignments[static_cast<size_t>(a)].target;
    double to = found[static_cast<size_t>(a - event.first)];
    bool good = std::fabs(to) <= DBL_MAX;
    if (target < m.species) {
      good = good && to >= 0 && std::fabs(to - std::round(to)) <= 1e-9 * std::max(1.0, to);
      to = std::round(to);
    }
    if (!good) return w_.culprit = target, w_.value = found[static_cast<size_t>(a - event.first)], false;
    w_.x[target] = to;
  }
  return true;
}

double Director::next_stop() const {
  double earliest = HUGE_VAL;
  for (const Delayed& each : delayed_) earliest = std::min(earliest, each.when);
  for (const int64_t program : control_.switches) {
    const double when = value(program);
    if (when > w_.t && when < earliest) earliest = when;
  }
  return earliest;
}

// The condition holds: the state stays as it is.
Status Director::finish() {
  const int64_t species = network_.model().species;
  w_.stopped_at = w_.t;
  for (; w_.sample < w_.samples; ++w_.sample)
    for (int64_t s = 0; s < species; ++s) w_.out[w_.sample * species + s] = static_cast<int64_t>(w_.x[s]);
  return Status::finished;
}

}  // namespace kxfast::gillespie
