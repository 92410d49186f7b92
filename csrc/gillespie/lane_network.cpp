// From the arrays of kernels.hpp to those of lanes.hpp.
#include "gillespie/lane_network.hpp"

#include <algorithm>
#include <cmath>

namespace kxfast::gillespie {
namespace {

constexpr double kLeastRate = 1e-290, kLargestTotal = 1e300;
constexpr int64_t kLaneSpecies = 64;  // a block stays in the first cache

}  // namespace

LaneNetwork::LaneNetwork(const Network& network, View<const double, 1> grid) {
  const Model& m = network.model();
  if (m.reactions < 1 || m.reactions > kRecomputeUpTo || m.species > kLaneSpecies || m.checked || m.watches ||
      m.state > m.species)
    return;
  for (int64_t r = 0; r < m.reactions; ++r)
    if (!add_reaction(m, r)) return;
  double total = 0;
  for (const LaneReaction& each : reactions_)
    total += each.rate * std::pow(2 * kLargestLaneCount, each.order);
  served_ = total <= kLargestTotal;
  add_changes(m);
  for (int64_t s = 0; s < m.species; ++s)
    served_ = served_ && network.initial()[static_cast<size_t>(s)] <= kLargestLaneCount;
  model_ = {m.species,
            m.reactions,
            static_cast<int64_t>(changed_.size()),
            reactions_.data(),
            change_.data(),
            changed_.data(),
            network.initial().data(),
            grid.data,
            grid.size[0]};
}

bool LaneNetwork::add_reaction(const Model& m, int64_t r) {
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
