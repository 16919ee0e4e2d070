// What training draws its examples from. In: an index. Out: the example with that index, always the same one,
// so that a run needs no state to continue exactly.
#pragma once

#include <cstdint>
#include <vector>

#include "data/problem.h"
#include "data/vocabulary.h"

namespace giantrabbit::data {

// One sequence ready for a model: ids of the prompt and of what is to be written behind it, for a problem
// chain + ANS + answer + EOS.
struct Example {
  Problem problem;  // empty for a piece of text
  std::vector<int64_t> prompt;
  std::vector<int64_t> target;
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual Example example(uint64_t index) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
};

}  // namespace giantrabbit::data
