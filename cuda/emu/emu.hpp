// Runs kernels on the host: include this first, and the text of a .cu file compiles with any C++17 compiler.
//
// KX_ENTRY(name) after a kernel exports `kx_launch_name`, which launches it as cuLaunchKernel would: sizes of
// grid and block, bytes of shared memory, and an array of pointers to the arguments. Blocks run one after
// another, in the order of their threads (forward, reverse), or shuffled two at a time, or all at a time
// where the launch says `together`; one launch at a time.
#pragma once

#include <tuple>

#include "instructions.hpp"
#include "schedule.hpp"

namespace kx_emu {

struct Launch {
  unsigned grid[3], size[3], shared_bytes, order, together;
  char error[256];
};

template <class... Arguments>
struct Call {
  void (*kernel)(Arguments...);
  std::tuple<Arguments...> arguments;
  static void run(void* self) {
    const auto* call = static_cast<const Call*>(self);
    std::apply(call->kernel, call->arguments);
  }
};

template <class... Arguments, size_t... I>
std::tuple<Arguments...> unpack(void** arguments, std::index_sequence<I...>) {
  return {*static_cast<Arguments*>(arguments[I])...};
}

constexpr unsigned kAtATime = 4;        // blocks, where they are shuffled
constexpr unsigned kThreadsKept = 128;  // threads whose stacks stay from launch to launch

inline std::vector<Block> resident;  // one launch at a time

// 0, or 1 with a line in launch.error.
template <class... Arguments>
int run(void (*kernel)(Arguments...), Launch& launch, void** arguments) {
  Call<Arguments...> call{kernel, unpack<Arguments...>(arguments, std::index_sequence_for<Arguments...>())};
  const dim3 grid(launch.grid[0], launch.grid[1], launch.grid[2]);
  const dim3 size(launch.size[0], launch.size[1], launch.size[2]);
  const unsigned threads = size.x * size.y * size.z, blocks = grid.x * grid.y * grid.z;
  if (!threads || threads > 1024 || !blocks || launch.shared_bytes > kMostShared) {
    std::snprintf(launch.error, sizeof launch.error,
                  "a launch of %u blocks of %u threads with %u bytes of shared memory", blocks, threads,
                  launch.shared_bytes);
    return 1;
  }
  const unsigned at_a_time = std::min(blocks, launch.together ? blocks : launch.order < 2 ? 1 : kAtATime);
  if (resident.size() < at_a_time) resident = std::vector<Block>(at_a_time);
  Order order(launch.order, (blocks + at_a_time - 1) / at_a_time);
  Block* wrong = nullptr;
  for (const unsigned group : order.next()) {
    const unsigned first = group * at_a_time, count = std::min(at_a_time, blocks - first);
    Order within(launch.order, count);
    const std::vector<unsigned>& places = within.next();
    for (unsigned i = 0; i < count; ++i) {
      const unsigned at = first + places[i];
      Block& each = resident[i];
      each.index = dim3(at % grid.x, at / grid.x % grid.y, at / (grid.x * grid.y));
      each.size = size, each.grid = grid, each.threads = threads;
      each.body = &Call<Arguments...>::run, each.arguments = &call;
    }
    wrong = run_together(resident.data(), count, launch.order, launch.shared_bytes);
    if (wrong) break;
  }
  if (wrong) std::memcpy(launch.error, wrong->error, sizeof launch.error);
  // A process has room for so many pages with guards, and every text that is loaded has stacks of its own.
  resident.resize(threads > kThreadsKept ? 0 : 1);
  return wrong != nullptr;
}

}  // namespace kx_emu

#define KX_ENTRY(name)                                                                           \
  extern "C" __attribute__((visibility("default"))) int kx_launch_##name(kx_emu::Launch* launch, \
                                                                         void** arguments) {     \
    return kx_emu::run(name, *launch, arguments);                                                \
  }
