// kxfast._native.core: instruction sets and threads.
#include <pybind11/stl.h>

#include "core/isa.hpp"
#include "core/python.hpp"
#include "core/threads.hpp"

extern "C" {
// Plain C entry points for threadpoolctl, which finds the library by its file name.
__attribute__((visibility("default"))) int kxfast_get_num_threads() {
  return kxfast::num_threads();
}
__attribute__((visibility("default"))) void kxfast_set_num_threads(int n) {
  kxfast::set_num_threads(n);
}
}

KXFAST_BINDINGS(core) {
  using namespace kxfast;
  m.def("isa", [] { return std::string(isa_name(isa())); }, "Name of the instruction set in use.");
  m.def("isas", &supported_isas, "Names of the instruction sets this processor can run.");
  m.def("use_isa", &use_isa, py::arg("name"), "Use this instruction set from now on; '' for the best.");
  m.def("get_num_threads", &num_threads, "Threads that a call uses when it is not told.");
  m.def("set_num_threads", &set_num_threads, py::arg("n"), "Set that number; 0 for the default.");
}
