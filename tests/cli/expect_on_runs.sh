#!/usr/bin/env bash
# What the tests of giantrabbit-eval on runs begin with; to be sourced with the paths of giantrabbit-train and
# giantrabbit-eval as arguments. Leaves the shell in a fresh folder, with `train`, `program`, `failures` and the functions.
train=$(realpath "$1") program=$(realpath "$2")
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failures=0
report() { echo "FAILED: $1"; sed 's/^/    /' out err; failures=$((failures + 1)); }

# expect CODE PART ARGUMENTS..: PART in what is printed, on stderr for errors.
expect() {
  local code=$1 part=$2 stream=out
  shift 2
  "$program" "$@" >out 2>err
  local actual=$?
  [ $actual -eq "$code" ] || report "giantrabbit-eval $*: exit code $actual instead of $code"
  [ "$code" -eq 0 ] || stream=err
  grep -qF -e "$part" $stream || report "giantrabbit-eval $*: no '$part'"
}
