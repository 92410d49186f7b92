// Calls whose arguments are usual, served at once: NumPy's own arrays of one type, in one piece, that fit
// each other, and options as their documentation names them. What is not usual is looked at in Python, and
// may be an error.
#pragma once

#include "conv/held.hpp"

namespace kxfast::conv {

// Whether `given` is an array of T with `axes` axes, in one piece.
template <class T>
bool usual_array(py::handle given, int axes) {
  static const auto& api = py::detail::npy_api::get();
  static const PyObject* const kind = py::dtype::of<T>().release().ptr();
  if (Py_TYPE(given.ptr()) != api.PyArray_Type_) return false;
  const auto* array = py::detail::array_proxy(given.ptr());
  constexpr int kNeeded = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  return array->descr == kind && array->nd == axes && (array->flags & kNeeded) == kNeeded;
}
template <class T>
bool usual_array_or_none(py::handle given, int axes) {
  return given.is_none() || usual_array<T>(given, axes);
}
template <class Array>
std::optional<Array> held(py::handle given) {
  if (given.is_none()) return std::nullopt;
  return py::reinterpret_borrow<Array>(given);
}

// What a call of usual arguments is given; none if they are not usual.
template <class T>
struct Usual {
  Sequences<T> x;
  Maybe<bool> mask;
  HeldLayer<T> layer;

  static std::optional<Usual> of(py::handle x, py::handle weight, py::handle bias, py::handle mask,
                                 py::handle dilation, py::handle skip, py::handle gate, py::handle padding) {
    if (!usual_array<T>(x, 3) || !usual_array<T>(weight, 3) || !usual_array_or_none<T>(bias, 1) ||
        !usual_array_or_none<bool>(mask, 2) || !PyLong_CheckExact(dilation.ptr()))
      return std::nullopt;
    const auto rows = py::reinterpret_borrow<Sequences<T>>(x);
    const auto kernel = py::reinterpret_borrow<Numbers<T>>(weight);
    const auto biases = held<Numbers<T>>(bias);
    const auto seen = held<Array<bool>>(mask);
    const int64_t taps = kernel.shape(0), in = kernel.shape(1), columns = kernel.shape(2);
    int overflow = 0;
    const int64_t step = PyLong_AsLongLongAndOverflow(dilation.ptr(), &overflow);
    const int way = word(skip, {"gated", "add", "none"}), first = word(gate, {"last", "first"});
    const int causal = word(padding, {"same", "causal"});
    const bool fits = taps > 0 && columns > 0 && columns % 2 == 0 && in == rows.shape(2) &&
                      (!biases || biases->shape(0) == columns) &&
                      (!seen || (seen->shape(0) == rows.shape(0) && seen->shape(1) == rows.shape(1)));
    const bool known = overflow == 0 && step > 0 && way < 3 && first < 2 && causal < 2;
    if (!fits || !known || (way < 2 && columns != 2 * in)) return std::nullopt;
    constexpr const char* kWays[] = {"gated", "add", "none"};
    return Usual{rows, seen,
                 HeldLayer<T>(kernel, biases, step, causal == 1, kWays[way], first == 1, seen.has_value(), {},
                              {}, {}, {}, 0, nullptr)};
  }
};

template <class T>
bool forward_usual(py::handle x, py::handle weight, py::handle bias, py::handle mask, py::handle dilation,
                   py::handle skip, py::handle gate, py::handle padding, bool keep, py::object& found) {
  const auto call = Usual<T>::of(x, weight, bias, mask, dilation, skip, gate, padding);
  if (!call) return false;
  const py::tuple both = forward_held<T>(call->x, call->layer, call->mask, 0, 0, 0, std::nullopt, keep);
  found = keep ? py::object(both) : py::object(both[0]);
  return true;
}
inline py::object forward_at_once(py::handle x, py::handle weight, py::handle bias, py::handle mask,
                                  py::handle dilation, py::handle skip, py::handle gate, py::handle padding,
                                  py::handle keep) {
  py::object found = py::none();
  if (!PyBool_Check(keep.ptr())) return found;
  const bool kept = keep.ptr() == Py_True;
  forward_usual<float>(x, weight, bias, mask, dilation, skip, gate, padding, kept, found) ||
      forward_usual<double>(x, weight, bias, mask, dilation, skip, gate, padding, kept, found);
  return found;
}

template <class T>
bool backward_usual(py::handle dy, py::handle x, py::handle weight, py::handle bias, py::handle mask,
                    py::handle dilation, py::handle skip, py::handle gate, py::handle padding,
                    py::handle parts, py::object& found) {
  if (!usual_array<T>(dy, 3) || !usual_array_or_none<T>(parts, 3)) return false;
  const auto call = Usual<T>::of(x, weight, bias, mask, dilation, skip, gate, padding);
  if (!call) return false;
  const auto given = py::reinterpret_borrow<Numbers<T>>(dy);
  const auto kept = held<Numbers<T>>(parts);
  const auto as_rows = [&](const Numbers<T>& a, int64_t width) {
    return a.shape(0) == call->x.shape(0) && a.shape(1) == call->x.shape(1) && a.shape(2) == width;
  };
  const int64_t out = call->layer.fields.out;
  if (!as_rows(given, out) || (kept && !as_rows(*kept, 2 * out))) return false;
  const py::tuple all = backward_held<T>(given, call->x, call->layer, call->mask, 0, 0, 0, kept);
  found = py::make_tuple(all[0], all[1], all[2]);
  return true;
}
inline py::object backward_at_once(py::handle dy, py::handle x, py::handle weight, py::handle bias,
                                   py::handle mask, py::handle dilation, py::handle skip, py::handle gate,
                                   py::handle padding, py::handle parts) {
  py::object found = py::none();
  backward_usual<float>(dy, x, weight, bias, mask, dilation, skip, gate, padding, parts, found) ||
      backward_usual<double>(dy, x, weight, bias, mask, dilation, skip, gate, padding, parts, found);
  return found;
}

}  // namespace kxfast::conv
