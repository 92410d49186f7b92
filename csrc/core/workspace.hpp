// Memory for kernels: 64-byte aligned, not initialised, given back when the owner goes.
//
// Up to 128 MB of blocks that were given back wait to be taken again by any thread: fresh pages of the system
// cost as much as a small layer (1000 page faults, 1.9 ms of 4.8, for gradients of a batch of 8 x 256 x 128).
// New ones take the places of old ones: sizes that no call asks for any more do not stay.
// Large blocks ask for pages of 2 MB, as NumPy's do.
// No lock is held, so that a fork at any time leaves a child that works.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

namespace kxfast {

void* take_memory(size_t bytes);  // throws std::bad_alloc
void give_memory(void* block) noexcept;

template <class T>
class Buffer {
  static_assert(std::is_trivial_v<T>, "a Buffer runs no constructors");

 public:
  Buffer() = default;
  explicit Buffer(size_t size) : size_(size) {
    if (size > (SIZE_MAX - 63) / sizeof(T)) throw std::bad_alloc();
    if (size) data_ = static_cast<T*>(take_memory(size * sizeof(T)));
  }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { give_memory(data_); }

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

// Memory of one of the places that threads of a loop work in: mostly the block that the place had in the loop
// before, which its thread's cache still holds. Pieces are taken from it one after another, 64-byte aligned.
class Scratch {
 public:
  template <class T>
  static constexpr size_t space(int64_t count) {
    return (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
  }

  Scratch(size_t place, size_t bytes);  // throws std::bad_alloc
  Scratch(Scratch&& other) noexcept
      : place_(other.place_), block_(std::exchange(other.block_, nullptr)), next_(other.next_) {}
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch();

  template <class T>
  T* take(int64_t count) {
    return reinterpret_cast<T*>(std::exchange(next_, next_ + space<T>(count)));
  }

 private:
  const size_t place_;
  char* block_;
  char* next_;
};

}  // namespace kxfast
