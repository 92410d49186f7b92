// A matrix in digits of 8 bits, and its Gram matrix from these.
#pragma once

#include "lipschitz/gram.hpp"

namespace kxfast::lipschitz {

// Whether products of bytes are fast here.
bool digits_fast();

class Digits {
 public:
  static constexpr int kStages = 3;

  // Of 2^-exponent A with entries up to `largest`; three digits or four.
  template <class T>
  Digits(const T* a, int64_t rows, int64_t cols, int exponent, double largest, int64_t digits, Job& job);

  int stages() const { return digits_ == kDigits ? kStages : kStages - 1; }
  // What the norms of the Gram matrix and of A - Q (see Gram) are wrong by after so many stages.
  double error(int stages) const;
  double apart(int stages) const;
  void add(int stage, Gram& g, Job& job);  // the stages in order, the first one to an empty matrix

 private:
  DigitPlanes planes(int64_t offset);

  int64_t digits_, size_, depth_, strips_, along_;
  int64_t block_, plane_;  // tiles of a strip that follow one another, then come the next one's; bytes
  double unit_;            // of the last digit
  double norms_[kDigits];  // at least the Frobenius norms of the planes
  Buffer<int8_t> tiles_;
};

}  // namespace kxfast::lipschitz
