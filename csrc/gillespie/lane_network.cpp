// From the arrays of kernels.hpp to those of lanes.hpp.
#include "gillespie/lane_network.hpp"

#include <algorithm>
#include <cmath>

namespace kxfast::gillespie {
namespace {

constexpr double kLeastRate = 1e-290, kLargestTotal = 1e300;
constexpr int64_t kLaneSpecies = 64, kLaneRows = 128;  // a block stays in the first cache

}  // namespace

LaneNetwork::LaneNetwork(const Network& network, View<const double, 1> grid, double start) {
  const Model& m = network.model();
  if (m.reactions < 1 || m.reactions > kRecomputeUpTo || m.species > kLaneSpecies || m.timed || m.watches ||
      m.state > m.species)
    return;
  initial_.assign(network.initial().begin(), network.initial().begin() + m.species);
  for (int64_t r = 0; r < m.reactions; ++r)
    if (!add_reaction(m, r)) return;
  double total = 0;
  for (const LaneReaction& each : reactions_)
    if (each.order != kExpression) total += each.rate * std::pow(2 * kLargestLaneCount, each.order);
  served_ = total <= kLargestTotal && initial_.size() <= kLaneRows;
  add_changes(m);
  for (int64_t s = 0; s < m.species; ++s)
    served_ = served_ && network.initial()[static_cast<size_t>(s)] <= kLargestLaneCount;
  model_ = {m.species,
            m.reactions,
            static_cast<int64_t>(changed_.size()),
            static_cast<int64_t>(initial_.size()),
            m.checked,
            steps_.data(),
            reactions_.data(),
            change_.data(),
            changed_.data(),
            initial_.data(),
            grid.data,
            start,
            grid.size[0]};
}

bool LaneNetwork::add_reaction(const Model& m, int64_t r) {
  if (m.program_begin[r] != m.program_begin[r + 1]) return add_expression(m, r);
  const auto nobody = static_cast<int32_t>(m.species);
  LaneReaction each{0, m.one[r], m.other[r], nobody, m.rate[r], m.less[r], 0};
  const Factor* const factor = m.factors + m.factor_begin[r];
  const int32_t factors = m.factor_begin[r + 1] - m.factor_begin[r];
  if (factors > 1 || (factors == 1 && each.other == nobody)) return false;
  each.order = each.one == nobody ? 0 : each.other == nobody ? 1 : 2 + factors;
  if (factors == 1) each.third = factor->species, each.third_less = factor->less;
  reactions_.push_back(each);
  return each.rate == 0 || each.rate >= kLeastRate;
}

// A program of a stack becomes steps between rows: counts and numbers are read where they are, and the value
// at depth d of the stack has a row of its own.
bool LaneNetwork::add_expression(const Model& m, int64_t r) {
  const auto first = static_cast<int32_t>(steps_.size());
  std::vector<int32_t> stack, values;  // rows
  for (int32_t i = m.program_begin[r]; i < m.program_begin[r + 1]; ++i) {
    const Instruction& step = m.program[i];
    const auto depth = stack.size() - static_cast<size_t>(operands(step));
    if (step.op == kSpecies) {
      stack.push_back(step.species);
    } else if (step.op == kNumber) {
      stack.push_back(new_row(step.number));
    } else {
      if (operands(step) > kCallArguments) return false;
      while (values.size() <= depth) values.push_back(new_row(0));
      const auto row = [&](size_t k) { return depth + k < stack.size() ? stack[depth + k] : stack[depth]; };
      steps_.push_back({step.op, values[depth], row(0), row(1), row(2), step.number});
      stack.resize(depth);
      stack.push_back(values[depth]);
    }
  }
  reactions_.push_back({kExpression, first, static_cast<int32_t>(steps_.size()), stack[0], 0, 0, 0});
  return true;
}

int32_t LaneNetwork::new_row(double value) {
  initial_.push_back(value);
  return static_cast<int32_t>(initial_.size()) - 1;
}

void LaneNetwork::add_changes(const Model& m) {
  const auto places = static_cast<size_t>(m.species * kLaneReactions);
  Buffer<double> by(places);
  std::fill(by.begin(), by.end(), 0.0);
  for (int64_t r = 0; r < m.reactions; ++r)
    for (int64_t c = r * m.width; c < (r + 1) * m.width; ++c)
      if (m.change_species[c] < m.species)
        by[static_cast<size_t>(m.change_species[c] * kLaneReactions + r)] = m.change_by[c];
  change_ = Buffer<double>(places);
  for (int64_t s = 0; s < m.species; ++s) {
    const double* const row = by.data() + s * kLaneReactions;
    if (std::all_of(row, row + kLaneReactions, [](double change) { return change == 0; })) continue;
    std::copy_n(row, kLaneReactions, change_.data() + changed_.size() * kLaneReactions);
    changed_.push_back(static_cast<int32_t>(s));
  }
}

}  // namespace kxfast::gillespie
