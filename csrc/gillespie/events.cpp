// The log of one trajectory, in pieces that grow with it up to 4 M events and become one array at the end.
#include <algorithm>
#include <cfloat>
#include <stdexcept>

#include "gillespie/ensemble.hpp"
#include "gillespie/walker.hpp"

namespace kxfast::gillespie {
namespace {

constexpr int64_t kLargestPiece = int64_t{1} << 22;

class Pieces {
 public:
  // Room for `count` events more, where the walk is to write them.
  void make_room(Walk& walk, int64_t count) {
    if (all_.empty() || all_.back().size + count > static_cast<int64_t>(all_.back().times.size())) {
      const auto room = static_cast<size_t>(std::max(count, std::min(walk.events, kLargestPiece)));
      all_.push_back({Buffer<double>(room), Buffer<int32_t>(room), 0});
    }
    walk.log_time = all_.back().times.data() + all_.back().size;
    walk.log_reaction = all_.back().reactions.data() + all_.back().size;
  }
  void wrote(int64_t count) { all_.back().size += count; }

  // Each piece is freed once it is copied, so the peak is little more than the log.
  void join(Log& log, int64_t events, Job& job) {
    log.times = Buffer<double>(static_cast<size_t>(events));
    log.reactions = Buffer<int32_t>(static_cast<size_t>(events));
    int64_t at = 0;
    for (Piece& piece : all_) {
      std::copy_n(piece.times.data(), piece.size, log.times.data() + at);
      std::copy_n(piece.reactions.data(), piece.size, log.reactions.data() + at);
      at += piece.size;
      piece = Piece{};
      if (!job.advance(0)) return;
    }
  }

 private:
  struct Piece {
    Buffer<double> times;
    Buffer<int32_t> reactions;
    int64_t size = 0;
  };
  std::vector<Piece> all_;
};

}  // namespace

Log events(const Network& network, Method method, uint64_t seed, double t_end, int64_t max_events, Job& job) {
  Walker walker(network, method);
  Walk& walk = walker.begin(seed, 0);
  std::vector<int64_t> fired(static_cast<size_t>(network.model().reactions));
  walk.fired = fired.data();
  walk.stop = walk.end = std::min(t_end, DBL_MAX);
  walk.most = max_events;
  const int64_t most = stretch(network.model());
  Pieces pieces;
  Status status = Status::running;
  while (status == Status::running && walk.events < max_events) {
    const int64_t before = walk.events;
    pieces.make_room(walk, std::min(most, max_events - before));
    status = walker.go_on(most);
    pieces.wrote(walk.events - before);
    if (!job.advance(walk.events - before)) return {};
  }
  if (status > Status::finished) throw std::domain_error(describe(status, walk) + " in trajectory 0");
  Log log;
  const int64_t events = walk.events;
  log.absorbed = walk.absorbed;
  if (status == Status::running) {  // one event more tells whether one is possible
    pieces.make_room(walk, 1);
    walk.most = max_events + 1;
    while (status == Status::running && walk.events < walk.most && job.advance(0))
      status = walker.go_on(most);
    log.absorbed = status == Status::finished && walk.absorbed;
  }
  pieces.join(log, events, job);
  return log;
}

}  // namespace kxfast::gillespie
