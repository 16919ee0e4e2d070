// The commit this program was built from, as git describes it; empty outside a repository. A source of its
// own, so that a new commit recompiles nothing else.
#pragma once

namespace giantrabbit::train {

const char* build_commit();

}  // namespace giantrabbit::train
