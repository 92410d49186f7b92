// Random streams keyed by (seed, index): stream i of a seed is the same whatever thread runs it and whatever
// ran before. Each stream is a xoshiro256++ generator (Blackman and Vigna 2021) whose 256 bits of state come
// from two Philox4x32-10 blocks (Salmon et al. 2011) of counter (index, part) under key seed: the key
// schedule is the counter based one, the inner loop the cheap one. Two of 2^64 streams overlap within 2^64
// draws with probability 2^-64. Drawing straight from Philox lost: benchmarks/native/random_streams.cpp
// prints the figures.
#pragma once

#include <cstdint>

#include "core/log.hpp"

namespace kxfast {

struct Philox {
  uint32_t word[4];

  Philox(uint64_t key, uint64_t index, uint64_t part) {
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    word[0] = static_cast<uint32_t>(part), word[1] = static_cast<uint32_t>(part >> 32);
    word[2] = static_cast<uint32_t>(index), word[3] = static_cast<uint32_t>(index >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const uint64_t a = uint64_t{0xD2511F53u} * word[0], b = uint64_t{0xCD9E8D57u} * word[2];
      const uint32_t w1 = word[1], w3 = word[3];
      word[0] = static_cast<uint32_t>(b >> 32) ^ w1 ^ k0;
      word[1] = static_cast<uint32_t>(b);
      word[2] = static_cast<uint32_t>(a >> 32) ^ w3 ^ k1;
      word[3] = static_cast<uint32_t>(a);
    }
  }
  uint64_t pair(int i) const { return uint64_t{word[2 * i + 1]} << 32 | word[2 * i]; }
};

// The high 53 bits as a double, in [0, 1) and in (0, 1].
inline double unit(uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}
inline double unit_open(uint64_t bits) {
  return static_cast<double>((bits >> 11) + 1) * 0x1p-53;
}

class Stream {
 public:
  Stream(uint64_t seed, uint64_t index) {
    const Philox low(seed, index, 0), high(seed, index, 1);
    s_[0] = low.pair(0), s_[1] = low.pair(1), s_[2] = high.pair(0), s_[3] = high.pair(1);
    if (!(s_[0] | s_[1] | s_[2] | s_[3])) s_[0] = 1;
  }

  uint64_t bits() {
    const uint64_t sum = s_[0] + s_[3], result = (sum << 23 | sum >> 41) + s_[0], shifted = s_[1] << 17;
    s_[2] ^= s_[0];
    s_[3] ^= s_[1];
    s_[1] ^= s_[2];
    s_[0] ^= s_[3];
    s_[2] ^= shifted;
    s_[3] = s_[3] << 45 | s_[3] >> 19;
    return result;
  }
  double uniform() { return unit(bits()); }                         // [0, 1)
  double exponential() { return -log_of_unit(unit_open(bits())); }  // mean 1; never infinite
  uint64_t word(int i) const { return s_[i]; }                      // of the state

 private:
  uint64_t s_[4];
};

}  // namespace kxfast
