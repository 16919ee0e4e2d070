#!/usr/bin/env bash
# Checks own files: layering and file rules, then formatting. --tidy runs clang-tidy as well (slow: a minute per file;
# needs a configured build folder, BUILD_DIR or build); file names behind it limit clang-tidy to those. Exit code 0 =
# nothing to complain about.
set -euo pipefail
cd "$(dirname "$0")/.."

tidy=no
[ "${1:-}" = --tidy ] && { tidy=yes; shift; }
mapfile -t sources < <(find ops model data eval train tests -type f -regex '.*\.\(h\|cpp\|cuh?\)' | sort)

python3 tests/lint/layers.py .
clang-format --dry-run -Werror "${sources[@]}"
echo "lint.sh: ${#sources[@]} files are formatted"
[ $tidy = no ] && exit

# The flags of one source serve all: rooms differ in a few definitions only, which are added here. The build itself
# compiles sources in groups with a precompiled header, which clang cannot use.
mapfile -t flags < <(python3 - "${BUILD_DIR:-build}/compile_commands.json" <<'PYTHON'
import json, shlex, sys
command = next(c["command"] for c in json.load(open(sys.argv[1])) if c["file"].endswith("gr_pch.cpp"))
words = shlex.split(command)
for at, word in enumerate(words):
    if word.startswith(("-D", "-I", "-std=", "-fopenmp")):
        print(word)
    elif word == "-isystem":
        print(word, words[at + 1], sep="\n")
PYTHON
)
# clang-tidy 14 lacks the std::source_location that the CUDA emulator stands on.
no_tidy='^tests/(cuda_emulator|cuda_roofline|ops_cuda)/'
flags+=(-DFMT_HEADER_ONLY=1 '-DGR_COMMIT=""' '-DGR_FIXTURES=""')
if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(printf '%s\n' "${sources[@]}" | grep '\.cpp$' | grep -vE "$no_tidy"); fi
clang-tidy --quiet "${files[@]}" -- "${flags[@]}"
