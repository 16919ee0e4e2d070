// Table of attention_bench: the time of each stage of the exact forward pass, what it did, and its share of
// the machine's measured peak. In, options; out, lines on standard output.
#pragma once

#include "tests/bench/attention_tables.h"

namespace giantrabbit::bench {

void stages_table(const Options& options, const Peaks& peaks);

}  // namespace giantrabbit::bench
