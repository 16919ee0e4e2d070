#!/bin/sh
# Command line of giantrabbit-eval: exit codes, one-sentence errors, nothing left behind by a failure.
# Usage: eval_command_line.sh PATH/TO/giantrabbit-eval
program=$1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failures=0

report() {
  echo "FAILED: $1"
  sed 's/^/    /' "$folder/out" "$folder/err"
  failures=$((failures + 1))
}

# expect CODE PART ARGUMENTS..: the exit code, and PART in what is printed (stderr for errors: one line).
expect() {
  code=$1
  part=$2
  shift 2
  "$program" "$@" >"$folder/out" 2>"$folder/err"
  actual=$?
  [ "$actual" -eq "$code" ] || report "giantrabbit-eval $*: exit code $actual instead of $code"
  if [ "$code" -eq 0 ]; then stream=out; else stream=err; fi
  grep -qF -e "$part" "$folder/$stream" || report "giantrabbit-eval $*: no '$part'"
  if [ "$code" -ne 0 ] && [ "$(wc -l <"$folder/err")" -ne 1 ]; then
    report "giantrabbit-eval $*: the error is not one line"
  fi
}

expect 0 "Commands:" --help
expect 0 "--problem" solve --help
expect 0 "default: 500" compare --help
expect 0 "--csv" compare --help
expect 0 "--item" inspect --help
expect 0 "--threads" exam --help
expect 0 "--portable" export --help
expect 0 "--lengths" timing --help
expect 0 "--keep" evict --help
expect 0 "--temperature" text --help
expect 2 "name at least one run directory" text
expect 2 "--count must be a whole number from 1 to 1000000, got '0'" text runs/a --count 0
expect 2 "--order must be a whole number from 1 to 7, got '8'" text runs/a --order 8
expect 2 "--temperature must be a number from 0 to 100, got 'nan'" text runs/a --sample 5 --temperature nan
expect 2 "--temperature must be a number from 0 to 100, got '-1'" text runs/a --sample 5 --temperature=-1
expect 2 "--start goes with --sample" text runs/a --start x
expect 2 "text decodes with float32 weights only" text runs/a --weights int8
expect 1 "$folder/none: no such run directory" text "$folder/none"
expect 0 "default: 1,2,4,8" patterns --help
expect 2 "--lengths must increase, got 64,32" timing runs/a --lengths 64,32
expect 2 "--lengths must be a whole number from 2 to 1000000, got 'x'" timing runs/a --lengths x
expect 2 "--lengths needs at least one number" compare runs/a --lengths ""
expect 2 "--keep needs numbers above 0 and at most 1, got '1.5'" evict runs/a --keep 0.5,1.5
expect 2 "--rounds must be a whole number from 1 to 64, got '0'" patterns runs/a --rounds 0,2
expect 2 "--rounds must increase, got 4,2" patterns runs/a --rounds 4,2
expect 2 "patterns takes one run directory, got 2" patterns runs/a runs/b
expect 2 "the folder $folder/none does not exist" patterns runs/a --plot "$folder/none/plot.svg"
expect 2 "float32 weights only" patterns runs/a --weights int8
expect 1 "$folder/none: no such run directory" patterns "$folder/none"
expect 2 "float32 weights only" evict runs/a --weights int8
expect 2 "a command is needed"
expect 2 "unknown command 'compar'; known are compare, evict, exam, export, inspect, patterns, solve, text, timing" compar
expect 2 "--count" compare runs/a --cuont 5
expect 2 "--threads" exam runs/a --thread=2
expect 2 "name at least one run directory" compare
expect 2 "--threads must be a whole number from 1 to 1024, got '0'" compare runs/a --threads 0
expect 2 "count" compare runs/a --count
expect 2 "--weights must be float32, bfloat16 or int8, got 'int4'" exam runs/a --weights int4
expect 2 "the folder $folder/none does not exist" compare runs/a --json "$folder/none/out.json"
expect 2 "the folder $folder/none does not exist" compare runs/a --csv "$folder/none/csv"
# Numbers that no machine gets through, and what libraries say to them.
expect 2 "--threads must be a whole number from 1 to 1024" compare runs/a --threads 3000000000
expect 2 "--threads must be a whole number from 1 to 1024" compare runs/a --threads 99999999999
expect 2 "--count must be a whole number from 1 to 1000000" compare runs/a --count 999999999999999999
expect 2 "--count must be a whole number from 1 to 1000000" evict runs/a --count 999999999999999999
expect 2 "--item must be a whole number from 1 to 1000000" inspect runs/a --item 9223372036854775807
expect 2 "--lengths must be a whole number from 2 to 1000000" timing runs/a --lengths 64,99999999999
# An output that cannot be written is refused before the work.
expect 2 "--json $folder: this is a folder, a file is needed" compare runs/a --json "$folder"
expect 2 "--report $folder: this is a folder, a file is needed" compare runs/a --report "$folder"
expect 2 "--csv $0: this is a file, a folder is needed" compare runs/a --csv "$0"
expect 2 "this is a folder, a file is needed" compare runs/a --json "$folder/none/"
expect 2 "a name is needed" compare runs/a --json ""
expect 2 "no file can be made in the folder /proc" compare runs/a --json /proc/x.json
# No option is dropped silently.
for option in --task=listops --split=train --seed=5 --count=1; do
  expect 2 "--items goes without ${option%=*}" compare runs/a --items one.json $option
