// From the entries of reactants and products to the flat arrays of kernels.hpp.
#include "gillespie/network.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace kxfast::gillespie {

Network::Network(const NetworkArrays& arrays, const ControlArrays& control) {
  const int64_t species = arrays.initial.size[0], reactions = arrays.rates.size[0];
  model_.species = species;
  model_.timed = false;
  model_.state = species + control.variables.size[0];
  for (int64_t s = 0; s < species; ++s) initial_.push_back(static_cast<double>(arrays.initial(s)));
  for (int64_t v = 0; v < control.variables.size[0]; ++v) initial_.push_back(control.variables(v));
  initial_.insert(initial_.end(), {1, 0, 0, 0});
  factor_begin_.push_back(0);
  program_begin_.push_back(0);
  int64_t first = 0;
  for (int64_t r = 0; r < reactions; ++r) {
    int64_t last = first;
    while (last < arrays.reactants.reactions.size[0] && arrays.reactants.reactions(last) == r) ++last;
    add_reaction(arrays, r, first, last);
    first = last;
  }
  add_changes(arrays);
  add_affected(arrays);
  add_readings(arrays);
  add_control(control);
  model_.reactions = reactions;
  model_.rate = rate_.data();
  model_.less = less_.data();
  model_.one = one_.data();
  model_.other = other_.data();
  model_.plain = factors_.empty() && program_.empty();
  model_.is_timed = is_timed_.data();
  model_.checked = !program_.empty();
  model_.factor_begin = factor_begin_.data();
  model_.program_begin = program_begin_.data();
  model_.factors = factors_.data();
  model_.program = program_.data();
  model_.change_species = change_species_.data();
  model_.change_by = change_by_.data();
  model_.affected_begin = affected_begin_.data();
  model_.affected = affected_.data();
  model_.reader_begin = reader_begin_.data();
  model_.readers = readers_.data();
  model_.reading_begin = reading_begin_.data();
  model_.readings = readings_.data();
}

Instruction Network::instruction(int64_t op, double number) const {
  if (op == kTime) return {kSpecies, static_cast<int32_t>(model_.state + 2), 0};
  if (op >> 8) return {kCall, static_cast<int32_t>(op >> 8), number};
  return {static_cast<int32_t>(op), op == kSpecies ? static_cast<int32_t>(number) : 0, number};
}

void Network::add_control(const ControlArrays& control) {
  for (int64_t i = 0; i < control.begin.size[0]; ++i)
    control_begin_.push_back(static_cast<int32_t>(control.begin(i)));
  for (int64_t i = 0; i < control.ops.size[0]; ++i)
    control_program_.push_back(instruction(control.ops(i), control.numbers(i)));
  for (int64_t e = 0; e < control.events.size[0]; ++e) {
    const auto column = [&](int64_t c) { return control.events(e, c); };
    control_.events.push_back(
        {column(0), column(1), column(2), column(3), column(4) != 0, column(5) != 0, column(6) != 0});
  }
  for (int64_t a = 0; a < control.assignments.size[0]; ++a)
    control_.assignments.push_back({control.assignments(a, 0), control.assignments(a, 1)});
  for (int64_t i = 0; i < control.switches.size[0]; ++i) control_.switches.push_back(control.switches(i));
  model_.watches = control.watches;
  model_.control_begin = control_begin_.data();
  model_.control = control_program_.data();
}

// first .. last are the reaction's entries among the reactants.
void Network::add_reaction(const NetworkArrays& arrays, int64_t r, int64_t first, int64_t last) {
  const auto nobody = static_cast<int32_t>(model_.state);
  std::vector<Factor> factors;
  for (int64_t i = first; i < last; ++i)
    for (int64_t k = 0; k < arrays.reactants.counts(i); ++k)
      factors.push_back({static_cast<int32_t>(arrays.reactants.species(i)), static_cast<double>(k),
                         static_cast<double>(k + 1)});
  double rate = arrays.rates(r);
  if (factors.size() <= 3) {
    for (Factor& each : factors) rate /= std::exchange(each.over, 1);
    one_.push_back(factors.empty() ? nobody : factors[0].species);
    other_.push_back(factors.size() < 2 ? nobody : factors[1].species);
    less_.push_back(factors.size() < 2 ? 0 : factors[1].less);
    if (factors.size() == 3) factors_.push_back(factors[2]);
  } else {
    one_.push_back(nobody);
    other_.push_back(nobody);
    less_.push_back(0);
    factors_.insert(factors_.end(), factors.begin(), factors.end());
  }
  rate_.push_back(rate);
  factor_begin_.push_back(static_cast<int32_t>(factors_.size()));
  for (int64_t i = arrays.begin(r); i < arrays.begin(r + 1); ++i) {
    const Instruction step = instruction(arrays.ops(i), arrays.numbers(i));
    const bool after_number =
        static_cast<int64_t>(program_.size()) > program_begin_.back() && program_.back().op == kNumber;
    const double power = after_number ? program_.back().number : 0.25;
    if (step.op == kPower && power != 0 && std::floor(2 * power) == 2 * power &&
        std::fabs(power) <= kLargestHalfPower)
      program_.back() = {kHalfPower, 0, power};
    else
      program_.push_back(step);
  }
  is_timed_.push_back(false);
  for (size_t i = static_cast<size_t>(program_begin_.back()); i < program_.size(); ++i)
    if (program_[i].op == kSpecies && program_[i].species == model_.state + 2)
      is_timed_.back() = model_.timed = true;
  program_begin_.push_back(static_cast<int32_t>(program_.size()));
}

