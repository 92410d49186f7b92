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

  __device__ __forceinline__ GateColumns(const Gate<T>& gate, i64 f) : gate_(gate), f_(f) {
    if (within()) gate.biases(of_c_, of_g_, f);
  }
  __device__ __forceinline__ static Groups groups(const Gate<T>& gate, i64 begin) {
    return gate.groups(begin);
  }

  __device__ __forceinline__ void read(Beside& beside, i64 row) const {
    if (within()) beside = gate_.beside(row, f_);
  }
  __device__ __forceinline__ void write(i64 row, const float (&c)[2], const float (&g)[2],
                                        const Beside& beside) const {
    const float with_c[2] = {c[0] + of_c_[0], c[1] + of_c_[1]},
                with_g[2] = {g[0] + of_g_[0], g[1] + of_g_[1]};
    if (within()) gate_.write(row, f_, with_c, with_g, beside);
  }

 private:
  __device__ __forceinline__ bool within() const { return f_ < gate_.skipped.channels; }

  const Gate<T> gate_;
  i64 f_;
  float of_c_[2] = {0, 0}, of_g_[2] = {0, 0};
};

}  // namespace kx::conv

extern "C" __global__ void __launch_bounds__(384, 1) conv_gated(KX_INPUT_PARAMETERS, KX_GATE_PARAMETERS) {
  using namespace kx::conv;
  const Gate<KX_T> gate = KX_GATE;
  convolve<KX_T, false, GateColumns<KX_T>>(KX_INPUT, weight, 2 * channels, counted, channels, gate);
}
KX_ENTRY(conv_gated)
