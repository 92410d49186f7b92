// Attention, backward. Where there are heads enough for all threads, and a head alone has as many runs, a
// task is a key head: it packs, computes and writes while all of that is in its core's caches (an eighth of
// the time at 128 keys, a tenth at 512, 4 to 9 % at 1024). Otherwise all heads are packed first, and a task
// is a run of tiles of one key head, with all its queries, in order. Runs add to dq in parts of their own,
// which are summed in order of the runs. How many there are depends on sizes alone, so that results do not
// depend on threads.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <type_traits>

#include "attention/problem.hpp"
#include "core/threads.hpp"

namespace kxfast::attention {
namespace {

constexpr int64_t kTasks = 64;  // enough for many cores
// Tiles: below it, parts of dq would cost more than they gain; products of bfloat16 take a third of the time.
template <class T>
constexpr int64_t kLeastRun = sizeof(T) == 2 ? 16 : 8;

// Runs of tiles of each of so many key heads.
template <class T>
int64_t runs_of(int64_t heads, int64_t tiles) {
  return std::max<int64_t>(1, std::min(kTasks / std::max<int64_t>(1, heads), tiles / kLeastRun<T>));
}

// By bits, since sums of floats keep their order and make no vectors.
template <class T>
bool finite(const T* x, int64_t count) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr Bits kExponent = static_cast<Bits>(sizeof(T) == 4 ? 0x7f800000 : 0x7ff0000000000000);
  Bits strange = 0, bits;
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(&bits, x + i, sizeof bits);
    strange |= (bits & kExponent) == kExponent;
  }
  return strange == 0;
}

// The kernels of a type. `add` leaves out, if `selected`, what is not allowed and may be NaN or infinite.
template <class T>
struct Kernels {
  static constexpr bool kSelects = true;
  void (*const add)(const Backward<T>&, int64_t,
                    bool) = KXFAST_PICK(void (*)(const Backward<T>&, int64_t, bool), add_gradients);
  void (*const share)(const T*, const T*, T, int64_t, T*,
                      T*) = KXFAST_PICK(void (*)(const T*, const T*, T, int64_t, T*, T*), row_share);

  static void write(const T* from, int64_t count, T scale, T* to) {
    for (int64_t j = 0; j < count; ++j) to[j] = from[j] * scale;
  }
};

// Queries and their gradients two by two or as columns, keys two by two: what products of bfloat16 read
// besides.
template <class T>
struct Pairs {
  Pairs(const Rows<T>&, const Rows<T>&, const Rows<T>&, const Sizes&) {}
  void into(Backward<T>&, int64_t, int64_t, const Sizes&) const {}
};

template <>
struct Kernels<Bfloat16> {
  static constexpr bool kSelects = false;
  using Add = void (*)(const Backward<Bfloat16>&, int64_t);
  using Share = void (*)(const Bfloat16*, const Bfloat16*, float, int64_t, float*, float*);
  using Write = void (*)(const float*, int64_t, float, Bfloat16*);
  const Add tile = KXFAST_PICK_HALF(Add, add_gradients);
  const Share share = KXFAST_PICK_HALF(Share, row_share);
  const Write write = KXFAST_PICK_HALF(Write, write_scaled);

  void add(const Backward<Bfloat16>& head, int64_t at, bool) const { tile(head, at); }
};

template <>
struct Pairs<Bfloat16> {
  Buffer<Bfloat16> q, k, dout;

  Pairs(const Rows<Bfloat16>& queries, const Rows<Bfloat16>& keys, const Rows<Bfloat16>& gradients,
        const Sizes& n)
      : q(paired(queries, n.batch * n.heads, n.q_len, half_products() != HalfProducts::pairs)),
        k(paired(keys, n.batch * n.key_heads, n.k_len)),
        dout(paired(gradients, n.batch * n.heads, n.q_len, half_products() != HalfProducts::pairs)) {}
  void into(Backward<Bfloat16>& x, int64_t head, int64_t kv, const Sizes& n) const {
    const int64_t first = head * packed_rows(n.q_len);
    x.q_pairs = q.data() + first * x.d_row, x.dout_pairs = dout.data() + first * x.dv_row;
    x.k = k.data() + kv * packed_rows(n.k_len) * x.d_row;
  }
};

template <class T>
class Call {
 public:
  // `next`, or none, is as large and will be computed by the same thread.
  struct Next {
    Problem<T> problem;
    Result<T> given;
  };

