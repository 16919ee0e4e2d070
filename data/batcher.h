// Training batches of about `tokens` padded target tokens, bucketed by length: batch number k is a pure
// function of the source and k, so a run resumes exactly. Examples are drawn in pools, sorted by length
// inside a pool, cut into batches, and the batches of a pool shuffled; so a batch holds at most the 1024
// examples of a pool, however large `tokens` is.
#pragma once

#include <cstdint>
#include <vector>

#include "data/batch.h"
#include "data/dataset.h"

namespace giantrabbit::data {

class Batcher {
 public:
  // positions: of the model's tables; padding alone takes neither prompts nor targets beyond them.
  Batcher(const Dataset& source, int64_t tokens, uint64_t seed, int64_t positions = INT64_MAX);
  Batch next();
  // Passes over the next batch; returns its target tokens.
  int64_t skip();
  // Position = (pool, batch inside the pool); seek() rebuilds the same sequence from there.
  struct Position {
    uint64_t pool = 0;
    uint64_t batch = 0;
  };
  Position position() const { return position_; }
  void seek(Position position);

 private:
  void fill();
  void advance();
  const Dataset& source_;
  int64_t tokens_;
  uint64_t seed_;
  int64_t positions_;
  Position position_;
  uint64_t filled_pool_ = UINT64_MAX;
  std::vector<std::vector<Example>> batches_;
};

}  // namespace giantrabbit::data
