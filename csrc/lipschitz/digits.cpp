// Gram matrices from integers.
//
// A is Q_0 + Q_1 + Q_2 (+ Q_3) + R: digits of 8 bits with their weights and a rest of about half of the last
// place. Products of digits are exact in 32 bits over depths of 2048, and their sums are rounded once per
// such depth and weight, in double. Products that matter little are left out, and what they are at most, by
// Frobenius norms of the planes, which are sums of squares, enters the proof. Three stages add
//
// 1. Q_0 Q_0', Q_0 Q_1', Q_0 Q_2', Q_1 Q_1': 2 |Q_1| |Q_2| + |Q_2|^2 is missing,
// 2. Q_1 Q_2', Q_2 Q_2': nothing is,
// 3. Q_0 Q_3', Q_1 Q_3': 2 |Q_2| |Q_3| + |Q_3|^2 is,
//
// and R, with Q_3 before the last stage, is apart: it adds its norm to the end, not twice its product with
// |A| to the square. The norm of a random matrix of 1024 x 4096 is known to 2.5e-4, 7e-6 (4e-6 with four
// digits) and 3e-8 then, for the work of 3, 4.5 and 6.5 products of whole matrices of bytes. Two digits alone
// would leave 1e-3.
//
// Panels of 128 rows by a depth of 2048 stay in the L2 cache while the columns of the triangle pass by: pairs
// of strips of columns are the tasks.
#include "lipschitz/digits.hpp"

#include <algorithm>
#include <cmath>

#include "core/threads.hpp"

