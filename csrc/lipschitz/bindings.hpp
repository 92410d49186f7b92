// What the binding files of this stem share.
#pragma once

#include <pybind11/stl.h>

#include <array>
#include <atomic>
#include <new>
#include <optional>
#include <tuple>

#include "core/python.hpp"
#include "core/threads.hpp"
#include "lipschitz/convolution.hpp"

namespace kxfast::lipschitz {

void bind_conv(py::module_& m);
void bind_training(py::module_& m);
void bind_memory(py::module_& m);
void bind_network(py::module_& m);
Moves moves_of(const py::array& weight, const py::tuple& geometry);

// body(i) for i = 0 .. count - 1 without the interpreter lock, in parallel if there are many; one alone may
// be parallel inside. A task that finds no memory ends all.
template <class Body>
void run_each(PythonJob& job, int64_t count, Body&& body) {
  std::atomic<bool> full{false};
  const auto task = [&](int64_t i) {
    try {
      body(i);
    } catch (const std::bad_alloc&) {
      full = true;
      job.stop();
    }
  };
  job.run([&] {
    if (count == 1)
      task(0);
    else
      parallel_for(count, task, 0, &job);
  });
  if (full) throw std::bad_alloc();
}

}  // namespace kxfast::lipschitz
