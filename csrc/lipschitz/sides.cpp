// Which rows a convolution and its transpose multiply.
//
// For the transpose with a stride, pixels of the same phase meet the same taps and form a part of their own,
// so that no product with zeros is computed. A pixel that wrapped padding uses several times for one tap
// meets it several times.
#include "lipschitz/sides.hpp"

#include <algorithm>

namespace kxfast::lipschitz {
namespace {

// The input position of tap t of output o, or -1 where padding holds zeros.
int64_t met(const Moves& m, int d, int64_t o, int64_t t) {
  const int64_t at = o * m.stride[d] + t * m.dilation[d] - m.padding[d];
  if (m.circular) return (at % m.size[d] + m.size[d]) % m.size[d];
  return at >= 0 && at < m.size[d] ? at : -1;
}

}  // namespace

Side plain_side(const Moves& m, bool back) {
  const int64_t in = m.groups * m.inputs, out = m.groups * m.outputs;
  Side side = back ? Side{{}, m.out_pixels(), out, m.pixels(), in, true}
                   : Side{{}, m.pixels(), in, m.out_pixels(), out, false};
  Part part;
  for (int64_t t = 0; t < m.taps(); ++t) part.taps.push_back(t);
  side.parts.push_back(std::move(part));
  return side;
}

Side forward_side(const Moves& m) {
  Side side{{}, m.pixels(), m.groups * m.inputs, m.out_pixels(), m.groups * m.outputs, false};
  Part part;
  for (int64_t i = 0; i < m.out_pixels(); ++i) part.number.push_back(i);
  for (int64_t t = 0; t < m.taps(); ++t) {
    part.taps.push_back(t);
    for (int64_t i = 0; i < m.out_pixels(); ++i) {
      const int64_t y = met(m, 0, i / m.out[1], t / m.kernel[1]),
                    x = met(m, 1, i % m.out[1], t % m.kernel[1]);
      part.meets.push_back(y < 0 || x < 0 ? -1 : y * m.size[1] + x);
    }
  }
  side.parts.push_back(std::move(part));
  return side;
}

Side back_side(const Moves& m) {
  Side side{{}, m.out_pixels(), m.groups * m.outputs, m.pixels(), m.groups * m.inputs, true};
  const Side forward = forward_side(m);
  const Part& all = forward.parts[0];
  std::vector<std::vector<int64_t>> users(static_cast<size_t>(m.taps() * m.pixels()));  // outputs of each
  for (int64_t t = 0; t < m.taps(); ++t)
    for (int64_t i = 0; i < m.out_pixels(); ++i) {
      const int64_t at = all.meets[static_cast<size_t>(t * m.out_pixels() + i)];
      if (at >= 0) users[static_cast<size_t>(t * m.pixels() + at)].push_back(i);
    }
  for (int64_t phase = 0; phase < m.stride[0] * m.stride[1]; ++phase) {
    Part part;
    for (int64_t i = 0; i < m.pixels(); ++i)
      if (i / m.size[1] % m.stride[0] == phase / m.stride[1] &&
          i % m.size[1] % m.stride[1] == phase % m.stride[1])
        part.number.push_back(i);
    for (int64_t t = 0; t < m.taps(); ++t) {
      const auto of = [&](int64_t i) -> const std::vector<int64_t>& {
        return users[static_cast<size_t>(t * m.pixels() + i)];
      };
      size_t most = 0;
      for (const int64_t i : part.number) most = std::max(most, of(i).size());
      for (size_t copy = 0; copy < most; ++copy) {
        part.taps.push_back(t);
        for (const int64_t i : part.number) part.meets.push_back(copy < of(i).size() ? of(i)[copy] : -1);
      }
    }
    if (!part.number.empty()) side.parts.push_back(std::move(part));
  }
  return side;
}

Buffer<int64_t> Side::offsets(const Part& part, const Moves& m) const {
  const int64_t taps = m.taps(), apart = back ? m.inputs * taps : taps,
                channels = back ? m.outputs : m.inputs;
  Buffer<int64_t> offset(part.taps.size() * static_cast<size_t>(channels));
  int64_t* to = offset.data();
  for (const int64_t tap : part.taps)
    for (int64_t c = 0; c < channels; ++c) *to++ = tap + c * apart;
  return offset;
}

}  // namespace kxfast::lipschitz
