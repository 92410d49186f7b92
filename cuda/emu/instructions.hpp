// Host bodies of the instructions in ptx.cuh.
#pragma once

#include "builtins.hpp"

namespace kx_emu {

inline void copy_async(void* to, const void* from, unsigned bytes) {
  if (reinterpret_cast<uintptr_t>(to) % bytes || reinterpret_cast<uintptr_t>(from) % bytes)
    fatal("an asynchronous copy of %u bytes from %p to %p is misaligned", bytes, from, to);
  std::memset(to, kPoison, bytes);
  thread->copies.push_back({to, from, bytes, thread->group});
}

// Tile i of `tiles` is made of the rows that lanes 8 i .. 8 i + 7 point at.
inline void load_matrix(uint32_t* result, unsigned tiles, const void* row, bool transposed) {
  if (reinterpret_cast<uintptr_t>(row) % 16) fatal("a row of a matrix at %p is misaligned", row);
  Exchange* const all = collect(Collective::load_matrix, ~0u, &row, sizeof row);
  for (unsigned i = 0; i < tiles; ++i) {
    uint16_t pair[2];
    for (unsigned j = 0; j < 2; ++j) {
      const unsigned r = transposed ? 2 * (thread->lane % 4) + j : thread->lane / 4;
      const unsigned c = transposed ? thread->lane / 4 : 2 * (thread->lane % 4) + j;
      const unsigned char* start;
      std::memcpy(&start, all->data[8 * i + r], sizeof start);
      std::memcpy(&pair[j], start + 2 * c, 2);
    }
    result[i] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
  done(all);
}

inline float from_bf16(uint32_t bits) {
  bits <<= 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline float from_f16(uint32_t bits) {
  const auto half = static_cast<uint16_t>(bits);
  _Float16 x;
  std::memcpy(&x, &half, sizeof x);
  return static_cast<float>(x);
}
inline uint32_t to_f16(float x) {
  const auto half = static_cast<_Float16>(x);
  uint16_t bits;
  std::memcpy(&bits, &half, sizeof bits);
  return bits;
}
inline uint32_t to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return bits >> 16 | 0x40;
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

inline float exp2_fast(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0 : y;
}

// c += a b over the warp; `widen` reads the numbers of 16 bits.
template <class Widen>
void multiply(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Widen widen) {
  uint32_t own[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  Exchange* const all = collect(Collective::multiply, ~0u, own, sizeof own);
  const auto half = [&](unsigned lane, unsigned word, unsigned which) {
    uint32_t pair;
    std::memcpy(&pair, all->data[lane] + 4 * word, 4);
    return widen(pair >> (16 * which) & 0xFFFF);
  };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = thread->lane / 4 + 8 * (i / 2), column = 2 * (thread->lane % 4) + i % 2;
    double sum = static_cast<double>(c[i]);
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned pair = k % 8 / 2;
      sum += static_cast<double>(half(row % 8 * 4 + pair, row / 8 + 2 * (k / 8), k % 2)) *
             static_cast<double>(half(column * 4 + pair, 4 + k / 8, k % 2));
    }
    c[i] = static_cast<float>(sum);
  }
  done(all);
}
inline void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  multiply(c, a, b, [](uint32_t bits) { return from_bf16(bits); });
}
inline void multiply_f16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  multiply(c, a, b, [](uint32_t bits) { return from_f16(bits); });
}

}  // namespace kx_emu
