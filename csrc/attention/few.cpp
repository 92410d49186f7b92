// Attention of a few queries of each key head, as in a step of decoding: a task is a run of keys of one key
// head. How long a run is depends on sizes alone, and runs are summed in order, so that results do not depend
// on the number of threads.
#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/problem.hpp"
#include "core/threads.hpp"

namespace kxfast::attention {
namespace {

constexpr int64_t kTasks = 64;     // enough for many cores
constexpr int64_t kLeastRun = 16;  // tiles: 1024 keys

template <class T>
using DecodeRun = void (*)(const Decode<T>&);

// The sums of all runs of one query become its result.
template <class T>
void combine(const T* sums, int64_t runs, int64_t stride, int64_t dv, T* out, T* lse) {
  T top = -std::numeric_limits<T>::infinity(), total = 0;
  for (int64_t i = 0; i < runs; ++i) top = std::max(top, sums[i * stride + dv]);
  std::fill(out, out + dv, T{0});
  for (int64_t i = 0; i < runs; ++i) {
    const T* run = sums + i * stride;
    const T factor = run[dv] == top ? T{1} : std::exp2(run[dv] - top);  // a run without keys has -inf
    total += run[dv + 1] * factor;
    for (int64_t j = 0; j < dv; ++j) out[j] += run[j] * factor;
  }
  for (int64_t j = 0; j < dv && total != 0; ++j) out[j] /= total;
  *lse = total == 0 ? -std::numeric_limits<T>::infinity()
                    : (top + std::log2(total)) * static_cast<T>(0.6931471805599453);
}

}  // namespace

template <class T>
void forward_few(const Problem<T>& x, const Place<T>& out, T* lse) {
  const Sizes& n = x.size;
  const int64_t kv_heads = n.batch * n.key_heads, share = n.heads / n.key_heads, rows = share * n.q_len;
  const int64_t wanted = kv_heads ? (kTasks + kv_heads - 1) / kv_heads : 1;
  const int64_t runs = std::max<int64_t>(1, std::min(wanted, x.tiles() / kLeastRun));
  const int64_t run = (x.tiles() + runs - 1) / runs, stride = n.dv + 2;
  Buffer<T> sums(static_cast<size_t>(kv_heads * runs * rows * stride));
  const auto decode_run = KXFAST_PICK(DecodeRun<T>, decode);
  const auto task = [&](int64_t index) {
    const int64_t kv = index / runs, first = index % runs * run, b = kv / n.key_heads;
    Decode<T> part;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t h = kv % n.key_heads * share + r / n.q_len, query = r % n.q_len;
      part.row[r].q = x.q(b, h, query);
      part.row[r].mask = x.mask->of(b, h, query);
      part.row[r].bias = x.bias_of(b, h, query);
    }
    part.rows = rows, part.d = n.d, part.dv = n.dv, part.k_len = n.k_len, part.scale = x.scale;
    part.first = first, part.last = std::min(first + run, x.tiles());
    part.k = x.k(b, kv % n.key_heads, 0), part.k_row = x.k.row;
    part.v = x.v(b, kv % n.key_heads, 0), part.v_row = x.v.row;
    part.sums = sums.data() + index * rows * stride;
    decode_run(part);
  };
  const double work = static_cast<double>(kv_heads * n.k_len) * static_cast<double>(rows * (n.d + n.dv));
  parallel_for(kv_heads * runs, task, work < 1e6 ? 1 : 0);
  for (int64_t kv = 0; kv < kv_heads; ++kv)
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t h = kv % n.key_heads * share + r / n.q_len;
      combine(sums.data() + (kv * runs * rows + r) * stride, runs, rows * stride, n.dv,
              out(kv / n.key_heads, h, r % n.q_len), lse + kv * rows + r);
    }
}

template void forward_few(const Problem<float>&, const Place<float>&, float*);
template void forward_few(const Problem<double>&, const Place<double>&, double*);

}  // namespace kxfast::attention
