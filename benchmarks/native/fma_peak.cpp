// How many float multiply-adds one core can do at most: independent sums that never leave the registers.
// bench_conv.py builds it for the instruction set it measures and calls it from as many threads.
#include <chrono>

namespace {
#ifdef __AVX512F__
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif
constexpr int kSums = 12;
typedef float Vector __attribute__((vector_size(4 * kLanes)));
}  // namespace

// Floating point operations per second in this thread, over about `seconds`.
extern "C" double fma_rate(double seconds) {
  Vector sum[kSums] = {}, a, b;
  for (int lane = 0; lane < kLanes; ++lane) a[lane] = 0.5f, b[lane] = 1.0f;
  const auto begin = std::chrono::steady_clock::now();
  for (double rounds = 1;; ++rounds) {
    for (int i = 0; i < 10000; ++i) {
      for (int k = 0; k < kSums; ++k) sum[k] = sum[k] * a + b;  // contracted to one instruction
      asm volatile("" : "+v"(a), "+v"(b));
    }
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    if (passed.count() < seconds) continue;
    for (const Vector& each : sum) asm volatile("" : : "v"(each));
    return rounds * 10000 * kSums * kLanes * 2 / passed.count();
  }
}
