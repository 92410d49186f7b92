// Products of matrices of floats in tiles of bfloat16, as exact as floats.
#pragma once

#include <cstdint>

namespace kxfast::linear {

// Number (row, k) is data[row * down + k * along]; one of the two strides is 1.
struct Matrix {
  const float* data;
  int64_t rows, depth, down, along;
};

// out (a.rows, b.rows) = a b' + bias
void multiply(const Matrix& a, const Matrix& b, const float* bias, float* out);

}  // namespace kxfast::linear
