// What bindings share: how a stem registers its submodule, arrays as views, and jobs that hear Ctrl-C.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <exception>
#include <initializer_list>
#include <string>
#include <vector>

#include "core/job.hpp"
#include "core/views.hpp"
#include "core/workspace.hpp"

namespace kxfast {

namespace py = pybind11;

// KXFAST_BINDINGS(words) { m.def(...); } adds the submodule kxfast._native.words; no list is kept by hand.
struct Bindings {
  const char* name;
  void (*bind)(py::module_&);
};
std::vector<Bindings>& all_bindings();
struct RegisterBindings {
  RegisterBindings(const char* name, void (*bind)(py::module_&)) { all_bindings().push_back({name, bind}); }
};
#define KXFAST_BINDINGS(stem)                                                   \
  static void bind_##stem(::pybind11::module_& m);                              \
  static const ::kxfast::RegisterBindings register_##stem{#stem, &bind_##stem}; \
  static void bind_##stem(::pybind11::module_& m)

// Canonical input: C-contiguous, of the exact type (bindings say noconvert: Python has checked before).
template <class T>
using Array = py::array_t<T, py::array::c_style>;

template <int N, class T>
View<const T, N> view(const Array<T>& array) {
  View<const T, N> v{array.data(), {}, {}};
  for (int d = 0; d < N; ++d) {
    v.size[d] = array.shape(d);
    v.stride[d] = array.strides(d) / static_cast<int64_t>(sizeof(T));
  }
  return v;
}

// Hands a buffer's memory to a NumPy array without a copy.
template <class T>
Array<T> to_array(Buffer<T>&& buffer, std::vector<py::ssize_t> shape) {
  T* data = buffer.release();
  if (!data) return Array<T>(std::move(shape));  // a size of zero: no memory to own
  py::capsule owner(data, [](void* memory) { give_memory(memory); });
  return Array<T>(std::move(shape), data, owner);
}

// A new array, of memory that comes back to kernels where it is large.
template <class T>
Array<T> new_array(std::vector<py::ssize_t> shape) {
  size_t size = 1;
  for (const py::ssize_t n : shape) size *= static_cast<size_t>(n);
  if (size * sizeof(T) < (size_t{64} << 10)) return Array<T>(std::move(shape));
  return to_array(Buffer<T>(size), std::move(shape));
}

// Which of some words a string is, or their number.
inline int word(py::handle given, std::initializer_list<const char*> words) {
  int number = 0;
  if (!PyUnicode_CheckExact(given.ptr())) return static_cast<int>(words.size());
  for (const char* each : words) {
    if (PyUnicode_CompareWithASCIIString(given.ptr(), each) == 0) break;
    ++number;
  }
  return number;
}

// Looks for signals and reports to `progress(done, total)` while the interpreter lock is released around the
// work.
class PythonJob : public Job {
 public:
  PythonJob(int64_t units, py::object progress) : Job(units), progress_(std::move(progress)) {}

  // Runs work() without the interpreter lock and raises what a signal handler or the progress callable
  // raised.
  template <class Work>
  void run(Work&& work) {
    {
      py::gil_scoped_release nogil;
      work();
    }
    if (error_) std::rethrow_exception(error_);
    report();
  }

 protected:
  void tend() override {
    py::gil_scoped_acquire gil;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      report();
    } catch (...) {
      error_ = std::current_exception();
      stop();
    }
  }

 private:
  void report() {
    if (!progress_.is_none()) progress_(done.load(), total);
  }
  py::object progress_;
  std::exception_ptr error_;
};

}  // namespace kxfast
