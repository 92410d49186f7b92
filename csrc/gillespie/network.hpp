// A reaction network, prepared once per call for the kernels.
#pragma once

#include <vector>

#include "core/views.hpp"
#include "gillespie/kernels.hpp"

namespace kxfast::gillespie {

// The network as Python hands it over: initial (S,), reactants and products (R, S), rates (R,); the
// expression of reaction r is program[begin[r] .. begin[r + 1]], empty if its rate is a constant.
struct NetworkArrays {
  View<const int64_t, 1> initial;
  View<const int64_t, 2> reactants, products;
  View<const double, 1> rates;
  View<const int64_t, 1> begin, ops;
  View<const double, 1> numbers;
};

class Network {
 public:
  explicit Network(const NetworkArrays& arrays);
  const Model& model() const { return model_; }
  const std::vector<double>& initial() const { return initial_; }  // with the two extra places

 private:
  void add_reaction(const NetworkArrays& arrays, int64_t r);
  void add_changes(const NetworkArrays& arrays);
  void add_affected(const NetworkArrays& arrays);

  Model model_;
  std::vector<double> initial_, rate_, less_, change_by_;
  std::vector<int32_t> one_, other_, factor_begin_, program_begin_, change_species_, affected_begin_,
      affected_, reader_begin_, readers_;
  std::vector<Factor> factors_;
  std::vector<Instruction> program_;
};

}  // namespace kxfast::gillespie
