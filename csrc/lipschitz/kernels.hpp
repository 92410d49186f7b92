// Kernels of the stem lipschitz, one set per instruction set.
#pragma once

#include <cstdint>

#include "core/isa.hpp"

namespace kxfast::lipschitz {

// Each adds to `t`, where it has one; rows_and_back also sets u = W v, and t += W' u.
#define KXFAST_DECLARE(set)                                                                               \
  namespace set {                                                                                         \
  void rows_times_vector(const float* w, int64_t rows, int64_t cols, const float* v, float* u);           \
  void rows_times_vector(const double* w, int64_t rows, int64_t cols, const double* v, double* u);        \
  void add_weighted_rows(const float* w, int64_t rows, int64_t cols, const float* u, float* t);           \
  void add_weighted_rows(const double* w, int64_t rows, int64_t cols, const double* u, double* t);        \
  void rows_and_back(const float* w, int64_t rows, int64_t cols, const float* v, float* u, float* t);     \
  void rows_and_back(const double* w, int64_t rows, int64_t cols, const double* v, double* u, double* t); \
  }
KXFAST_EACH_ISA(KXFAST_DECLARE)
#undef KXFAST_DECLARE

// `n_iter` steps v = normalize(W'u), u = normalize(W v) in place, then returns sigma = u' W v.
template <class T>
T power_iteration(const T* w, int64_t rows, int64_t cols, T* u, T* v, int64_t n_iter, T eps, int threads);

}  // namespace kxfast::lipschitz
