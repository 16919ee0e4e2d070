// Entry point of the operator tests. GR_CPU_CAPABILITY chooses the instruction set of a whole process; one
// that this machine lacks ends the run at once with the exit code that CTest reports as "skipped".
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include <gtest/gtest.h>

#include "ops/cpu/capability.h"

int main(int argc, char** argv) {
  using giantrabbit::ops::cpu::Capability;
  constexpr int kSkipped = 77;
  const char* wanted = std::getenv("GR_CPU_CAPABILITY");
  const auto available = giantrabbit::ops::cpu::machine_capabilities();
  const bool runs = wanted == nullptr || std::any_of(available.begin(), available.end(), [&](Capability one) {
                      return giantrabbit::ops::cpu::capability_name(one) == wanted;
                    });
  if (!runs) {
    std::cout << "not run: this machine has no " << wanted << '\n';
    return kSkipped;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
