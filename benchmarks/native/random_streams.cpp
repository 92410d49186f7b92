// Which generator for streams keyed by (seed, index)? Prints nanoseconds per uniform double and per new
// stream.
//
// g++ -O3 -march=x86-64-v3 -std=c++17 -I csrc benchmarks/native/random_streams.cpp -o build/random_streams
// build/random_streams
#include <chrono>
#include <cstdio>

#include "core/random.hpp"

template <class Draw>
static double nanoseconds(const char* name, Draw draw) {
  constexpr int kDraws = 50'000'000;
  double best = 1e9, sum = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kDraws; ++i) sum += draw(i);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    if (took.count() / kDraws < best) best = took.count() / kDraws;
  }
  std::printf("%-44s %6.2f ns   (mean %.4f)\n", name, best, sum / (5.0 * kDraws));
  return best;
}

int main() {
  using namespace kxfast;
  Stream stream(1, 2);
  nanoseconds("xoshiro256++, one stream", [&](int) { return stream.uniform(); });
  nanoseconds("Philox4x32-10, two doubles a block", [part = Philox(1, 2, 0)](int i) mutable {
    if (!(i & 1)) part = Philox(1, 2, static_cast<uint64_t>(i >> 1));
    return unit(part.pair(i & 1));
  });
  nanoseconds("a new xoshiro stream and its first double",
              [](int i) { return Stream(1, static_cast<uint64_t>(i)).uniform(); });
  nanoseconds("exponential by -log", [&](int) { return stream.exponential(); });
}
