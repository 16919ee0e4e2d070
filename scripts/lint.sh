#!/usr/bin/env bash
# Checks own files: layering and file rules, then formatting. --tidy runs clang-tidy as well (slow; needs a build
# folder, BUILD_DIR or build); file names behind it limit clang-tidy to those. Exit code 0 = nothing to complain about.
set -euo pipefail
cd "$(dirname "$0")/.."

tidy=no
[ "${1:-}" = --tidy ] && { tidy=yes; shift; }
mapfile -t sources < <(find ops model data eval train tests -type f \( -name '*.h' -o -name '*.cpp' \) | sort)

python3 tests/lint/layers.py .
clang-format --dry-run -Werror "${sources[@]}"
echo "lint.sh: ${#sources[@]} files are formatted"
[ $tidy = no ] && exit

# clang-tidy reads the compile commands without gcc's precompiled header, which clang cannot use.
build=${BUILD_DIR:-build}
commands=$(mktemp -d)
trap 'rm -rf "$commands"' EXIT
sed -E -e 's/-include [^ ]*cmake_pch[^ ]*//' -e 's/-Winvalid-pch|-fpch-preprocess//g' "$build/compile_commands.json" \
  >"$commands/compile_commands.json"
if [ $# -gt 0 ]; then files=("$@"); else
  files=()
  for file in "${sources[@]}"; do
    [[ $file == *.cpp ]] && grep -qF "/$file\"" "$commands/compile_commands.json" && files+=("$file")
  done
fi
clang-tidy --quiet -p "$commands" "${files[@]}"
