// The Gram matrix of a matrix's shorter side, and what its roundings are at most.
#pragma once

#include "core/job.hpp"
#include "core/workspace.hpp"
#include "lipschitz/kernels.hpp"

namespace kxfast::lipschitz {

// A Gram matrix of 2^-exponent A, but for a part of it whose norm is below `apart`; `error` bounds the norm
// of what it differs from the exact one by, over the squared Frobenius norm.
struct Gram {
  int64_t size = 0, stride = 0;
  Buffer<double> entries;  // upper triangle
  double frobenius = 0;    // at least |A|_F^2
  double error = 0, apart = 0;
};

// run: floats are multiplied and summed as such over that many terms; 0: in doubles.
template <class T>
Gram gram(const T* a, int64_t rows, int64_t cols, int exponent, int64_t run, Job& job);
double gram_error(int64_t depth, int64_t run);

}  // namespace kxfast::lipschitz