done
expect 2 "--problem goes without --items" inspect runs/a --problem "RREF 1 2 ; 3 4" --items one.json
expect 2 "--item goes without --count" inspect runs/a --item 3 --count 5
expect 2 "--words goes with --problem or --item" inspect runs/a --words
expect 2 "--skip-unparsable goes with --items" compare runs/a --skip-unparsable
expect 2 "rounded weights go with --problem or --item only" inspect runs/a --weights int8
expect 2 "--weights must be float32, bfloat16 or int8, got 'int4'" inspect runs/a --item 3 --weights int4
expect 2 "name at least one run directory" compare --help=false
expect 2 "--mass must be a number above 0 and at most 1, got '0'" compare runs/a --mass 0
expect 2 "--mass must be a number above 0 and at most 1, got '99%'" inspect runs/a --mass 99%
expect 2 "--problem or --item, not both" inspect runs/a --item 3 --problem "RREF 1 2 3 ; 3 4 5"
expect 2 "inspect takes one run directory for one problem, got 2" inspect runs/a runs/b --item 3
expect 2 "--item must be a whole number from 1 to 1000000, got '0'" inspect runs/a --item 0
expect 2 "WHAT" inspect runs/a --problem "WHAT 1 2"
expect 2 "name at least one run directory" inspect
expect 1 "$folder/none: no such run directory" inspect "$folder/none" --item 1
expect 2 "needs --problem" solve runs/a
expect 2 "takes one run directory, got 2" solve runs/a runs/b --problem "RREF 1 2 ; 3 4"
expect 2 "WHAT" solve runs/a --problem "WHAT 1 2"
expect 2 "" solve runs/a --problem ""
expect 2 "x" solve runs/a --problem "RREF 1 x ; 3 4"
expect 2 "999" solve runs/a --problem "RREF 1 2 3 ; 3 4 999"
expect 2 "" solve runs/a --problem "RREF 1 2 3 ; 3 4"
expect 1 "$folder/none: no such run directory" solve "$folder/none" --problem "RREF 1 2 3 ; 3 4 5"
expect 1 "$folder/none: no such run directory" exam "$folder/none"

# A directory that is no run, and one whose files are damaged; no output file may appear.
mkdir "$folder/run"
expect 1 "config.toml" compare "$folder/run" --json "$folder/out.json" --report "$folder/out.html"
expect 1 "config.toml" compare "$folder/run" --csv "$folder/figures/"
printf '[model]\nwidht = 16\n' >"$folder/run/config.toml"
expect 1 "width" compare "$folder/run" --json "$folder/out.json"
printf '[model]\nwidth = 16\nheads = 2\n' >"$folder/run/config.toml"
expect 1 "vocabulary.json" compare "$folder/run" --json "$folder/out.json"
printf '["PAD"]' >"$folder/run/vocabulary.json"
expect 1 "vocabulary.json" compare "$folder/run" --json "$folder/out.json"
printf '[model]\nwidth = 16\nheads = 2\n' >"$folder/run/config.toml"
expect 2 "model.widht" compare "$folder/run@widht=16" --json "$folder/out.json"
expect 2 "run@heads=3: model.heads: 3 does not divide" compare "$folder/run@heads=3" --json "$folder/out.json"
expect 2 "model.weights" compare "$folder/run@weights=int4" --json "$folder/out.json"
expect 2 "key=value" compare "$folder/run@width" --json "$folder/out.json"
ls "$folder" | grep -q '^out\.\(json\|html\)' && report "a failed command left an output file"

[ "$failures" -eq 0 ] && echo "all command line checks passed"
exit "$failures"