void Network::add_changes(const NetworkArrays& arrays) {
  const int64_t reactions = arrays.rates.size[0];
  const auto filler = static_cast<int32_t>(model_.state + 1);
  // What is taken and given, merged: both are in order of reaction and species.
  struct Change {
    int32_t species;
    int64_t by;
  };
  std::vector<std::vector<Change>> rows(static_cast<size_t>(reactions));
  const auto add = [&](const SideArrays& side, int64_t sign) {
    for (int64_t i = 0; i < side.reactions.size[0]; ++i) {
      auto& row = rows[static_cast<size_t>(side.reactions(i))];
      const auto s = static_cast<int32_t>(side.species(i));
      const auto place = std::lower_bound(row.begin(), row.end(), s,
                                          [](const Change& c, int32_t x) { return c.species < x; });
      if (place == row.end() || place->species != s)
        row.insert(place, {s, sign * side.counts(i)});
      else
        place->by += sign * side.counts(i);
    }
  };
  add(arrays.reactants, -1);
  add(arrays.products, 1);
  size_t width = 0;
  for (auto& row : rows) {
    row.erase(std::remove_if(row.begin(), row.end(), [](const Change& c) { return c.by == 0; }), row.end());
    width = std::max(width, row.size());
  }
  for (const auto& row : rows) {
    for (const Change& each : row) {
      change_species_.push_back(each.species);
      change_by_.push_back(static_cast<double>(each.by));
    }
    change_species_.resize(change_species_.size() + width - row.size(), filler);
    change_by_.resize(change_species_.size(), 0);
  }
  model_.width = static_cast<int64_t>(width);
}

void Network::add_affected(const NetworkArrays& arrays) {
  const int64_t species = arrays.initial.size[0], reactions = arrays.rates.size[0];
  std::vector<std::vector<int32_t>> readers(static_cast<size_t>(species));
  int64_t entry = 0;
  const auto& taken = arrays.reactants;
  for (int32_t r = 0; r < reactions; ++r) {
    const int32_t first = program_begin_[static_cast<size_t>(r)],
                  last = program_begin_[static_cast<size_t>(r) + 1];
    for (int32_t i = first; i < last; ++i)
      if (program_[static_cast<size_t>(i)].op == kSpecies &&
          program_[static_cast<size_t>(i)].species < species)
        readers[static_cast<size_t>(program_[static_cast<size_t>(i)].species)].push_back(r);
    for (; entry < taken.reactions.size[0] && taken.reactions(entry) == r; ++entry)
      if (first == last) readers[static_cast<size_t>(taken.species(entry))].push_back(r);
  }
  reader_begin_.push_back(0);
  for (auto& row : readers) {
    row.erase(std::unique(row.begin(), row.end()), row.end());
    readers_.insert(readers_.end(), row.begin(), row.end());
    reader_begin_.push_back(static_cast<int32_t>(readers_.size()));
  }
  affected_begin_.push_back(0);
  for (int64_t r = 0; r < reactions; ++r) {
    std::vector<int32_t> row;
    for (int64_t c = r * model_.width; c < (r + 1) * model_.width; ++c) {
      const auto s = static_cast<size_t>(change_species_[static_cast<size_t>(c)]);
      if (s < readers.size()) row.insert(row.end(), readers[s].begin(), readers[s].end());
    }
    std::sort(row.begin(), row.end());
    row.erase(std::unique(row.begin(), row.end()), row.end());
    affected_.insert(affected_.end(), row.begin(), row.end());
    affected_begin_.push_back(static_cast<int32_t>(affected_.size()));
  }
}

// An expression counts as one of fourth order.
void Network::add_readings(const NetworkArrays& arrays) {
  constexpr int32_t kOrderOfExpressions = 4;
  std::vector<std::vector<Reading>> rows(static_cast<size_t>(arrays.initial.size[0]));
  const auto add = [&](int64_t s, Reading reading) {
    auto& row = rows[static_cast<size_t>(s)];
    const auto same = [&](const Reading& x) {
      return x.order == reading.order && x.copies == reading.copies;
    };
    if (std::none_of(row.begin(), row.end(), same)) row.push_back(reading);
  };
  const SideArrays& taken = arrays.reactants;
  for (int64_t i = 0, last = 0; i < taken.reactions.size[0]; i = last) {
    int32_t order = 0;
    for (last = i; last < taken.reactions.size[0] && taken.reactions(last) == taken.reactions(i); ++last)
      order += static_cast<int32_t>(taken.counts(last));
    const auto r = static_cast<size_t>(taken.reactions(i));
    for (int64_t k = i; k < last && program_begin_[r] == program_begin_[r + 1]; ++k)
      add(taken.species(k), {order, static_cast<int32_t>(taken.counts(k))});
  }
  for (const Instruction& step : program_)
    if (step.op == kSpecies && step.species < model_.species) add(step.species, {kOrderOfExpressions, 1});
  reading_begin_.push_back(0);
  for (const auto& row : rows) {
    readings_.insert(readings_.end(), row.begin(), row.end());
    reading_begin_.push_back(static_cast<int32_t>(readings_.size()));
  }
}

}  // namespace kxfast::gillespie
