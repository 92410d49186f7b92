// A reaction network, prepared once per call for the kernels.
#pragma once

#include <vector>

#include "core/views.hpp"
#include "gillespie/kernels.hpp"

namespace kxfast::gillespie {

// One side of all reactions: an entry for each species of a reaction, in order of reaction and species.
struct SideArrays {
  View<const int64_t, 1> reactions, species, counts;
};

// The network as Python hands it over: initial (S,), both sides, rates (R,); the expression of reaction r is
// program[begin[r] .. begin[r + 1]], empty if its rate is a constant.
struct NetworkArrays {
  View<const int64_t, 1> initial;
  SideArrays reactants, products;
  View<const double, 1> rates;
  View<const int64_t, 1> begin, ops;
  View<const double, 1> numbers;
};

// What events do, in programs of their own: conditions first (the events' triggers, then maybe `until`), then
// delays, priorities, values and times at which a condition may change by itself.
struct ControlArrays {
  View<const double, 1> variables;
  View<const int64_t, 1> begin, ops;
  View<const double, 1> numbers;
  View<const int64_t, 2> events;       // (E, 7), as Event
  View<const int64_t, 2> assignments;  // (A, 2): place in the state, program
  View<const int64_t, 1> switches;     // programs
  int64_t watches;
};

struct Event {
  int64_t delay, priority;  // programs, or -1
  int64_t first, last;      // assignments
  bool initial;             // whether the trigger counts as true before the start
  bool persistent;          // whether a trigger that is false again cancels nothing
  bool early;               // whether values are those of the time of the trigger
};
struct Assignment {
  int64_t target, program;
};

// An event that has been triggered and is due later, with the values of the time of the trigger if those
// count.
struct Delayed {
  double when;
  size_t event;
  std::vector<double> values;
};

// What a trajectory of a network with events holds besides counts: enough to go on from.
struct EventState {
  std::vector<double> variables;
  std::vector<uint8_t> truth;  // of the triggers
  std::vector<Delayed> delayed;
};

struct Control {
  std::vector<Event> events;
  std::vector<Assignment> assignments;
  std::vector<int64_t> switches;
};

class Network {
 public:
  Network(const NetworkArrays& arrays, const ControlArrays& control);
  const Model& model() const { return model_; }
  const std::vector<double>& initial() const { return initial_; }  // of all of x
  const Control& control() const { return control_; }

 private:
  void add_control(const ControlArrays& control);
  Instruction instruction(int64_t op, double number) const;
  void add_reaction(const NetworkArrays& arrays, int64_t r, int64_t first, int64_t last);
  void add_changes(const NetworkArrays& arrays);
  void add_affected(const NetworkArrays& arrays);
  void add_readings(const NetworkArrays& arrays);

  Model model_;
  std::vector<double> initial_, rate_, less_, change_by_;
  std::vector<int32_t> one_, other_, factor_begin_, program_begin_, change_species_, affected_begin_,
      affected_, reader_begin_, readers_, reading_begin_;
  std::vector<Reading> readings_;
  std::vector<Factor> factors_;
  std::vector<Instruction> program_, control_program_;
  std::vector<int32_t> control_begin_;
  std::vector<uint8_t> is_timed_;
  Control control_;
};

}  // namespace kxfast::gillespie
