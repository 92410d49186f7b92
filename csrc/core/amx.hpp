// Eight tiles of 16 rows of 64 bytes, and sums of products of bfloat16 or bytes in them: the matrix extension
// AMX, or the same in plain C++ where this header is compiled without it.
//
// Tiles are named by numbers known to the compiler; `configure` says how many rows and bytes of each are used
// and clears all, so it comes before anything else and not within a sum. A product multiplies rows of 2 K
// numbers with K rows of pairs: what stands together in a pair of the second factor is what is added up
// first. Of bytes, with signs, four stand together, and their sums are integers of 32 bits that wrap around.
//
// The plain body does what the manual says, bit by bit: the products of first and of second numbers of all
// pairs are summed apart, by fused multiply-adds that round to nearest and take denormal numbers for zeros,
// and both sums are added to what was there. It throws std::logic_error where the processor would fault (in
// a parallel loop this ends the program, as the fault would). It is there for tests, on any machine.
//
// The other body is assembly: the intrinsics are macros that want a literal for a tile, and that of GCC 12
// for `configure` reads 8 bytes of 64, as the compiler sees it, so that the rest is optimised away.
#pragma once

#include <cstdint>
#include <cstring>

namespace kxfast::matrix {

// What a processor takes as its configuration.
struct alignas(64) Shapes {
  uint8_t palette, start, reserved[14];
  uint16_t bytes[16];  // of a row of each tile
  uint8_t rows[16];
};
static_assert(sizeof(Shapes) == 64);

constexpr int kTiles = 8, kRows = 16, kRowBytes = 64;

[[noreturn]] void fault(const char* what);  // throws std::logic_error

namespace {

constexpr Shapes whole_tiles() {
  Shapes shapes{};
  shapes.palette = 1;
  for (int i = 0; i < kTiles; ++i) shapes.bytes[i] = kRowBytes, shapes.rows[i] = kRows;
  return shapes;
}

#if defined(__AMX_BF16__) && defined(__AMX_INT8__) && defined(__AMX_TILE__)
class Tiles {
 public:
  void configure(const Shapes& shapes) { asm volatile("ldtilecfg %0" ::"m"(shapes)); }
  void release() { asm volatile("tilerelease"); }
  template <int TILE>
  void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(TILE));
  }
  // Rows `stride` bytes apart; a stride of 0 repeats one row.
  template <int TILE>
  void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(TILE) : "memory");
  }
  template <int TILE>
  void store(void* to, int64_t stride) const {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(TILE) : "memory");
  }
  // SUM += A B
  template <int SUM, int A, int B>
  void multiply() {
    static_assert(SUM != A && SUM != B && A != B);
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
  }
  template <int SUM, int A, int B>
  void multiply_bytes() {
    static_assert(SUM != A && SUM != B && A != B);
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
  }
};
#else
class Tiles {
 public:
  void configure(const Shapes& shapes) {
    if (shapes.palette != 1 || shapes.start != 0) fault("palette must be 1 and the first row 0");
    for (int i = 0; i < 16; ++i) {
      const bool used = shapes.rows[i] || shapes.bytes[i];
      if (used && (i >= kTiles || !shapes.rows[i] || !shapes.bytes[i] || shapes.rows[i] > kRows ||
                   shapes.bytes[i] > kRowBytes))
        fault("a tile must have 1 to 16 rows of 1 to 64 bytes, and its number be below 8");
    }
    shapes_ = shapes;
    std::memset(data_, 0, sizeof data_);
  }
  void release() { shapes_ = Shapes{}; }
  template <int TILE>
  void zero() {
    used(TILE);
    std::memset(data_[TILE], 0, sizeof data_[TILE]);
  }
  template <int TILE>
  void load(const void* from, int64_t stride) {
    used(TILE);
    std::memset(data_[TILE], 0, sizeof data_[TILE]);
    for (int i = 0; i < shapes_.rows[TILE]; ++i)
      std::memcpy(data_[TILE][i], static_cast<const char*>(from) + i * stride, shapes_.bytes[TILE]);
  }
  template <int TILE>
  void store(void* to, int64_t stride) const {
    used(TILE);
    for (int i = 0; i < shapes_.rows[TILE]; ++i)
      std::memcpy(static_cast<char*>(to) + i * stride, data_[TILE][i], shapes_.bytes[TILE]);
  }
  template <int SUM, int A, int B>
  void multiply() {
    static_assert(SUM != A && SUM != B && A != B);
    matching(SUM, A, B);
    const int rows = shapes_.rows[SUM], columns = shapes_.bytes[SUM] / 4, depth = shapes_.bytes[A] / 4;
    for (int m = 0; m < rows; ++m)
      for (int n = 0; n < columns; ++n) {
        float first = 0, second = 0;
        for (int k = 0; k < depth; ++k) {
          first = add_product(number(A, m, 2 * k), number(B, k, 2 * n), first);
          second = add_product(number(A, m, 2 * k + 1), number(B, k, 2 * n + 1), second);
        }
        float sum;
        std::memcpy(&sum, data_[SUM][m] + 4 * n, 4);
        sum = normal(normal(sum) + normal(first + second));
        std::memcpy(data_[SUM][m] + 4 * n, &sum, 4);
      }
  }
  template <int SUM, int A, int B>
  void multiply_bytes() {
    static_assert(SUM != A && SUM != B && A != B);
    matching(SUM, A, B);
    for (int m = 0; m < shapes_.rows[SUM]; ++m)
      for (int n = 0; n < shapes_.bytes[SUM] / 4; ++n) {
        uint32_t sum;  // wraps around
        std::memcpy(&sum, data_[SUM][m] + 4 * n, 4);
        for (int k = 0; k < shapes_.bytes[A]; ++k)
          sum += static_cast<uint32_t>(byte(A, m, k) * byte(B, k / 4, 4 * n + k % 4));
        std::memcpy(data_[SUM][m] + 4 * n, &sum, 4);
      }
  }

 private:
  void matching(int sum, int a, int b) const {
    used(sum), used(a), used(b);
    if (shapes_.bytes[sum] % 4 || shapes_.bytes[a] % 4 || shapes_.bytes[b] != shapes_.bytes[sum] ||
        shapes_.rows[a] != shapes_.rows[sum] || shapes_.rows[b] != shapes_.bytes[a] / 4)
      fault("a product needs tiles of m x n, m x k and k x n words");
  }
  int byte(int tile, int row, int i) const { return static_cast<int8_t>(data_[tile][row][i]); }
  void used(int tile) const {
    if (!shapes_.rows[tile]) fault("a tile must be configured before it is used");
  }
  float number(int tile, int row, int i) const {  // of bfloat16, the upper half of a float
    uint16_t half;
    std::memcpy(&half, data_[tile][row] + 2 * i, 2);
    const uint32_t bits = uint32_t{half} << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return normal(value);
  }
  static float normal(float v) { return __builtin_fabsf(v) < 0x1p-126f ? __builtin_copysignf(0, v) : v; }
  static float add_product(float a, float b, float sum) { return normal(__builtin_fmaf(a, b, sum)); }

  Shapes shapes_{};
  unsigned char data_[kTiles][kRows][kRowBytes];
};
#endif

}  // namespace
}  // namespace kxfast::matrix
