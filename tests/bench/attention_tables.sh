#!/usr/bin/env bash
# Prints the tables of attention_bench (attention_tables.cpp says what they hold). Builds nothing: configure
# with -DGR_BENCH=ON and build the target attention_bench first. BUILD names the build folder (build).
#   tests/bench/attention_tables.sh [--quick] [--tables LETTERS] [--only TEXT] [--threads N] [--run RUN]
set -euo pipefail
cd "$(dirname "$0")/../.."
program="${BUILD:-build}/bin/attention_bench"
if [[ ! -x "$program" ]]; then
  echo "attention_tables.sh: $program is missing; build it with: scripts/build.sh -DGR_BENCH=ON" >&2
  exit 2
fi
lscpu | sed -n 's/^Model name: */machine: /p'
exec "$program" "$@"