  Call(const Problem<T>& x, const Result<T>& given, const Gradients<T>& made, const Next* next)
      : x_(x),
        n_(x.size),
        made_(made),
        next_(next),
        kv_heads_(n_.batch * n_.key_heads),
        queries_(n_.batch * n_.heads * n_.q_len),
        q_(of_queries(x.q, n_.d), aligns(x)),
        k_(of_keys(x.k, n_.d), aligns(x)),
        dout_(of_queries(given.dout, n_.dv), aligns(x)),
        pairs_(q_, k_, dout_, n_),
        attended_(attended(x)),
        keys_(packed(of_keys(x.k, n_.d), attended_.data(), x.scale * kLog2E<W>)),
        values_(packed(of_keys(x.v, n_.dv), attended_.data(), W{1})),
        share_(static_cast<size_t>(queries_)),
        lse_(static_cast<size_t>(queries_)),
        padded_rows_(padded_rows<T>(n_.q_len)) {
    const int64_t runs = runs_of<T>(kv_heads_, x.tiles());
    run_ = std::max<int64_t>(1, (x.tiles() + runs - 1) / runs);
    runs_ = std::max<int64_t>(1, (x.tiles() + run_ - 1) / run_);
    part_ = n_.batch * n_.heads * padded_rows_ * q_.width();
    dq_parts_ = Buffer<W>(static_cast<size_t>(runs_ * part_));
    constexpr int64_t kRows = 256;
    const auto task = [&](int64_t index) {
      for (int64_t r = index * kRows; r < std::min(queries_, (index + 1) * kRows); ++r) {
        const auto [b, h, at] = query(r);
        kernels_.share(given.dout(b, h, at), given.out(b, h, at),
                       given.lse[(b * n_.heads + h) * n_.q_len + at], n_.dv, share_.data() + r,
                       lse_.data() + r);
      }
    };
    parallel_for((queries_ + kRows - 1) / kRows, task);
  }

  bool compute() {
    std::atomic<bool> good{true};
    const auto task = [&](int64_t index) {
      const int64_t kv = index % kv_heads_, run = runs_ - 1 - index / kv_heads_;
      if (run_of_tiles(kv, run, false)) return;
      if (!Kernels<T>::kSelects)
        good = false;
      else
        run_of_tiles(kv, run, true);
    };
    each_task(kv_heads_ * runs_, task);
    sum_dq();
    return good;
  }

 private:
  using W = Wide<T>;

  Heads<T> of_queries(const Place<const T>& x, int64_t columns) const {
    return {x, n_.batch, n_.heads, n_.q_len, columns, x_.order};
  }
  Heads<T> of_keys(const Place<const T>& x, int64_t columns) const {
    return {x, n_.batch, n_.key_heads, n_.k_len, columns, x_.order};
  }
  // Where a query of all, in order, stands.
  struct Query {
    int64_t b, h, row;
  };
  Query query(int64_t r) const {
    const int64_t head = r / n_.q_len, b = head / n_.heads;
    return {b, head % n_.heads, x_.order(b, r % n_.q_len)};
  }

  // False if a result is not finite.
  bool run_of_tiles(int64_t kv, int64_t run, bool selected) {
    const int64_t share = n_.heads / n_.key_heads, first_head = kv * share;
    const int64_t d = q_.width(), dv = dout_.width(), dq_size = share * padded_rows_ * d;
    W* dq = dq_parts_.data() + run * part_ + first_head * padded_rows_ * d;
    std::fill(dq, dq + dq_size, W{0});
    const int64_t sums_size = kTileRows * (d + dv);
    Buffer<W> memory(static_cast<size_t>(sums_size + backward_work<T>(d, dv)));
    bool good = true;
    for (int64_t tile = run * run_; tile < std::min(x_.tiles(), (run + 1) * run_); ++tile) {
      W *dk = memory.data(), *dv_sum = dk + kTileRows * d;
      std::fill(dk, dk + sums_size, W{0});
      for (int64_t i = 0; i < share; ++i) {
        Backward<T> head = head_of(kv, first_head + i);
        const Upcoming<T> upcoming = next_ ? upcoming_of(i, tile) : Upcoming<T>();
        head.upcoming = &upcoming;
        head.dq = dq + i * padded_rows_ * d, head.dk = dk, head.dv_sum = dv_sum, head.work = dk + sums_size;
        kernels_.add(head, tile, selected);
      }
      good &= write(dk, d, n_.d, x_.scale, kv, tile, made_.dk) &
              write(dv_sum, dv, n_.dv, W{1}, kv, tile, made_.dv);
    }
    return good && finite(dq, dq_size);
  }

  Backward<T> head_of(int64_t kv, int64_t head) const {
    const int64_t b = head / n_.heads, h = head % n_.heads, row = head * n_.q_len;
    Backward<T> x;
    x.q = q_.data() + row * q_.width(), x.q_row = x.d_row = q_.width();
    x.rows = n_.q_len, x.d = n_.d, x.dv = n_.dv, x.k_len = n_.k_len;
    x.keys = keys_.data() + kv * x_.tiles() * kTile * packed_columns<T>(n_.d);
    x.mask = x_.mask_of(b, h, 0), x.bias = x_.bias_of(b, h, 0), x.scale = x_.scale;
    x.values = values_.data() + kv * x_.tiles() * kTile * packed_columns<T>(n_.dv);
    x.k = k_.data() + kv * n_.k_len * k_.width();
    x.dout = dout_.data() + row * dout_.width(), x.dv_row = dout_.width();
    x.lse = lse_.data() + row, x.share = share_.data() + row;
    x.dbias = made_.dbias ? made_.dbias + row * n_.k_len : nullptr;
    pairs_.into(x, head, kv, n_);
    return x;
  }

