// An array seen by a kernel: where it begins, its sizes, and its strides in elements.
#pragma once

#include <cstdint>

namespace kxfast {

template <class T, int N>
struct View {
  T* data;
  int64_t size[N];
  int64_t stride[N];

  template <class... Index>
  T& operator()(Index... index) const {
    static_assert(sizeof...(Index) == N, "one index per dimension");
    const int64_t at[N] = {static_cast<int64_t>(index)...};
    int64_t offset = 0;
    for (int d = 0; d < N; ++d) offset += at[d] * stride[d];
    return data[offset];
  }
  int64_t count() const {
    int64_t product = 1;
    for (int d = 0; d < N; ++d) product *= size[d];
    return product;
  }
};

}  // namespace kxfast
