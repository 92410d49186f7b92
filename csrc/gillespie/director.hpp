// Events of a model and the condition that ends a trajectory: what happens between stretches of reactions.
//
// The kernels come back when a condition has changed or at a time that was given to them. Here triggers that
// became true are scheduled, due events are carried out, the one of highest priority first and a random one
// of equals, and conditions are looked at again after each, until nothing is due. A condition that compares
// the time is asked an instant after the time itself, so that t > 5 and t >= 5 both become true at 5.
#pragma once

#include <vector>

#include "gillespie/network.hpp"

namespace kxfast::gillespie {

class Director {
 public:
  Director(const Network& network, Walk& walk);
  Status begin(const EventState* left = nullptr);  // at first, or where a trajectory was left
  Status settle();                                 // running, finished, or an error
  double next_stop() const;
  EventState leave();  // what `begin` takes to go on; the end of this object's work

 private:
  double value(int64_t program) const;
  std::vector<double> values(const Event& event) const;
  void look_at_conditions();
  int64_t choose_due();
  bool carry_out(const Delayed& due);
  Status finish();

  const Network& network_;
  const Control& control_;
  Walk& w_;
  std::vector<uint8_t> truth_;
  std::vector<Delayed> delayed_;
};

}  // namespace kxfast::gillespie
