// Runs kernels on the host: include this first, and the text of a .cu file compiles with any C++17 compiler.
//
// KX_ENTRY(name) after a kernel exports `kx_launch_name`, which launches it as cuLaunchKernel would: sizes of
// grid and block, bytes of shared memory, and an array of pointers to the arguments. Blocks run one after
// another, in the order of their threads (forward, reverse, shuffled), or all at a time where the launch says
// `together`; one launch at a time.
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

constexpr unsigned kThreadsKept = 128;  // threads whose stacks stay from launch to launch

inline Block state;  // one launch at a time
inline std::vector<Block> resident;

// 0, or 1 with a line in launch.error.
template <class... Arguments>
int run(void (*kernel)(Arguments...), Launch& launch, void** arguments) {
  Call<Arguments...> call{kernel, unpack<Arguments...>(arguments, std::index_sequence_for<Arguments...>())};
  state.grid = dim3(launch.grid[0], launch.grid[1], launch.grid[2]);
  state.size = dim3(launch.size[0], launch.size[1], launch.size[2]);
  state.threads = state.size.x * state.size.y * state.size.z;
  state.body = &Call<Arguments...>::run, state.arguments = &call;
  const unsigned blocks = state.grid.x * state.grid.y * state.grid.z;
  if (!state.threads || state.threads > 1024 || !blocks || launch.shared_bytes > kMostShared) {
    std::snprintf(launch.error, sizeof launch.error,
                  "a launch of %u blocks of %u threads with %u bytes of shared memory", blocks, state.threads,
                  launch.shared_bytes);
    return 1;
  }
  Order order(launch.order, blocks);
  const std::vector<unsigned>& places = order.next();
  const auto place = [&](unsigned i) {
    return dim3(i % state.grid.x, i / state.grid.x % state.grid.y, i / (state.grid.x * state.grid.y));
  };
  const auto failed = [&](const Block& b) {
    std::memcpy(launch.error, b.error, sizeof launch.error);
    return 1;
  };
  if (launch.together) {
    if (resident.size() < blocks) resident = std::vector<Block>(blocks);
    resident.resize(blocks);
    for (unsigned i = 0; i < blocks; ++i) {
      Block& each = resident[i];
      each.index = place(i), each.size = state.size, each.grid = state.grid, each.threads = state.threads;
      each.body = state.body, each.arguments = state.arguments;
    }
    const Block* const wrong = run_together(resident, places, launch.order, launch.shared_bytes);
    return wrong ? failed(*wrong) : 0;
  }
  bool good = true;
  for (const unsigned i : places) {
    state.index = place(i);
    good = good && run_block(state, launch.order, launch.shared_bytes);
  }
  // A process has room for so many pages with guards, and every text that is loaded has stacks of its own.
  if (state.threads > kThreadsKept) state.thread = std::vector<Thread>();
  return good ? 0 : failed(state);
}

}  // namespace kx_emu

#define KX_ENTRY(name)                                                                           \
  extern "C" __attribute__((visibility("default"))) int kx_launch_##name(kx_emu::Launch* launch, \
                                                                         void** arguments) {     \
    return kx_emu::run(name, *launch, arguments);                                                \
  }
