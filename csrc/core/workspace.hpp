// Memory for kernels: 64-byte aligned, not initialised, given back when the owner goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

namespace kxfast {

template <class T>
class Buffer {
  static_assert(std::is_trivial_v<T>, "a Buffer runs no constructors");

 public:
  Buffer() = default;
  explicit Buffer(size_t size) : size_(size) {
    if (size > (SIZE_MAX - 63) / sizeof(T)) throw std::bad_alloc();
    const size_t bytes = (size * sizeof(T) + 63) & ~size_t{63};
    if (bytes && !(data_ = static_cast<T*>(std::aligned_alloc(64, bytes)))) throw std::bad_alloc();
  }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T* release() {
    size_ = 0;
    return std::exchange(data_, nullptr);
  }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace kxfast
