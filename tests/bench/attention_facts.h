// What a benchmark states beside times: that our result is right, and how much work it was. In, a problem;
// out, counts and the worst error. A wrong result throws: nothing is timed that was not validated.
#pragma once

#include "tests/bench/attention_problem.h"

namespace giantrabbit::bench {

struct Facts {
  double support = 0;      // keys with a weight per query
  double candidates = -1;  // keys scored in fp32 per query; -1: not counted because some blocks were wide
  double dense_share = 0;  // of blocks of queries, left to the dense path
  double coded_pairs = 0;  // scored in low precision
  double dense_pairs = 0;  // scored by the dense path
  double error = 0;        // largest difference from double, relative to 1 + the largest number
};

// The result and the query's gradient against the definition in double, on up to 48 queries per head. The
// gradients of keys and values in full where all queries were compared, by two sums that hold exactly
// otherwise.
Facts examine(const Problem& problem);

}  // namespace giantrabbit::bench
