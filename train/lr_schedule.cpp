// See lr_schedule.h.
#include "train/lr_schedule.h"

#include <algorithm>
#include <cmath>

namespace giantrabbit::train {

double LrSchedule::factor(int64_t step, double progress) const {
  const double left = 1 - std::clamp(progress, 0.0, 1.0);
  const double shape = decay == "cosine" ? 0.5 * (1 - std::cos(M_PI * left)) : left;
  const double decayed = final_fraction + (1 - final_fraction) * shape;
  if (step >= warmup_steps) return decayed;
  return decayed * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
}

}  // namespace giantrabbit::train
