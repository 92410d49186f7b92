// Attention, backward: a task is a run of tiles of one key head, with all queries of the heads that share it,
// in order. Runs add to dq in parts of their own, which are summed in order of the runs. How many runs there
// are depends on sizes alone, so that results do not depend on the number of threads.
#include <algorithm>
#include <cstring>

#include "attention/problem.hpp"
#include "core/threads.hpp"

namespace kxfast::attention {
namespace {

constexpr int64_t kTasks = 64;    // enough for many cores
constexpr int64_t kLeastRun = 8;  // tiles: below it, parts of dq would cost more than they gain

// By bits, since sums of floats keep their order and make no vectors.
inline bool finite(const float* x, int64_t count) {
  uint32_t strange = 0, bits;
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(&bits, x + i, sizeof bits);
    strange |= (bits & 0x7f800000) == 0x7f800000;
  }
  return strange == 0;
}
inline bool finite(const double* x, int64_t count) {
  uint64_t strange = 0, bits;
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(&bits, x + i, sizeof bits);
    strange |= (bits & 0x7ff0000000000000) == 0x7ff0000000000000;
  }
  return strange == 0;
}

template <class T>
using AddGradients = void (*)(const Backward<T>&, int64_t, bool);
template <class T>
using RowShares = void (*)(const T*, const T*, const T*, int64_t, int64_t, T*, T*);

template <class T>
class Call {
 public:
  Call(const Problem<T>& x, const Result<T>& given, const Gradients<T>& made)
      : x_(x),
        n_(x.size),
        made_(made),
        kv_heads_(n_.batch * n_.key_heads),
        queries_(n_.batch * n_.heads * n_.q_len),
        q_(of_queries(x.q, n_.d)),
        k_(of_keys(x.k, n_.d)),
        dout_(of_queries(given.dout, n_.dv)),
        keys_(packed(of_keys(x.k, n_.d))),
        values_(packed(of_keys(x.v, n_.dv))),
        share_(static_cast<size_t>(queries_)),
        lse_(static_cast<size_t>(queries_)),
        padded_rows_(groups_of(n_.q_len) * kGroup) {
    const int64_t wanted = std::max<int64_t>(1, kv_heads_ ? kTasks / kv_heads_ : 1);
    const int64_t runs = std::max<int64_t>(1, std::min(wanted, x.tiles() / kLeastRun));
    run_ = std::max<int64_t>(1, (x.tiles() + runs - 1) / runs);
    runs_ = std::max<int64_t>(1, (x.tiles() + run_ - 1) / run_);
    part_ = n_.batch * n_.heads * padded_rows_ * q_.width();
    dq_parts_ = Buffer<T>(static_cast<size_t>(runs_ * part_));
    const auto shares = KXFAST_PICK(RowShares<T>, row_shares);
    constexpr int64_t kRows = 256;
    const auto some = [&](int64_t row, int64_t from, int64_t count) {
      shares(given.dout + from * n_.dv, given.out + from * n_.dv, given.lse + from, count, n_.dv,
             share_.data() + row, lse_.data() + row);
    };
    const auto task = [&](int64_t index) {
      const int64_t row = index * kRows, count = std::min(kRows, queries_ - row);
      if (!x.order.places) return some(row, row, count);
      for (int64_t r = row; r < row + count; ++r) some(r, place(r), 1);
    };
    parallel_for((queries_ + kRows - 1) / kRows, task);
  }

  void compute() {
    const auto task = [&](int64_t index) {
      const int64_t kv = index % kv_heads_, run = runs_ - 1 - index / kv_heads_;
      if (!run_of_tiles(kv, run, false)) run_of_tiles(kv, run, true);
    };
    parallel_for(kv_heads_ * runs_, task);
    sum_dq();
  }

 private:
  Heads<T> of_queries(const T* x, int64_t columns) const {
    return {x, n_.batch, n_.heads, n_.q_len, columns, x_.order};
  }
  Heads<T> of_keys(const T* x, int64_t columns) const {
    return {x, n_.batch, n_.key_heads, n_.k_len, columns, x_.order};
  }
  // Where a query of all, in order, stands.
  int64_t place(int64_t r) const {
    return r / n_.q_len * n_.q_len + x_.order(r / n_.q_len / n_.heads, r % n_.q_len);
  }