  // While query head i of one key head is computed with a tile: a share of what the next one reads, and of
  // what this one writes.
  Upcoming<T> upcoming_of(int64_t i, int64_t tile) const {
    const int64_t tiles = x_.tiles(), at = i * tiles + tile, parts = n_.heads * tiles;
    Upcoming<T> rows;
    const auto add = [&](const auto& place, int64_t count, int64_t columns, int64_t part, int64_t of) {
      rows.add(place(0, of == tiles ? i : 0, 0), count, columns, place.row, part, of);
    };
    add(next_->problem.q, n_.q_len, n_.d, tile, tiles), add(made_.dq, n_.q_len, n_.d, tile, tiles);
    add(next_->given.dout, n_.q_len, n_.dv, tile, tiles), add(next_->given.out, n_.q_len, n_.dv, tile, tiles);
    add(next_->problem.k, n_.k_len, n_.d, at, parts), add(made_.dk, n_.k_len, n_.d, at, parts);
    add(next_->problem.v, n_.k_len, n_.dv, at, parts), add(made_.dv, n_.k_len, n_.dv, at, parts);
    return rows;
  }

  bool write(const W* sums, int64_t width, int64_t columns, W scale, int64_t kv, int64_t tile,
             const Place<T>& out) const {
    const int64_t begin = tile * kTile, rows = std::min(kTile, n_.k_len - begin);
    bool good = true;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t b = kv / n_.key_heads;
      T* to = out(b, kv % n_.key_heads, x_.order(b, begin + i));
      kernels_.write(sums + i * width, columns, scale, to);
      good &= finite(sums + i * width, columns);
    }
    return good;
  }

  void sum_dq() {
    const int64_t width = q_.width();
    constexpr int64_t kRows = 64;
    const auto task = [&](int64_t index) {
      for (int64_t r = index * kRows; r < std::min(queries_, (index + 1) * kRows); ++r) {
        W* sum = dq_parts_.data() + (r / n_.q_len * padded_rows_ + r % n_.q_len) * width;
        for (int64_t run = 1; run < runs_; ++run)
          for (int64_t j = 0; j < n_.d; ++j) sum[j] += sum[run * part_ + j];
        const auto [b, h, at] = query(r);
        kernels_.write(sum, n_.d, x_.scale, made_.dq(b, h, at));
      }
    };
    parallel_for((queries_ + kRows - 1) / kRows, task);
  }

  const Problem<T>& x_;
  const Sizes& n_;
  const Gradients<T>& made_;
  const Next* const next_;
  const int64_t kv_heads_, queries_;
  const Rows<T> q_, k_, dout_;
  const Pairs<T> pairs_;
  const Buffer<Interval> attended_;
  const Buffer<T> keys_, values_;
  Buffer<W> share_, lse_, dq_parts_;
  const int64_t padded_rows_;
  int64_t run_, runs_, part_;
  const Kernels<T> kernels_{};
};

}  // namespace

template <class T>
bool backward(const Problem<T>& x, const Result<T>& given, const Gradients<T>& made) {
  const Sizes& n = x.size;
  const int64_t heads = n.batch * n.key_heads;
  const bool same_runs = runs_of<T>(1, x.tiles()) == runs_of<T>(heads, x.tiles());  // and so the same bits
  if (!by_heads(x) || !same_runs) return Call<T>(x, given, made, nullptr).compute();
  const int64_t share = n.heads / n.key_heads;
  const auto at = [&](auto place, int64_t kv, int64_t shared) {  // the rows of a key head, or of its queries
    place.data = place(kv / n.key_heads, kv % n.key_heads * shared, 0);
    return place;
  };
  const auto result = [&](int64_t kv) {
    return Result<T>{at(given.dout, kv, share), at(given.out, kv, share), given.lse + kv * x.shared_rows()};
  };
  const auto one = [&](int64_t kv) {
    Wide<T>* dbias = made.dbias ? made.dbias + kv * x.shared_rows() * n.k_len : nullptr;
    const Gradients<T> mine{at(made.dq, kv, share), at(made.dk, kv, 1), at(made.dv, kv, 1), dbias};
    const int64_t later = std::min(kv + 1, heads - 1);  // mostly this thread's
    const typename Call<T>::Next next{x.alone(later), result(later)};
    Call<T>(x.alone(kv), result(kv), mine, &next).compute();
  };
  each_task(heads, one);
  return true;
}

template bool backward(const Problem<float>&, const Result<float>&, const Gradients<float>&);
template bool backward(const Problem<double>&, const Result<double>&, const Gradients<double>&);
template bool backward(const Problem<Bfloat16>&, const Result<Bfloat16>&, const Gradients<Bfloat16>&);

}  // namespace kxfast::attention
