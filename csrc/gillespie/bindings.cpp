// kxfast._native.gillespie
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/python.hpp"
#include "gillespie/ensemble.hpp"
#include "gillespie/event_states.hpp"

namespace {

using namespace kxfast;
using gillespie::Network;

// (initial, reactants, products, rates, begin, ops, numbers, control), see gillespie/network.hpp; control is
// (variables, begin, ops, numbers, events, assignments, switches, watches).
class NetworkTuple {
 public:
  explicit NetworkTuple(const py::tuple& t)
      : initial_(t[0]),
        reactants_(t[1]),
        products_(t[2]),
        rates_(t[3]),
        begin_(t[4]),
        ops_(t[5]),
        numbers_(t[6]),
        control_(t[7]) {}
  Network prepare() const {
    return Network({view<1>(initial_), reactants_.views(), products_.views(), view<1>(rates_),
                    view<1>(begin_), view<1>(ops_), view<1>(numbers_)},
                   control_.views());
  }

 private:
  class ControlTuple {
   public:
    explicit ControlTuple(const py::tuple& t)
        : variables_(t[0]),
          begin_(t[1]),
          ops_(t[2]),
          numbers_(t[3]),
          events_(t[4]),
          assignments_(t[5]),
          switches_(t[6]),
          watches_(t[7].cast<int64_t>()) {}
    gillespie::ControlArrays views() const {
      return {view<1>(variables_), view<1>(begin_),       view<1>(ops_),      view<1>(numbers_),
              view<2>(events_),    view<2>(assignments_), view<1>(switches_), watches_};
    }

   private:
    Array<double> variables_;
    Array<int64_t> begin_, ops_;
    Array<double> numbers_;
    Array<int64_t> events_, assignments_, switches_;
    int64_t watches_;
  };

  class SideTuple {
   public:
    explicit SideTuple(const py::tuple& t) : reactions_(t[0]), species_(t[1]), counts_(t[2]) {}
    gillespie::SideArrays views() const { return {view<1>(reactions_), view<1>(species_), view<1>(counts_)}; }

   private:
    Array<int64_t> reactions_, species_, counts_;
  };

