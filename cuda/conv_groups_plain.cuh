// Convolutions without gates on Hopper: the products of conv_groups_tiles.cuh for what conv_plain.cuh is for.
#include "conv_groups_tiles.cuh"

namespace kx::conv {

// Two neighbouring columns of a lane, and the two kN further on.
template <class T>
class PlainColumns {
 public:
  static constexpr int kAcross = 2 * kN;
  struct Beside {
    typename Plain<T>::Beside at[2];
  };

  __device__ __forceinline__ PlainColumns(const Plain<T>& plain, i64 at) : plain_(plain) {
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      within_[g] = at + g * kN < plain.columns;
      at_[g] = within_[g] ? at + g * kN : 0;
      plain.template biases<true>(bias_[g], at_[g]);
    }
  }
  __device__ __forceinline__ static Groups groups(const Plain<T>& plain, i64 begin) {
    return {{begin, begin + kN}, {plain.columns, plain.columns}};
  }

  __device__ __forceinline__ Beside read(i64 row) const {
    return {{plain_.template beside<true>(row, at_[0]), plain_.template beside<true>(row, at_[1])}};
  }
  // Of neighbouring rows, of which `count` are there.
  template <int kCount>
  __device__ __forceinline__ void write(i64 top, i64 count, const Pair<float> (&one)[kCount],
                                        const Pair<float> (&other)[kCount],
                                        const Beside (&beside)[kCount]) const {
#pragma unroll
    for (int r = 0; r < kCount; ++r)
#pragma unroll
      for (int g = 0; g < 2; ++g) {
        float x[2];
#pragma unroll
        for (int j = 0; j < 2; ++j) x[j] = (g ? other[r].at[j] : one[r].at[j]) + bias_[g][j];
        plain_.template write<true>(top + r, at_[g], x, beside[r].at[g], within_[g] && r < count);
      }
  }

 private:
  const Plain<T> plain_;  // a reference would keep it in memory
  bool within_[2];
  i64 at_[2];  // where one must be read
  float bias_[2][2] = {{0, 0}, {0, 0}};
};

}  // namespace kx::conv

extern "C" __global__ void __launch_bounds__(384, 1) conv_plain(KX_PLAIN_PARAMETERS) {
  using namespace kx::conv;
  const Plain<KX_T> plain = KX_PLAIN;
  convolve<KX_T, false, PlainColumns<KX_T>>(KX_INPUT, weight, columns, nullptr, columns, plain);
}
KX_ENTRY(conv_plain)

extern "C" __global__ void __launch_bounds__(384, 1) conv_turned(KX_PLAIN_PARAMETERS) {
  using namespace kx::conv;
  const Plain<KX_T> plain = KX_PLAIN;
  convolve<KX_T, true, PlainColumns<KX_T>>(KX_INPUT, weight, columns, nullptr, columns, plain);
}
KX_ENTRY(conv_turned)