  // False if a result is not finite.
  bool run_of_tiles(int64_t kv, int64_t run, bool selected) {
    const int64_t share = n_.heads / n_.key_heads, first_head = kv * share;
    const int64_t d = q_.width(), dv = dout_.width(), dq_size = share * padded_rows_ * d;
    T* dq = dq_parts_.data() + run * part_ + first_head * padded_rows_ * d;
    std::fill(dq, dq + dq_size, T{0});
    const int64_t sums_size = kTileRows * (d + dv);
    Buffer<T> memory(static_cast<size_t>(sums_size + backward_work()));
    bool good = true;
    for (int64_t tile = run * run_; tile < std::min(x_.tiles(), (run + 1) * run_); ++tile) {
      T *dk = memory.data(), *dv_sum = dk + kTileRows * d;
      std::fill(dk, dk + sums_size, T{0});
      for (int64_t i = 0; i < share; ++i) {
        Backward<T> head = head_of(kv, first_head + i);
        head.dq = dq + i * padded_rows_ * d, head.dk = dk, head.dv_sum = dv_sum, head.work = dk + sums_size;
        add_gradients_(head, tile, selected);
      }
      good &= write(dk, d, n_.d, x_.scale, kv, tile, made_.dk) &
              write(dv_sum, dv, n_.dv, T{1}, kv, tile, made_.dv);
    }
    return good && finite(dq, dq_size);
  }

  Backward<T> head_of(int64_t kv, int64_t head) const {
    const int64_t b = head / n_.heads, h = head % n_.heads, row = head * n_.q_len;
    Backward<T> x;
    x.q = q_.data() + row * q_.width(), x.q_row = x.d_row = q_.width();
    x.rows = n_.q_len, x.d = n_.d, x.dv = n_.dv, x.k_len = n_.k_len;
    x.keys = keys_.data() + kv * x_.tiles() * kTile * n_.d;
    x.mask = x_.mask->of(b, h, 0), x.bias = x_.bias_of(b, h, 0), x.scale = x_.scale;
    x.values = values_.data() + kv * x_.tiles() * kTile * n_.dv;
    x.k = k_.data() + kv * n_.k_len * k_.width();
    x.dout = dout_.data() + row * dout_.width(), x.dv_row = dout_.width();
    x.lse = lse_.data() + row, x.share = share_.data() + row;
    x.dbias = made_.dbias ? made_.dbias + row * n_.k_len : nullptr;
    return x;
  }

  bool write(const T* sums, int64_t width, int64_t columns, T scale, int64_t kv, int64_t tile, T* out) const {
    const int64_t begin = tile * kTile, rows = std::min(kTile, n_.k_len - begin);
    bool good = true;
    for (int64_t i = 0; i < rows; ++i) {
      T* to = out + (kv * n_.k_len + x_.order(kv / n_.key_heads, begin + i)) * columns;
      for (int64_t j = 0; j < columns; ++j) to[j] = sums[i * width + j] * scale;
      good &= finite(to, columns);
    }
    return good;
  }

  void sum_dq() {
    const int64_t width = q_.width();
    constexpr int64_t kRows = 64;
    const auto task = [&](int64_t index) {
      for (int64_t r = index * kRows; r < std::min(queries_, (index + 1) * kRows); ++r) {
        T* sum = dq_parts_.data() + (r / n_.q_len * padded_rows_ + r % n_.q_len) * width;
        for (int64_t run = 1; run < runs_; ++run)
          for (int64_t j = 0; j < n_.d; ++j) sum[j] += sum[run * part_ + j];
        for (int64_t j = 0; j < n_.d; ++j) made_.dq[place(r) * n_.d + j] = sum[j] * x_.scale;
      }
    };
    parallel_for((queries_ + kRows - 1) / kRows, task);
  }

  const Problem<T>& x_;
  const Sizes& n_;
  const Gradients<T>& made_;
  const int64_t kv_heads_, queries_;
  const Rows<T> q_, k_, dout_;
  const Buffer<T> keys_, values_;
  Buffer<T> share_, lse_, dq_parts_;
  const int64_t padded_rows_;
  int64_t run_, runs_, part_;
  const AddGradients<T> add_gradients_ = KXFAST_PICK(AddGradients<T>, add_gradients);
};

}  // namespace

template <class T>
void backward(const Problem<T>& problem, const Result<T>& given, const Gradients<T>& made) {
  Call<T>(problem, given, made).compute();
}

template void backward(const Problem<float>&, const Result<float>&, const Gradients<float>&);
template void backward(const Problem<double>&, const Result<double>&, const Gradients<double>&);

}  // namespace kxfast::attention
