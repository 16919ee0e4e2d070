#!/usr/bin/env bash
# Builds everything and runs every test, as many at once as there are processors (most use one thread). Arguments go to
# ctest, for example -R ops.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
scripts/build.sh -DGR_TESTS=ON
echo "test.sh: built in $((SECONDS - started)) s"
ctest --test-dir "${BUILD_DIR:-build}" --output-on-failure --parallel "$(nproc)" "$@"
