// kxfast._native.core: instruction sets and threads.
#include <pybind11/stl.h>

#include "core/half.hpp"
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

namespace {

using namespace kxfast;

Half kind_of(bool bfloat16) {
  return bfloat16 ? Half::bfloat16 : Half::float16;
}

Array<float> widened(const Array<uint16_t>& x, bool bfloat16) {
  Array<float> made = new_array<float>({x.shape(), x.shape() + x.ndim()});
  float* to = made.mutable_data();
  py::gil_scoped_release nogil;
  widen(kind_of(bfloat16), x.data(), x.size(), to);
  return made;
}

Array<uint16_t> narrowed(const Array<float>& x, bool bfloat16) {
  Array<uint16_t> made = new_array<uint16_t>({x.shape(), x.shape() + x.ndim()});
  uint16_t* to = made.mutable_data();
  py::gil_scoped_release nogil;
  narrow(kind_of(bfloat16), x.data(), x.size(), to);
  return made;
}

}  // namespace

KXFAST_BINDINGS(core) {
  m.def("widened", &widened, py::arg("x").noconvert(), py::arg("bfloat16"),
        "The bits of float16 or bfloat16 numbers as float32.");
  m.def("narrowed", &narrowed, py::arg("x").noconvert(), py::arg("bfloat16"),
        "Float32 numbers as the bits of float16 or bfloat16, rounded to the nearest.");
  m.def("isa", [] { return std::string(isa_name(isa())); }, "Name of the instruction set in use.");
  m.def("bf16_products", &bf16_products, "Whether the set in use multiplies bfloat16 faster than float32.");
  m.def("isas", &supported_isas, "Names of the instruction sets this processor can run.");
  m.def("use_isa", &use_isa, py::arg("name"), "Use this instruction set from now on; '' for the best.");
  m.def("get_num_threads", &num_threads, "Threads that a call uses when it is not told.");
  m.def(
      "use_team",
      [](uintptr_t run, uintptr_t size) {
        use_team(reinterpret_cast<TeamRun>(run), reinterpret_cast<TeamSize>(size));
      },
      py::arg("run"), py::arg("size"),
      "Run loops on an OpenMP team: the addresses of GOMP_parallel and omp_get_max_threads; 0 for our own "
      "threads.");
  m.def("set_num_threads", &set_num_threads, py::arg("n"), "Set that number; 0 for the default.");
}
