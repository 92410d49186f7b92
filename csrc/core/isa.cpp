#include "core/isa.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#ifdef KXFAST_X86
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace kxfast {
namespace {

constexpr const char* kNames[kIsaCount] = {"baseline", "avx2", "avx512", "amx"};
constexpr int kUnset = -1;
std::atomic<int> current{kUnset};
std::atomic<bool> emulated{false};

#ifdef KXFAST_X86
// AMX needs the processor's tile, bf16 and int8 bits, a system that saves tiles (their bits of XCR0), and its
// permission to use tile data.
bool amx_permitted() {
  unsigned a, b, c, d;
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25, kBf16 = 1u << 22, kSaving = 1u << 27,
                     kTileState = 3u << 17;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kTile) || !(d & kInt8) || !(d & kBf16)) return false;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & kSaving)) return false;
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & kTileState) != kTileState) return false;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

Isa parse(const std::string& name, const char* source) {
  std::string accepted;
  for (const std::string& each : supported_isas()) accepted += (accepted.empty() ? "" : ", ") + each;
  for (int i = 0; i < kIsaCount; ++i) {
    if (name != kNames[i]) continue;
    if (isa_supported(Isa(i))) return Isa(i);
    throw std::invalid_argument(std::string(source) + " must be an instruction set this processor has (" +
                                accepted + "); got '" + name + "'");
  }
  throw std::invalid_argument(std::string(source) + " must be one of " + accepted + "; got '" + name + "'");
}

Isa choose() {
  const char* wanted = std::getenv("KXFAST_ISA");
  if (wanted && *wanted) return parse(wanted, "KXFAST_ISA");
  for (int i = kIsaCount - 1; i > 0; --i)
    if (isa_supported(Isa(i))) return Isa(i);
  return Isa::baseline;
}

}  // namespace

const char* isa_name(Isa which) {
  return kNames[static_cast<int>(which)];
}

bool isa_supported(Isa which) {
#ifdef KXFAST_X86
  __builtin_cpu_init();
  switch (which) {
    case Isa::baseline:
      return true;
    case Isa::avx2:
      return __builtin_cpu_supports("x86-64-v3");
    case Isa::avx512:
      return __builtin_cpu_supports("x86-64-v4");
    case Isa::amx: {
      static const bool amx =
          __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16") && amx_permitted();
      return amx;
    }
  }
  return false;
#else
  return which == Isa::baseline;
#endif
}

HalfProducts half_products() {
  if (emulated.load(std::memory_order_relaxed)) return HalfProducts::emulated;
#ifdef KXFAST_X86
  __builtin_cpu_init();
  if (isa() == Isa::amx) return HalfProducts::tiles;
  if (isa() == Isa::avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd"))
    return HalfProducts::pairs;
#endif
  return HalfProducts::none;
}

void emulate_tiles(bool wanted) {
  emulated.store(wanted, std::memory_order_relaxed);
}

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  for (int i = 0; i < kIsaCount; ++i)
    if (isa_supported(Isa(i))) names.emplace_back(kNames[i]);
  return names;
}

Isa isa() {
  int chosen = current.load(std::memory_order_relaxed);
  if (chosen == kUnset) {
    chosen = static_cast<int>(choose());
    current.store(chosen, std::memory_order_relaxed);
  }
  return Isa(chosen);
}

void use_isa(const std::string& name) {
  current.store(static_cast<int>(name.empty() ? choose() : parse(name, "isa")), std::memory_order_relaxed);
}

}  // namespace kxfast
