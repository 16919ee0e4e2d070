// What a measurement was made on, for every report and summary.
#pragma once

#include <string>

namespace giantrabbit::eval {

struct Machine {
  std::string cpu;      // model name as the system reports it, "unknown CPU" when it does not
  int threads = 0;      // threads LibTorch computes with
  std::string library;  // "LibTorch 2.14.1"
};
Machine this_machine();

}  // namespace giantrabbit::eval
