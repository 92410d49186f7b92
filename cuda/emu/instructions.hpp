// Host bodies of the instructions in ptx.cuh.
#pragma once

#include "barriers.hpp"
#include "builtins.hpp"

namespace kx_emu {

inline void copy_async(void* to, const void* from, unsigned bytes) {
  if (reinterpret_cast<uintptr_t>(to) % bytes || reinterpret_cast<uintptr_t>(from) % bytes)
    fatal("an asynchronous copy of %u bytes from %p to %p is misaligned", bytes, from, to);
  std::memset(to, kPoison, bytes);
  note_unpublished(to);
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

inline void collect_warp() {
  const char nothing = 0;
  done(collect(Collective::group, ~0u, &nothing, 1));
}

// Products of a warp group: a thread carries out its share when it waits. What a factor has in registers is
// what it had at the start; tiles must be there from then on, and stay as they are.
inline void begin_products() {
  collect_warp();
  thread->begun = true;
}
inline void commit_products() {
  collect_warp();
  thread->begun = false, ++thread->product_group;
}
// Where number k of depth of row (or, turned, column) `at` of a factor lies in shared memory.
inline unsigned place_of(const Product& product, unsigned which, unsigned at, unsigned k) {
  const uint64_t descriptor = product.factor[which];
  const unsigned begin = (descriptor & 0x3FFF) * 16, panels = (descriptor >> 16 & 0x3FFF) * 16;
  const unsigned eight_rows = (descriptor >> 32 & 0x3FFF) * 16;
  const unsigned place = product.turned[which]
                             ? begin + at / 64 * panels + at % 64 * 2 + k / 8 * eight_rows + k % 8 * 128
                             : begin + at / 8 * eight_rows + at % 8 * 128 + 2 * k;
  return place ^ (place >> 7 & 7) << 4;
}
inline uint16_t bits_at(unsigned place) {
  uint16_t bits;
  std::memcpy(&bits, shared_bytes(place + 2) + place, 2);
  return bits;
}
// Its 16 numbers of depth.
inline void read_tile(double (&to)[16], const Product& product, unsigned which, unsigned at) {
  for (unsigned k = 0; k < 16; ++k) {
    const uint16_t bits = bits_at(place_of(product, which, at, k));
    to[k] = static_cast<double>(product.brain ? from_bf16(bits) : from_f16(bits));
  }
}

// Calls watch(which, k, place) for a row of each factor in shared memory; a warp group sees to all of them.
template <class Watch>
void for_watched(const Product& product, Watch watch) {
  const unsigned own = thread->warp % 4 * kWarp + thread->lane;
  for (unsigned which = product.in_registers; which < 2; ++which)
    for (unsigned k = 0; k < 16; ++k)
      watch(which, k, place_of(product, which, own % (which ? 8 * product.tiles : 64), k));
}

inline void multiply_group(float* c, Product product) {
  if (!thread->begun) fatal("a product of a warp group does not come after its begin");
  for (unsigned i = product.in_registers; i < 2; ++i)
    if ((product.factor[i] & 0x3FFF) * 16 % 1024 >= (product.turned[i] ? 1 : 128))
      fatal("a tile of a warp group's product is misaligned");
  collect_warp();
  product.sums = c, product.group = thread->product_group;
  for_watched(product, [&](unsigned which, unsigned k, unsigned place) {
    product.seen[which][k] = bits_at(place);
    if (const unsigned by = block->copied_by[place / 16])
      fatal("a warp group's product begins with what thread %u has copied and not published", by - 1);
  });
  const unsigned count = 4 * product.tiles;
  const auto held = [&](const Pending& each) { return each.sums == c; };
  std::vector<Pending>& pending = thread->pending;
  if (std::none_of(pending.begin(), pending.end(), held)) pending.push_back({c, {c, c + count}});
  std::fill(c, c + count, std::nanf(""));
  thread->products.push_back(product);
}

// A thread's share of a product, added to what it goes to.
inline void carry_out(const Product& product, float* sums) {
  for_watched(product, [&](unsigned which, unsigned k, unsigned place) {
    if (bits_at(place) != product.seen[which][k])
      fatal("a tile changes while a warp group's product is on its way");
  });
  double left[2][16], right[16];
  for (unsigned i = 0; i < 2; ++i) {
    if (!product.in_registers) {
      read_tile(left[i], product, 0, thread->warp % 4 * 16 + thread->lane / 4 + 8 * i);
      continue;
    }
    Exchange* const all = collect(Collective::multiply, ~0u, product.registers, sizeof product.registers);
    for (unsigned k = 0; k < 16; ++k) {
      uint32_t pair;
      std::memcpy(&pair, all->data[thread->lane / 4 * 4 + k % 8 / 2] + 4 * (i + 2 * (k / 8)), 4);
      const uint32_t bits = pair >> (16 * (k % 2)) & 0xFFFF;
      left[i][k] = static_cast<double>(product.brain ? from_bf16(bits) : from_f16(bits));
    }
    done(all);
  }
  for (unsigned n = 0; n < product.tiles; ++n)
    for (unsigned j = 0; j < 2; ++j) {
      read_tile(right, product, 1, n * 8 + thread->lane % 4 * 2 + j);
      for (unsigned i = 0; i < 2; ++i) {
        double sum = product.adds ? static_cast<double>(sums[4 * n + 2 * i + j]) : 0;
        for (unsigned k = 0; k < 16; ++k) sum += left[i][k] * right[k];
        sums[4 * n + 2 * i + j] = static_cast<float>(sum);
      }
    }
}
inline void finish_products(unsigned most) {
  collect_warp();
  std::vector<Product> left;
  for (const Product& each : thread->products) {
    if (each.group + most >= thread->product_group) {
      left.push_back(each);
      continue;
    }
    for (Pending& one : thread->pending)
      if (one.sums == each.sums) carry_out(each, one.kept.data());
  }
  thread->products = left;
  std::vector<Pending> waiting;
  for (const Pending& one : thread->pending) {
    const auto same = [&](const Product& each) { return each.sums == one.sums; };
    if (std::any_of(left.begin(), left.end(), same))
      waiting.push_back(one);
    else
      std::copy(one.kept.begin(), one.kept.end(), one.sums);
  }
  thread->pending = waiting;
}

}  // namespace kx_emu
