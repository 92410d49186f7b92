// A network as vector lanes read it, if they can serve it.
#pragma once

#include <vector>

#include "core/workspace.hpp"
#include "gillespie/lanes.hpp"
#include "gillespie/network.hpp"

namespace kxfast::gillespie {

// Served are few reactions of mass action up to third order whose numbers stay so far from the ends of the
// range of doubles that no sum of propensities is subnormal or infinite: then lanes need not look for either.
// Rates that are expressions of the counts are served too; there lanes look.
class LaneNetwork {
 public:
  LaneNetwork(const Network& network, View<const double, 1> grid, double start);
  bool served() const { return served_; }
  const LaneModel& model() const { return model_; }

 private:
  bool add_reaction(const Model& m, int64_t r);
  bool add_expression(const Model& m, int64_t r);
  int32_t new_row(double value);
  void add_changes(const Model& m);

  bool served_ = false;
  LaneModel model_{};
  std::vector<LaneReaction> reactions_;
  std::vector<LaneStep> steps_;
  std::vector<double> initial_;
  std::vector<int32_t> changed_;
  Buffer<double> change_;  // aligned: lanes load whole rows
};

}  // namespace kxfast::gillespie
