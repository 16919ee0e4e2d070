// libFuzzer's entry: bytes go to the target that the variable GR_FUZZ_TARGET names.
#include <cstdint>
#include <cstdlib>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const giantrabbit::fuzz::Target& target = []() -> const giantrabbit::fuzz::Target& {
    const char* name = std::getenv("GR_FUZZ_TARGET");
    return giantrabbit::fuzz::find_target(name == nullptr ? "" : name);
  }();
  target.run({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
