// Learning rate as a pure function of progress: linear or cosine decay over the whole run down to a final
// fraction, multiplied by a linear warm-up over the first steps. The result is a factor of the peak rate.
#pragma once

#include <cstdint>
#include <string_view>

namespace giantrabbit::train {

struct LrSchedule {
  std::string_view decay = "linear";  // linear | cosine
  int64_t warmup_steps = 200;
  double final_fraction = 0.01;
  // step counts from 0; progress = finished share of the run in [0, 1].
  double factor(int64_t step, double progress) const;
};

}  // namespace giantrabbit::train
