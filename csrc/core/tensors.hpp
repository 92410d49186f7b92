// Tensors of a framework where they lie, by DLPack's table of functions: a tenth of the time that an array
// of each takes.
//
// The structs are those of DLPack 1.3 (https://github.com/dmlc/dlpack, Apache License 2.0), whose layout
// holds for all versions 1. The table is in a capsule that the class of tensors has as
// __dlpack_c_exchange_api__.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace kxfast::dlpack {

namespace py = pybind11;

constexpr int32_t kCpu = 1;
constexpr uint8_t kFloat = 2;

struct Device {
  int32_t type, number;
};
struct Type {
  uint8_t code, bits;
  uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  int32_t rank;
  Type type;
  int64_t *shape, *strides;
  uint64_t offset;  // bytes
};
struct Table {
  struct {
    uint32_t major, minor;
  } version;
  void* before;
  void *allocate, *take, *give;  // not used here
  int (*look)(void* object, Tensor* out);
};

// The table in a capsule, or nothing if this code does not know its version.
inline const Table* table(const py::object& capsule) {
  if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) return nullptr;
  const auto* found = static_cast<const Table*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  return found->version.major == 1 && found->look ? found : nullptr;
}

inline bool in_one_piece(const Tensor& x) {
  int64_t step = 1;
  for (int32_t k = x.rank; k-- > 0 && x.strides;) {
    if (x.shape[k] != 1 && x.strides[k] != step) return false;
    step *= std::max<int64_t>(x.shape[k], 1);
  }
  return true;
}

// The tensors of a list or tuple that holds the class's own, if T's are all of them, on the CPU, aligned and
// in one piece. What they tell holds as long as they are not changed.
template <class T>
std::optional<std::vector<Tensor>> tensors(const Table& table, const py::object& list) {
  const py::ssize_t size = PySequence_Fast_GET_SIZE(list.ptr());
  std::vector<Tensor> found(static_cast<size_t>(size));
  for (py::ssize_t i = 0; i < size; ++i) {
    Tensor& each = found[static_cast<size_t>(i)];
    if (table.look(PySequence_Fast_GET_ITEM(list.ptr(), i), &each) != 0) {
      PyErr_Clear();
      return std::nullopt;
    }
    const bool same = each.type.code == kFloat && each.type.bits == 8 * sizeof(T) && each.type.lanes == 1;
    each.data = static_cast<char*>(each.data) + each.offset;
    const bool aligned = reinterpret_cast<uintptr_t>(each.data) % alignof(T) == 0;
    if (!same || each.device.type != kCpu || !aligned || !in_one_piece(each)) return std::nullopt;
  }
  return found;
}

}  // namespace kxfast::dlpack
