// One dilated gated convolution on Hopper: the products of conv_groups_tiles.cuh, and what conv_gated.cuh
// does with candidates and gates.
#include "conv_gates.cuh"
#include "conv_groups_tiles.cuh"

namespace kx::conv {

// Two neighbouring channels of a lane.
template <class T>
class GateColumns {
 public:
  static constexpr int kAcross = kN;
  using Beside = typename Gate<T>::Beside;

  __device__ __forceinline__ GateColumns(const Gate<T>& gate, i64 f)
      : gate_(gate), within_(f < gate.skipped.channels), f_(within_ ? f : 0) {
    gate.template biases<true>(of_c_, of_g_, f_);
  }
  __device__ __forceinline__ static Groups groups(const Gate<T>& gate, i64 begin) {
    return gate.groups(begin);
  }

  __device__ __forceinline__ Beside read(i64 row) const { return gate_.template beside<true>(row, f_); }
  // Of neighbouring rows, of which `count` are there.
  template <int kCount>
  __device__ __forceinline__ void write(i64 top, i64 count, const Pair<float> (&c)[kCount],
                                        const Pair<float> (&g)[kCount],
                                        const Beside (&beside)[kCount]) const {
    float factor[kCount][2];
#pragma unroll
    for (int r = 0; r < kCount; ++r) factor[r][0] = factor[r][1] = static_cast<float>(gate_.dropout.sign);
    if (gate_.dropout.threshold)
#pragma unroll
      for (int r = 0; r < kCount; ++r) gate_.dropout.factors(factor[r], top + r, f_);
#pragma unroll
    for (int r = 0; r < kCount; ++r) {
      const float with_c[2] = {c[r].at[0] + of_c_[0], c[r].at[1] + of_c_[1]};
      const float with_g[2] = {g[r].at[0] + of_g_[0], g[r].at[1] + of_g_[1]};
      gate_.template write<true>(top + r, f_, with_c, with_g, factor[r], beside[r], within_ && r < count);
    }
  }

 private:
  const Gate<T> gate_;  // a reference would keep it in memory
  bool within_;
  i64 f_;  // where one must be read
  float of_c_[2] = {0, 0}, of_g_[2] = {0, 0};
};

}  // namespace kx::conv

extern "C" __global__ void __launch_bounds__(384, 1) conv_gated(KX_INPUT_PARAMETERS, KX_GATE_PARAMETERS) {
  using namespace kx::conv;
  const Gate<KX_T> gate = KX_GATE;
  convolve<KX_T, false, GateColumns<KX_T>>(KX_INPUT, weight, 2 * channels, counted, channels, gate);
}
KX_ENTRY(conv_gated)
