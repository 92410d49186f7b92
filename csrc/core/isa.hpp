// Which instruction set runs. Kernels under csrc/<stem>/simd are compiled once for each of the sets below
// into a namespace of that name; a stem's header declares them all with KXFAST_EACH_ISA and callers pick one
// with KXFAST_PICK. The choice is made at first use (the best the processor has, or KXFAST_ISA) and
// can be changed by use_isa, which tests and `kxfast verify` do.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace kxfast {

enum class Isa : int { baseline, avx2, avx512, amx };
constexpr int kIsaCount = 4;

Isa isa();  // the one in use; throws std::invalid_argument if KXFAST_ISA names none that can run here
const char* isa_name(Isa which);
bool isa_supported(Isa which);
std::vector<std::string> supported_isas();
// How bfloat16 is multiplied faster than floats by the set in use: by AVX-512 in pairs at twice their rate
// (AMD's processors that have the instruction; Intel's take two steps for it, so that floats are as fast
// there), or by AMX in tiles. Tests ask for emulated tiles (core/amx.hpp).
enum class HalfProducts : int { none, pairs, tiles, emulated };
HalfProducts half_products();
void emulate_tiles(bool emulated);
void use_isa(const std::string& name);  // "" goes back to the choice at first use

template <class Function>
Function pick(const Function (&table)[kIsaCount]) {
  return table[static_cast<int>(isa())];
}

}  // namespace kxfast

// KXFAST_PICK(type, function): the function of the set in use; its type, a function pointer, chooses the
// overload.
#ifdef KXFAST_X86
#define KXFAST_EACH_ISA(declare) declare(baseline) declare(avx2) declare(avx512) declare(amx)
#define KXFAST_PICK(type, function) \
  ::kxfast::pick<type>({&baseline::function, &avx2::function, &avx512::function, &amx::function})
#else
#define KXFAST_EACH_ISA(declare) declare(baseline)
#define KXFAST_PICK(type, function) static_cast<type>(&baseline::function)
#endif

// KXFAST_PICK_HALF: the same for kernels of Bfloat16, where half_products() is not none.
#ifdef KXFAST_X86
#define KXFAST_PICK_HALF(type, function)                                                                    \
  (::kxfast::half_products() == ::kxfast::HalfProducts::pairs   ? static_cast<type>(&avx512_bf16::function) \
   : ::kxfast::half_products() == ::kxfast::HalfProducts::tiles ? static_cast<type>(&amx::function)         \
                                                                : static_cast<type>(&emulated::function))
#else
#define KXFAST_PICK_HALF(type, function) static_cast<type>(&emulated::function)
#endif

// KXFAST_PICK_TILES: the same of kernels that are there for tiles alone.
#ifdef KXFAST_X86
#define KXFAST_PICK_TILES(type, function)                                                         \
  (::kxfast::half_products() == ::kxfast::HalfProducts::tiles ? static_cast<type>(&amx::function) \
                                                              : static_cast<type>(&emulated::function))
#else
#define KXFAST_PICK_TILES(type, function) static_cast<type>(&emulated::function)
#endif
