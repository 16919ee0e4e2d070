// See build_commit.h; CMake defines GR_COMMIT for this file.
#include "train/build_commit.h"

namespace giantrabbit::train {

const char* build_commit() { return GR_COMMIT; }

}  // namespace giantrabbit::train
