// The table of operators; see cases.h.
#include "tests/cuda_roofline/cases.h"

namespace giantrabbit::roofline {

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_row_cases(cases);
  add_attention_cases(cases);
  add_lsh_cases(cases);
  add_cache_cases(cases);
  return cases;
}

}  // namespace giantrabbit::roofline
