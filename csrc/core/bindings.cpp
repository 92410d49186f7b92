// kxfast._native.core: instruction sets and threads.
#include <pybind11/stl.h>

#include "core/amx.hpp"
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

// One product of emulated tiles 0 += 1 x 2; arrays of 16 rows of 64 bytes.
Array<uint8_t> tile_product(const Array<uint8_t>& shapes, const Array<uint8_t>& sum, const Array<uint8_t>& a,
                            const Array<uint8_t>& b, bool of_bytes) {
  constexpr int64_t kAll = matrix::kRows * matrix::kRowBytes;
  if (shapes.size() != sizeof(matrix::Shapes) || sum.size() != kAll || a.size() != kAll || b.size() != kAll)
    throw std::invalid_argument("a configuration has 64 bytes and a tile 1024");
  matrix::Shapes given;
  std::memcpy(&given, shapes.data(), sizeof given);
  matrix::Tiles tiles;
  tiles.configure(given);
  tiles.load<0>(sum.data(), matrix::kRowBytes);
  tiles.load<1>(a.data(), matrix::kRowBytes);
  tiles.load<2>(b.data(), matrix::kRowBytes);
  of_bytes ? tiles.multiply_bytes<0, 1, 2>() : tiles.multiply<0, 1, 2>();
  Array<uint8_t> made = new_array<uint8_t>({matrix::kRows, matrix::kRowBytes});
  std::memset(made.mutable_data(), 0, kAll);
  tiles.store<0>(made.mutable_data(), matrix::kRowBytes);
  tiles.release();
  return made;
}

}  // namespace

KXFAST_BINDINGS(core) {
  m.def("widened", &widened, py::arg("x").noconvert(), py::arg("bfloat16"),
        "The bits of float16 or bfloat16 numbers as float32.");
  m.def("narrowed", &narrowed, py::arg("x").noconvert(), py::arg("bfloat16"),
        "Float32 numbers as the bits of float16 or bfloat16, rounded to the nearest.");
  m.def("isa", [] { return std::string(isa_name(isa())); }, "Name of the instruction set in use.");
  m.def(
      "half_products",
      [] {
        constexpr const char* kNames[] = {"none", "pairs", "tiles", "emulated"};
        return std::string(kNames[static_cast<int>(half_products())]);
      },
      "How bfloat16 is multiplied faster than float32: none, pairs (AVX-512), tiles (AMX), emulated (in "
      "tests).");
  m.def("emulate_tiles", &emulate_tiles, py::arg("emulated"),
        "For tests: multiply bfloat16 as AMX does, in plain C++.");
  m.def("tile_product", &tile_product, py::arg("shapes").noconvert(), py::arg("sums").noconvert(),
        py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("of_bytes") = false,
        "For tests: tile 0 (16 x 64 bytes) plus the product of tiles 1 and 2, emulated, under a "
        "configuration.");
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
