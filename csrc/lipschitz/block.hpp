// Directions that follow a weight through its training.
#pragma once

#include <cstdint>

namespace kxfast::lipschitz {

// One step of block iteration with Rayleigh-Ritz for W (rows, cols): `block` (rank, cols), the best direction
// first, is moved in place, and u (rows) set to that of the best one.
template <class T>
void block_step(const T* w, int64_t rows, int64_t cols, int64_t rank, double* block, double* u);

}  // namespace kxfast::lipschitz
