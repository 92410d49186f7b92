// The compiled module kxfast._native: one submodule per stem, found through KXFAST_BINDINGS.
#include <algorithm>
#include <cstring>

#include "core/python.hpp"

namespace kxfast {
std::vector<Bindings>& all_bindings() {
  static std::vector<Bindings> bindings;
  return bindings;
}
}  // namespace kxfast

PYBIND11_MODULE(_native, m, pybind11::mod_gil_not_used()) {
  m.doc() = "Compiled kernels of kxfast, one submodule per stem; callers pass checked, canonical arrays.";
  auto bindings = kxfast::all_bindings();
  std::sort(bindings.begin(), bindings.end(),
            [](const auto& a, const auto& b) { return std::strcmp(a.name, b.name) < 0; });
  for (const auto& each : bindings) {
    auto submodule = m.def_submodule(each.name);
    each.bind(submodule);
  }
}
