#include "gillespie/event_states.hpp"

#include <algorithm>

namespace kxfast::gillespie {
namespace {

int64_t most_values(const Control& control) {
  int64_t most = 0;
  for (const Event& each : control.events) most = std::max(most, each.last - each.first);
  return most;
}

}  // namespace

std::vector<EventState> event_states(const py::tuple& arrays, const Network& network) {
  const Array<double> variables(arrays[0]), due(arrays[3]), values(arrays[5]);
  const Array<bool> truth(arrays[1]);
  const Array<int64_t> begin(arrays[2]), events(arrays[4]);
  const Control& control = network.control();
  std::vector<EventState> states(static_cast<size_t>(variables.shape(0)));
  for (py::ssize_t i = 0; i < variables.shape(0); ++i) {
    EventState& state = states[static_cast<size_t>(i)];
    const double* const held = variables.data() + i * variables.shape(1);
    const bool* const were = truth.data() + i * truth.shape(1);
    state.variables.assign(held, held + variables.shape(1));
    state.truth.assign(were, were + truth.shape(1));
    for (int64_t k = begin.at(i); k < begin.at(i + 1); ++k) {
      const auto which = static_cast<size_t>(events.at(k));
      const Event& event = control.events[which];
      const double* const row = values.data() + k * values.shape(1);
      const int64_t taken = event.early ? event.last - event.first : 0;
      state.delayed.push_back({due.at(k), which, std::vector<double>(row, row + taken)});
    }
  }
  return states;
}

py::tuple event_arrays(const std::vector<EventState>& states, const Network& network) {
  const auto n = static_cast<py::ssize_t>(states.size());
  const auto V = static_cast<py::ssize_t>(network.model().state - network.model().species);
  const auto E = static_cast<py::ssize_t>(network.control().events.size());
  const py::ssize_t W = most_values(network.control());
  py::ssize_t P = 0;
  for (const EventState& each : states) P += static_cast<py::ssize_t>(each.delayed.size());
  Array<double> variables({n, V}), due(P), values({P, W});
  Array<bool> truth({n, E});
  Array<int64_t> begin(n + 1), events(P);
  std::fill_n(values.mutable_data(), P * W, 0.0);
  py::ssize_t k = 0;
  begin.mutable_at(0) = 0;
  for (py::ssize_t i = 0; i < n; ++i) {
    const EventState& state = states[static_cast<size_t>(i)];
    std::copy(state.variables.begin(), state.variables.end(), variables.mutable_data() + i * V);
    std::copy(state.truth.begin(), state.truth.end(), truth.mutable_data() + i * E);
    for (const Delayed& each : state.delayed) {
      due.mutable_at(k) = each.when;
      events.mutable_at(k) = static_cast<int64_t>(each.event);
      std::copy(each.values.begin(), each.values.end(), values.mutable_data() + k++ * W);
    }
    begin.mutable_at(i + 1) = k;
  }
  return py::make_tuple(variables, truth, begin, due, events, values);
}

}  // namespace kxfast::gillespie
