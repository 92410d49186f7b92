// Attention, forward: a task is a block of queries of one head, the last blocks first, since causal masks
// make them the longest. Keys are packed once for each key head.
#include <algorithm>

#include "attention/problem.hpp"
#include "core/threads.hpp"

namespace kxfast::attention {
namespace {

template <class T>
using Attend = void (*)(const Forward<T>&);

// Queries of a block: many, since a block reads all its keys, but not so many that cores are idle. Groups are
// the same for any number, so results are too.
int64_t block_rows(int64_t heads, int64_t q_len) {
  const int64_t share = heads * q_len / (8 * num_threads());
  const int64_t wanted = std::min(std::max(kBlockRows / 4, share), (q_len + 1) / 2);
  return std::min(kBlockRows, std::max<int64_t>(1, groups_of(wanted)) * kGroup);
}

}  // namespace

template <class T>
void forward(const Problem<T>& x, T* out, T* lse) {
  const Sizes& n = x.size;
  if (n.key_heads && n.q_len * (n.heads / n.key_heads) <= kFew && !x.order.places)
    return forward_few(x, out, lse);
  const Buffer<T> keys = packed<T>({x.k, n.batch, n.key_heads, n.k_len, n.d, x.order});
  const Rows<T> values({x.v, n.batch, n.key_heads, n.k_len, n.dv, x.order});
  const int64_t height = block_rows(n.batch * n.heads, n.q_len);
  const int64_t blocks = (n.q_len + height - 1) / height;
  const auto attend_block = KXFAST_PICK(Attend<T>, attend);
  const auto task = [&](int64_t index) {
    const int64_t head = index % (n.batch * n.heads), b = head / n.heads, h = head % n.heads;
    const int64_t row = (blocks - 1 - index / (n.batch * n.heads)) * height;
    const int64_t rows = std::min(height, n.q_len - row), kv = x.key_head(b, h), first = head * n.q_len + row;
    const int64_t size = forward_work<T>(rows, n.d, values.width());
    Buffer<T> work(static_cast<size_t>(size));
    Forward<T> block;
    block.q = x.q + first * n.d, block.q_row = n.d, block.places = nullptr;
    block.rows = rows, block.d = n.d, block.dv = n.dv, block.k_len = n.k_len;
    block.keys = keys.data() + kv * x.tiles() * kTile * n.d;
    block.mask = x.mask->of(b, h, row), block.bias = x.bias_of(b, h, row), block.scale = x.scale;
    block.values = values.data() + kv * n.k_len * values.width(), block.value_row = values.width();
    block.out = out + first * n.dv, block.lse = lse + first, block.work = work.data();
    if (x.order.places) {
      block.places = x.order.places + b * x.order.batch + row;
      block.q = x.q + head * n.q_len * n.d;
      block.out = out + head * n.q_len * n.dv, block.lse = lse + head * n.q_len;
    }
    attend_block(block);
  };
  parallel_for(n.batch * n.heads * blocks, task);
}

template void forward(const Problem<float>&, float*, float*);
template void forward(const Problem<double>&, double*, double*);

}  // namespace kxfast::attention
