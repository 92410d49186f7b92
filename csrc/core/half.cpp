// Whole numbers stand for floats throughout and nothing branches, so that the compiler makes vectors of it;
// memory is the limit.
#include "core/half.hpp"

#include <algorithm>
#include <cstring>

#include "core/threads.hpp"

namespace kxfast {
namespace {

constexpr int64_t kBlock = int64_t{1} << 15;
constexpr uint32_t kInfinity = 0x7f800000;

inline float as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline uint32_t as_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

inline float from_bfloat16(uint16_t x) {
  return as_float(uint32_t{x} << 16);
}
inline uint16_t to_bfloat16(float x) {
  const uint32_t bits = as_bits(x), nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const bool nan = (bits & 0x7fffffff) > kInfinity;
  return static_cast<uint16_t>(nan ? (bits >> 16 | 0x40) : nearest);
}

// The exponent is moved by a multiplication, which is exact for subnormal numbers too.
inline float from_float16(uint16_t x) {
  const uint32_t size = as_bits(as_float((x & uint32_t{0x7fff}) << 13) * 0x1p112f);
  const uint32_t strange = (x & 0x7c00) == 0x7c00 ? kInfinity : 0;
  return as_float(size | strange | ((x & uint32_t{0x8000}) << 16));
}
inline uint16_t to_float16(float x) {
  const uint32_t bits = as_bits(x), size = bits & 0x7fffffff;
  const uint32_t small =
      as_bits(as_float(size) + 0.5f) - as_bits(0.5f);  // the sum rounds to multiples of 2^-24
  const uint32_t normal = (size + 0xc8000fff + ((size >> 13) & 1)) >> 13;
  const uint32_t strange = size > kInfinity ? 0x7e00 : 0x7c00;
  const uint32_t result = size < 0x38800000 ? small : size < 0x477ff000 ? normal : strange;
  return static_cast<uint16_t>(result | ((bits >> 16) & 0x8000));
}

template <class From, class To, class Convert>
void each(const From* from, int64_t count, To* to, Convert convert) {
  const auto task = [&](int64_t block) {
    const int64_t end = std::min(count, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; ++i) to[i] = convert(from[i]);
  };
  parallel_for((count + kBlock - 1) / kBlock, task);
}

}  // namespace

void widen(Half kind, const uint16_t* from, int64_t count, float* to) {
  if (kind == Half::bfloat16)
    each(from, count, to, [](uint16_t x) { return from_bfloat16(x); });
  else
    each(from, count, to, [](uint16_t x) { return from_float16(x); });
}

void narrow(Half kind, const float* from, int64_t count, uint16_t* to) {
  if (kind == Half::bfloat16)
    each(from, count, to, [](float x) { return to_bfloat16(x); });
  else
    each(from, count, to, [](float x) { return to_float16(x); });
}

}  // namespace kxfast
