// Attention, forward. Where there are heads enough for all threads, a task is a key head, which packs keys
// when it needs them and asks for the next head's rows while it computes (a tenth of the time at 512 keys and
// at 128). Otherwise keys are packed first, and a task is a block of queries of one head, the last blocks
// first, since causal masks make them the longest.
#include <algorithm>
#include <atomic>

#include "attention/problem.hpp"
#include "core/threads.hpp"

namespace kxfast::attention {
namespace {

// Queries of a block: many, since a block reads all its keys, but not so many that cores are idle. Groups are
// the same for any number, so results are too.
int64_t block_rows(int64_t heads, int64_t q_len, int64_t threads) {
  const int64_t share = heads * q_len / (8 * threads);
  const int64_t wanted = std::min(std::max(kBlockRows / 4, share), (q_len + 1) / 2);
  return std::min(kBlockRows, std::max<int64_t>(1, groups_of(wanted)) * kGroup);
}

// Values as kernels read them: rows, two by two for products of pairs.
template <class T>
class Values {
 public:
  Values(const Heads<T>& v, bool aligned)
      : rows_(v, aligned), head_(v.rows * rows_.width()), data_(rows_.data()) {}
  const T* head(int64_t kv) const { return data_ + kv * head_; }
  int64_t width() const { return rows_.width(); }

 private:
  const Rows<T> rows_;
  int64_t head_;
  Buffer<T> pairs_;
  const T* data_;
};

// Runs a block's kernel; false if its results are spoiled.
template <class T>
bool attend_block(const Forward<T>& block) {
  KXFAST_PICK(void (*)(const Forward<T>&), attend)(block);
  return true;
}

// Queries as kernels read them: as they stand, placed by the kernel.
template <class T>
class Questions {
 public:
  explicit Questions(const Heads<T>& q) : q_(q) {}
  const T* data(int64_t head, int64_t row) const {
    return q_.place(head / q_.heads, head % q_.heads, q_.order.places ? 0 : row);
  }
  int64_t stride() const { return q_.place.row; }

 private:
  const Heads<T> q_;
};

template <>
Values<Bfloat16>::Values(const Heads<Bfloat16>& v, bool aligned)
    : rows_(v, aligned),
      head_(packed_rows(v.rows) * rows_.width()),
      pairs_(paired(rows_, v.batch * v.heads, v.rows)),
      data_(pairs_.data()) {}

template <>
bool attend_block(const Forward<Bfloat16>& block) {
  return KXFAST_PICK_HALF(bool (*)(const Forward<Bfloat16>&), attend)(block);
}

// In order, with zeros where a pair has no second channel.
template <>
class Questions<Bfloat16> {
 public:
  explicit Questions(const Heads<Bfloat16>& q) : rows_(q), q_len_(q.rows) {}
  const Bfloat16* data(int64_t head, int64_t row) const {
    return rows_.data() + (head * q_len_ + row) * rows_.width();
  }
  int64_t stride() const { return rows_.width(); }

 private:
  const Rows<Bfloat16> rows_;
  const int64_t q_len_;
};

// All heads; `threads` share blocks. `next`, or none, is as large and will be computed by the same thread.
template <class T>
bool attend_all(const Problem<T>& x, const Place<T>& out, Wide<T>* lse, int64_t threads,
                const Problem<T>* next) {
  const Sizes& n = x.size;
  const Buffer<T> keys = packed<T>({x.k, n.batch, n.key_heads, n.k_len, n.d, x.order}, attended(x).data(),
                                   x.scale * kLog2E<Wide<T>>);
  const Values<T> values({x.v, n.batch, n.key_heads, n.k_len, n.dv, x.order}, aligns(x));
  const Questions<T> queries({x.q, n.batch, n.heads, n.q_len, n.d, x.order});
  const int64_t height = block_rows(n.batch * n.heads, n.q_len, threads);
  const int64_t blocks = (n.q_len + height - 1) / height;
  std::atomic<bool> good{true};
  const auto task = [&](int64_t index) {
    const int64_t head = index % (n.batch * n.heads), b = head / n.heads, h = head % n.heads;
    const int64_t row = (blocks - 1 - index / (n.batch * n.heads)) * height;
    const int64_t kv = x.key_head(b, h), first = x.order.places ? 0 : row;
    Forward<T> block;
    block.rows = std::min(height, n.q_len - row), block.d = n.d, block.dv = n.dv, block.k_len = n.k_len;
    Buffer<Wide<T>> work(static_cast<size_t>(forward_work<T>(block.rows, n.d, values.width())));
    block.q = queries.data(head, row), block.q_row = queries.stride();
    block.places = x.order.places ? x.order.places + b * x.order.batch + row : nullptr;
    block.keys = keys.data() + kv * x.tiles() * kTile * packed_columns<T>(n.d);
    block.mask = x.mask_of(b, h, row), block.bias = x.bias_of(b, h, row), block.scale = x.scale;
    block.values = values.head(kv), block.value_row = values.width();
    block.out = out(b, h, first), block.out_row = out.row;
    block.lse = lse + head * n.q_len + first, block.work = work.data();
    Upcoming<T> upcoming;
    if (next) {
      const int64_t part = row / height, of_head = h * blocks + part, parts = n.heads * blocks;
      upcoming.add(out(b, h, 0), n.q_len, n.dv, out.row, part, blocks);
      upcoming.add(next->q(b, h, 0), n.q_len, n.d, next->q.row, part, blocks);
      upcoming.add(next->k(b, 0, 0), n.k_len, n.d, next->k.row, of_head, parts);
      upcoming.add(next->v(b, 0, 0), n.k_len, n.dv, next->v.row, of_head, parts);
    }
    block.upcoming = next ? &upcoming : nullptr;
    if (!attend_block(block)) good = false;
  };
  each_task(n.batch * n.heads * blocks, task);
  return good;
}

}  // namespace

template <class T>
bool forward(const Problem<T>& x, const Place<T>& out, Wide<T>* lse) {
  const Sizes& n = x.size;
  if constexpr (sizeof(T) > 2)
    if (n.key_heads && n.q_len * (n.heads / n.key_heads) <= kFew && !x.order.places)
      return forward_few(x, out, lse), true;
  if (!by_heads(x)) return attend_all<T>(x, out, lse, num_threads(), nullptr);
  const int64_t heads = n.batch * n.key_heads;
  const auto one = [&](int64_t kv) {
    const int64_t b = kv / n.key_heads, h = kv % n.key_heads * (n.heads / n.key_heads);
    const Problem<T> next = x.alone(std::min(kv + 1, heads - 1));  // mostly this thread's
    attend_all<T>(x.alone(kv), {out(b, h, 0), out.batch, out.head, out.row}, lse + kv * x.shared_rows(), 1,
                  x.key_bytes() <= kCached ? &next : nullptr);
  };
  each_task(heads, one);
  return true;
}

template bool forward(const Problem<float>&, const Place<float>&, float*);
template bool forward(const Problem<double>&, const Place<double>&, double*);
template bool forward(const Problem<Bfloat16>&, const Place<Bfloat16>&, float*);

}  // namespace kxfast::attention
