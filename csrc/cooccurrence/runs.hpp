// Counts in rows as bytes: small, in order, and ready to be merged, written to a file or sent to another
// process.
//
// A run is a sequence of rows that go up, each a header and its cells in the order of their columns: the step
// from the column before (from -1) and the value, both in groups of seven bits, the lowest first. Values are
// integers: counts, or harmonic sums times their common denominator. A cell of text takes about three bytes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace kxfast::cooccurrence {

__extension__ typedef unsigned __int128 Wide;

struct RowHeader {
  uint32_t row, cells;
  uint64_t bytes;  // of the cells
};

// Bytes that grow; memory from malloc.
class Bytes {
 public:
  Bytes() = default;
  Bytes(Bytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        room_(std::exchange(other.room_, 0)) {}
  Bytes& operator=(Bytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(room_, other.room_);
    return *this;
  }
  ~Bytes() { std::free(data_); }

  uint8_t* data() { return data_; }
  size_t size() const { return size_; }
  void set_size(size_t size) { size_ = size; }
  // The end, with room for `more` bytes behind it.
  uint8_t* reserve(size_t more) {
    if (room_ - size_ < more) resize_room(size_ + more + size_ / 2);
    return data_ + size_;
  }
  uint8_t* release() {
    if (size_) resize_room(size_);
    size_ = room_ = 0;
    return std::exchange(data_, nullptr);
  }

 private:
  void resize_room(size_t room) {
    void* moved = std::realloc(data_, room);
    if (!moved) throw std::bad_alloc();
    data_ = static_cast<uint8_t*>(moved);
    room_ = room;
  }
  uint8_t* data_ = nullptr;
  size_t size_ = 0, room_ = 0;
};

template <class Value>
uint8_t* put_number(uint8_t* at, Value value) {
  for (; value >= 128; value >>= 7) *at++ = static_cast<uint8_t>(value | 128);
  *at++ = static_cast<uint8_t>(value);
  return at;
}

template <class Value>
const uint8_t* get_number(const uint8_t* at, Value& value) {
  value = *at & 127;
  for (unsigned shift = 7; *at++ & 128; shift += 7) value |= static_cast<Value>(*at & 127) << shift;
  return at;
}

// Appends a row; cell(k) gives the column and the value of the k-th of `cells` cells.
template <class Cell>
void append_row(Bytes& out, uint32_t row, size_t cells, Cell&& cell) {
  if (cells == 0) return;
  constexpr size_t kStep = 5 + 19;  // the longest cell
  uint8_t* begin = out.reserve(sizeof(RowHeader) + 1024 * kStep);
  size_t bytes = 0;
  const size_t header = out.size();
  out.set_size(header + sizeof(RowHeader));
  begin += sizeof(RowHeader);
  uint8_t* at = begin;
  uint32_t before = UINT32_MAX;
  for (size_t k = 0; k < cells; ++k) {
    if (k % 1024 == 0) {
      bytes += static_cast<size_t>(at - begin);
      out.set_size(out.size() + static_cast<size_t>(at - begin));
      at = begin = out.reserve(1024 * kStep);
    }
    const auto [column, value] = cell(k);
    at = put_number(at, column - before - 1);
    at = put_number(at, value);
    before = column;
  }
  bytes += static_cast<size_t>(at - begin);
  out.set_size(out.size() + static_cast<size_t>(at - begin));
  const RowHeader filled{row, static_cast<uint32_t>(cells), bytes};
  __builtin_memcpy(out.data() + header, &filled, sizeof filled);
}

// visit(column, value) for the cells of a row.
template <class Value, class Visit>
void each_cell(const RowHeader& header, const uint8_t* at, Visit&& visit) {
  uint32_t column = UINT32_MAX;
  for (uint32_t k = 0; k < header.cells; ++k) {
    uint32_t step;
    Value value;
    at = get_number(at, step);
    at = get_number(at, value);
    column += step + 1;
    visit(column, value);
  }
}

}  // namespace kxfast::cooccurrence
