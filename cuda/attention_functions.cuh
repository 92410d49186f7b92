// What the expressions of users' masks are made of: integers that divide as Python's, indices that stay
// inside.
#pragma once

#include "common.cuh"

namespace kx {

__device__ __forceinline__ i64 floor_quotient(i64 a, i64 b) {
  if (b == 0) return 0;
  const i64 q = a / b;
  return q - (a % b != 0 && (a < 0) != (b < 0));
}
__device__ __forceinline__ i64 floor_rest(i64 a, i64 b) {
  return b == 0 ? 0 : a - floor_quotient(a, b) * b;
}
__device__ __forceinline__ i64 least(i64 a, i64 b) {
  return a < b ? a : b;
}
__device__ __forceinline__ i64 most(i64 a, i64 b) {
  return a < b ? b : a;
}
__device__ __forceinline__ i64 index(i64 at, i64 size) {
  return most(0, least(at < 0 ? at + size : at, size - 1));
}

}  // namespace kx
