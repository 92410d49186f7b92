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

  __device__ __forceinline__ PlainColumns(const Plain<T>& plain, i64 at) : plain_(plain), at_(at) {
#pragma unroll
    for (int g = 0; g < 2; ++g)
      if (within(g)) plain.biases(bias_[g], at + g * kN);
  }
  __device__ __forceinline__ static Groups groups(const Plain<T>& plain, i64 begin) {
    return {{begin, begin + kN}, {plain.columns, plain.columns}};
  }

  __device__ __forceinline__ void read(Beside& beside, i64 row) const {
#pragma unroll
    for (int g = 0; g < 2; ++g)
      if (within(g)) beside.at[g] = plain_.beside(row, at_ + g * kN);
  }
  __device__ __forceinline__ void write(i64 row, const float (&one)[2], const float (&other)[2],
                                        const Beside& beside) const {
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      const float x[2] = {(g ? other[0] : one[0]) + bias_[g][0], (g ? other[1] : one[1]) + bias_[g][1]};
      if (within(g)) plain_.write(row, at_ + g * kN, x, beside.at[g]);
    }
  }

 private:
  __device__ __forceinline__ bool within(int g) const { return at_ + g * kN < plain_.columns; }

  const Plain<T> plain_;
  i64 at_;
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