  Array<int64_t> initial_;
  SideTuple reactants_, products_;
  Array<double> rates_;
  Array<int64_t> begin_, ops_;
  Array<double> numbers_;
  ControlTuple control_;
};

constexpr const char* kMethods[] = {"direct", "sorting_direct", "next_reaction", "composition_rejection",
                                    "rssa",   "tau_leaping"};

gillespie::Method method_of(const std::string& name) {
  int i = 0;
  while (name != kMethods[i]) ++i;  // Python has checked it
  return gillespie::Method{i};
}

size_t product(std::initializer_list<int64_t> sizes) {
  size_t all = 1;
  for (const int64_t size : sizes) all *= static_cast<size_t>(size);
  return all;
}

py::tuple simulate(const py::tuple& arrays, const Array<double>& t, const std::string& method, uint64_t seed,
                   bool averages, int64_t n, int64_t first, int threads, py::object progress, int lanes,
                   double epsilon, double start, const Array<int64_t>& starts, const py::object& before) {
  const Network network = NetworkTuple(arrays).prepare();
  const int64_t S = network.model().species, R = network.model().reactions, T = t.shape(0);
  Buffer<int64_t> counts(product({n, T, S})), fired(product({n, R}));
  Buffer<double> mean(averages ? product({n, S}) : 0), variance(mean.size()), stopped(product({n}));
  std::fill(stopped.begin(), stopped.end(), HUGE_VAL);
  std::vector<gillespie::EventState> held, left(network.control().events.empty() ? 0 : product({n}));
  if (!before.is_none()) held = gillespie::event_states(before, network);
  PythonJob job(n * T, std::move(progress));
  job.run([&] {
    gillespie::simulate(
        {network, method_of(method), view<1>(t), first, n, seed, threads, job, gillespie::Lanes{lanes},
         epsilon, start, view<2>(starts), before.is_none() ? nullptr : &held},
        {counts.data(), fired.data(), averages ? mean.data() : nullptr, averages ? variance.data() : nullptr,
         stopped.data(), left.empty() ? nullptr : left.data()});
  });
  py::object average = py::none(), spread = py::none(), after = py::none();
  if (!left.empty()) after = gillespie::event_arrays(left, network);
  if (averages) average = to_array(std::move(mean), {n, S}), spread = to_array(std::move(variance), {n, S});
  return py::make_tuple(to_array(std::move(counts), {n, T, S}), to_array(std::move(fired), {n, R}), average,
                        spread, to_array(std::move(stopped), {n}), after);
}

py::tuple moments(const py::tuple& arrays, const Array<double>& t, const std::string& method, uint64_t seed,
                  int64_t n, int threads, py::object progress, int lanes, double epsilon,
                  const std::array<int64_t, 3>& histogram) {
  const Network network = NetworkTuple(arrays).prepare();
  const int64_t S = network.model().species, T = t.shape(0);
  const gillespie::Bins bins{histogram[0], histogram[1], histogram[2]};
  Array<double> mean({T, S}), variance({T, S});
  Buffer<int64_t> histograms(product({T, S, bins.cells()}));
  double *mean_data = mean.mutable_data(), *variance_data = variance.mutable_data();
  int64_t events = 0;
  PythonJob job(n * T, std::move(progress));
  job.run([&] {
    events = gillespie::moments(
        {network, method_of(method), view<1>(t), 0, n, seed, threads, job, gillespie::Lanes{lanes}, epsilon},
        bins, mean_data, variance_data, histograms.data());
  });
  return py::make_tuple(mean, variance, events, to_array(std::move(histograms), {T, S, bins.cells()}));
}

py::tuple events(const py::tuple& arrays, double t_end, int64_t max_events, const std::string& method,
                 uint64_t seed) {
  const Network network = NetworkTuple(arrays).prepare();
  gillespie::Log log;
  PythonJob job(max_events, py::none());
  job.run([&] { log = gillespie::events(network, method_of(method), seed, t_end, max_events, job); });
  const auto events = static_cast<int64_t>(log.times.size());
  return py::make_tuple(to_array(std::move(log.times), {events}),
                        to_array(std::move(log.reactions), {events}), log.absorbed);
}

std::string choose_method(const py::tuple& arrays, bool single) {
  const Network network = NetworkTuple(arrays).prepare();
  int chosen = 0;
  PythonJob job(0, py::none());
  job.run([&] { chosen = static_cast<int>(gillespie::choose_method(network, single, job)); });
  return kMethods[chosen];
}

}  // namespace

// `method` is one of kMethods. `lanes`, of the direct method, changes no number: -1 where vector
// lanes pay, 0 never, 1 wherever the network allows them.
KXFAST_BINDINGS(gillespie) {
  m.def("simulate", &simulate, py::arg("network"), py::arg("t").noconvert(), py::arg("method"),
        py::arg("seed"), py::arg("averages"), py::arg("n"), py::arg("first"), py::arg("threads"),
        py::arg("progress"), py::arg("lanes") = -1, py::arg("epsilon") = 0.03, py::arg("start") = 0.0,
        py::arg("starts") = Array<int64_t>(std::vector<py::ssize_t>{0, 0}), py::arg("before") = py::none(),
        "Trajectories first .. first + n at t: counts, firings, averages or None, ends by until, event "
        "states.");
  m.def("moments", &moments, py::arg("network"), py::arg("t").noconvert(), py::arg("method"), py::arg("seed"),
        py::arg("n"), py::arg("threads"), py::arg("progress"), py::arg("lanes") = -1,
        py::arg("epsilon") = 0.03, py::arg("histogram") = std::array<int64_t, 3>{0, 1, 0},
        "Mean and variance over n trajectories, the events, and histograms of (low, width, bins).");
  m.def("simulate_events", &events, py::arg("network"), py::arg("t_end"), py::arg("max_events"),
        py::arg("method"), py::arg("seed"),
        "Times and reactions of trajectory 0, and whether nothing can fire after them.");
  m.def("choose_method", &choose_method, py::arg("network"), py::arg("single"),
        "The exact method that should be fastest.");
  m.def(
      "exponential", [](uint64_t bits) { return -log_of_unit(unit_open(bits)); }, py::arg("bits"),
      "The waiting time, of mean 1, that 64 random bits become.");
}
