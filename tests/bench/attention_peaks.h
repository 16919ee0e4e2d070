// What one core can do at most, measured when a benchmark starts: the yardstick for shares of the peak.
#pragma once

#include <string>

namespace giantrabbit::bench {

// Operations per second (a multiplication and an addition are two); 0 where the machine lacks them.
struct Peaks {
  double int8 = 0;  // vpdpbusd, 512 bits
  double fp32 = 0;  // vfmadd231ps, 512 bits where the machine has them, else 256
  std::string text() const;
};

Peaks measure_peaks();

}  // namespace giantrabbit::bench
