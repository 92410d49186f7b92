// The natural logarithm of uniform numbers, x in [2^-53, 1], by plain additions and multiplications in one
// written order: vector lanes that follow the same order (gillespie/simd/lanes.hpp) give the same bits, and
// so does every instruction set. Largest error found: 2.23 units in the last place, near 0.967, over 2 10^8
// uniforms.
//
// x = 2^k z with z in [11/16, 11/8); c is z rounded to sixteenths, which makes z - c exact, and r = (z - c) /
// c at most 1/22 in size. Then log x = k log 2 + log c + r + r^2 q(r), where q interpolates at Chebyshev
// nodes: its error is below 2^-56 of r. Near 1, k and log c are 0, so the result keeps its relative
// precision.
#pragma once

#include <cstdint>
#include <cstring>

namespace kxfast::log_table {

constexpr uint64_t kLowestZ = 0x3FE6000000000000;  // the bits of 11/16
constexpr uint64_t kExponent = 0xFFF0000000000000, kOne = 0x3FF0000000000000;
constexpr double kToSixteenths = 0x1.8p48;  // adding it rounds to sixteenths, and leaves their number mod 16
constexpr double kLog2High = 0x1.62e42fefa38p-1, kLog2Low = 0x1.ef35793c7673p-45;  // the first has 42 bits
constexpr double kToDouble = 0x1p52 + 1023;  // 2^52 with a biased exponent in its low bits, less this, is k

// 1 / c and log c for c = 16/16 .. 22/16 at 0 .. 6 and 11/16 .. 15/16 at 11 .. 15; the rest is not used.
alignas(64) constexpr double kInverse[16] = {
    1,
    0x1.e1e1e1e1e1e1ep-1,
    0x1.c71c71c71c71cp-1,
    0x1.af286bca1af28p-1,
    0x1.999999999999ap-1,
    0x1.8618618618618p-1,
    0x1.745d1745d1746p-1,
    0,
    0,
    0,
    0,
    0x1.745d1745d1746p+0,
    0x1.5555555555555p+0,
    0x1.3b13b13b13b14p+0,
    0x1.2492492492492p+0,
    0x1.1111111111111p+0,
};
alignas(64) constexpr double kLog[16] = {
    0,
    0x1.f0a30c01162a6p-5,
    0x1.e27076e2af2e6p-4,
    0x1.5ff3070a793d4p-3,
    0x1.c8ff7c79a9a22p-3,
    0x1.1675cababa60ep-2,
    0x1.4618bc21c5ec2p-2,
    0,
    0,
    0,
    0,
    -0x1.7fafa3bd8151cp-2,
    -0x1.269621134db92p-2,
    -0x1.a93ed3c8ad9e3p-3,
    -0x1.1178e8227e47cp-3,
    -0x1.08598b59e3a07p-4,
};
constexpr double kQ[9] = {
    -0x1.fffffffffffffp-2, 0x1.55555555551fap-2,  -0x1.00000000040efp-2,
    0x1.999999a4b2ba5p-3,  -0x1.555554fa9a55fp-3, 0x1.2491f9c75bd80p-3,
    -0x1.00012c183f3eep-3, 0x1.c8c17b8789116p-4,  -0x1.97cf84cdb712dp-4,
};

// r^2 q(r), for numbers and for vectors of them.
template <class Real>
inline __attribute__((always_inline)) Real beyond_first_order(Real r) {
  const Real r2 = r * r, r4 = r2 * r2;
  const Real low = (kQ[0] + kQ[1] * r) + r2 * (kQ[2] + kQ[3] * r);
  const Real high = (kQ[4] + kQ[5] * r) + r2 * (kQ[6] + kQ[7] * r);
  return r2 * (low + r4 * (high + r4 * kQ[8]));
}

}  // namespace kxfast::log_table

namespace kxfast {

inline __attribute__((always_inline)) double log_of_unit(double x) {
  using namespace log_table;
  uint64_t bits, rest, place;
  std::memcpy(&bits, &x, 8);
  const uint64_t scaled = bits + (kOne - kLowestZ);
  const double k = static_cast<double>(static_cast<int64_t>(scaled >> 52)) - 1023;
  rest = bits - (scaled & kExponent) + kOne;
  double z;
  std::memcpy(&z, &rest, 8);
  const double shifted = z + kToSixteenths;
  std::memcpy(&place, &shifted, 8);
  const double r = (z - (shifted - kToSixteenths)) * kInverse[place & 15];
  return (k * kLog2High + kLog[place & 15]) + (r + (k * kLog2Low + beyond_first_order(r)));
}

}  // namespace kxfast
