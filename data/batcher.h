// Training batches of about `tokens` padded target tokens, bucketed by length: batch number k is a pure
// function of the source and k, so a run resumes exactly. Examples are drawn in pools, sorted by length
// inside a pool, cut into batches, and the batches of a pool shuffled.
#pragma once

#include <cstdint>
#include <vector>

#include "data/batch.h"
#include "data/example_source.h"

namespace giantrabbit::data {

class Batcher {
 public:
  Batcher(const ExampleSource& source, int64_t tokens, uint64_t seed);
  Batch next();
  // Position = (pool, batch inside the pool); seek() rebuilds the same sequence from there.
  struct Position {
    uint64_t pool = 0;
    uint64_t batch = 0;
  };
  Position position() const { return position_; }
  void seek(Position position);

 private:
  void fill();
  const ExampleSource& source_;
  int64_t tokens_;
  uint64_t seed_;
  Position position_;
  uint64_t filled_pool_ = UINT64_MAX;
  std::vector<std::vector<Example>> batches_;
};

}  // namespace giantrabbit::data