namespace kxfast::lipschitz {
namespace {

constexpr int64_t kPanel = 64;     // rows that a Gram matrix is padded to
constexpr int64_t kDigitRows = 4;  // pairs of strips whose digits stay in the L2 cache

constexpr DigitPairs kPairs[Digits::kStages][kGroups] = {
    {{1, {0}, {0}, 0x1p48}, {2, {0, 1}, {1, 0}, 0x1p40}, {3, {0, 1, 2}, {2, 1, 0}, 0x1p32}},
    {{2, {1, 2}, {2, 1}, 0x1p24}, {1, {2}, {2}, 0x1p16}},
    {{2, {0, 3}, {3, 0}, 0x1p24}, {2, {1, 3}, {3, 1}, 0x1p16}}};

}  // namespace

bool digits_fast() {
  return half_products() == HalfProducts::tiles || half_products() == HalfProducts::emulated;
}

template <class T>
Digits::Digits(const T* a, int64_t rows, int64_t cols, int exponent, double largest, int64_t digits, Job& job)
    : digits_(digits),
      size_(std::min(rows, cols)),
      depth_(std::max(rows, cols)),
      strips_((size_ + 2 * kStrip - 1) / (2 * kStrip) * 2),
      along_((depth_ + kAlong - 1) / kAlong),
      block_(std::min(along_, kDigitsAlong)),
      plane_((along_ + block_ - 1) / block_ * strips_ * block_ * kTileBytes),
      tiles_(static_cast<size_t>(2 * digits * plane_)) {
  using Kernel = void (*)(const T*, int64_t, int64_t, int64_t, int64_t, double, const DigitPlanes&, int64_t*);
  const auto kernel = KXFAST_PICK_TILES(Kernel, to_digits);
  const int bits = static_cast<int>(8 * (digits - 1));  // below the first digit
  const double by = std::ldexp(0x7f7f7f00, bits - 24) / largest;
  const int64_t down = rows <= cols ? cols : 1, step = rows <= cols ? 1 : cols;
  const int64_t pieces = (along_ + block_ - 1) / block_;
  Buffer<int64_t> squares(static_cast<size_t>(strips_ * pieces * kDigits));
  const auto task = [&](int64_t i) {
    int64_t* mine = squares.data() + i * kDigits;
    std::fill(mine, mine + kDigits, 0);
    if (!job.advance(0)) return;
    const int64_t strip = i / pieces, row = strip * kStrip, column = i % pieces * block_ * kAlong;
    kernel(a + std::min(row, size_ - 1) * down + column * step, std::clamp<int64_t>(size_ - row, 0, kStrip),
           std::min(depth_ - column, block_ * kAlong), down, step, by,
           planes((i % pieces * strips_ + strip) * block_ * kTileBytes), mine);
  };
  parallel_for(strips_ * pieces, task, depth_ * size_ < (1 << 16) ? 1 : 0);
  unit_ = std::ldexp(1 / by, -exponent);
  for (int64_t d = 0; d < kDigits; ++d) {
    int64_t sum = 0;
    for (int64_t i = 0; i < strips_ * pieces; ++i) sum += squares[static_cast<size_t>(i * kDigits + d)];
    norms_[d] =
        std::ldexp(std::sqrt(static_cast<double>(sum)) * unit_, bits - static_cast<int>(8 * d)) * (1 + 1e-12);
  }
}

DigitPlanes Digits::planes(int64_t offset) {
  return {tiles_.data() + offset, tiles_.data() + digits_ * plane_ + offset, digits_, plane_};
}

double Digits::error(int stages) const {
  const auto beside = [&](int64_t d) { return norms_[d - 1] * norms_[d] * 2 + norms_[d] * norms_[d]; };
  const double whole = norms_[0] + norms_[1] + norms_[2] + norms_[3];
  const double sums = static_cast<double>(4 * kStages * (along_ / block_ + 2));
  return (stages == 1 ? beside(2) : stages == 3 ? beside(3) : 0.0) + 0x1p-52 * sums * whole * whole;
}

double Digits::apart(int stages) const {
  const double rest = 0.501 * std::sqrt(static_cast<double>(size_ * depth_)) * unit_;
  return stages == kStages ? rest : rest + norms_[3];
}

void Digits::add(int stage, Gram& g, Job& job) {
  const int64_t pairs = strips_ / 2;
  if (stage == 0) {
    g.size = size_;
    const int64_t padded = (size_ + kPanel - 1) / kPanel * kPanel;
    g.stride = odd_lines(padded);
    g.entries = Buffer<double>(static_cast<size_t>(padded * g.stride));
  }
  const auto kernel =
      KXFAST_PICK_TILES(void (*)(const DigitBlock&, int64_t, int64_t, int64_t), add_digit_products);
  DigitPairs groups[kGroups];
  int count = 0;
  for (; count < kGroups && kPairs[stage][count].count; ++count) {
    groups[count] = kPairs[stage][count];
    groups[count].weight *= unit_ * unit_ * std::ldexp(1.0, static_cast<int>(16 * (digits_ - kDigits)));
  }
  for (int64_t first = 0; first < pairs; first += kDigitRows)
    for (int64_t k = 0; k < along_; k += block_) {
      const DigitBlock block{planes(k * strips_ * kTileBytes),
                             block_ * kTileBytes,
                             std::min(block_, along_ - k),
                             pairs,
                             groups,
                             count,
                             g.entries.data(),
                             g.stride,
                             stage == 0 && k == 0};
      const auto task = [&](int64_t i) {
        if (job.advance(0)) kernel(block, first, std::min(first + kDigitRows, first + i + 1), first + i);
      };
      parallel_for(pairs - first, task, depth_ * size_ * size_ < (1 << 20) ? 1 : 0);
    }
  g.apart = apart(stage + 1);
  g.frobenius = 0;
  for (int64_t i = 0; i < size_; ++i) g.frobenius += g.entries[static_cast<size_t>(i * g.stride + i)];
  const double wrong = error(stage + 1);
  g.frobenius = (g.frobenius + wrong) * (1 + 0x1p-50 * static_cast<double>(size_));
  g.error = wrong / g.frobenius * (1 + 0x1p-50);
}

template Digits::Digits(const float*, int64_t, int64_t, int, double, int64_t, Job&);
template Digits::Digits(const double*, int64_t, int64_t, int, double, int64_t, Job&);

}  // namespace kxfast::lipschitz
