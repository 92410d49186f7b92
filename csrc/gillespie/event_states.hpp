// What events hold, between the arrays of Python and one structure for each trajectory.
#pragma once

#include "core/python.hpp"
#include "gillespie/network.hpp"

namespace kxfast::gillespie {

// (variables (n, V), truth (n, E), begin (n + 1,), due (P,), event (P,), values (P, W)), as in
// backends/reference/gillespie_events.py; Python has checked it.
std::vector<EventState> event_states(const py::tuple& arrays, const Network& network);
py::tuple event_arrays(const std::vector<EventState>& states, const Network& network);

}  // namespace kxfast::gillespie
