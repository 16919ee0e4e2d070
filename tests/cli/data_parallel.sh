#!/bin/sh
# Training in two processes: the losses and weights of one process with the joined batch, the same bits in every run,
# and one clear sentence on whoever is left when a process is gone, cannot be met or does not fit.
# Usage: data_parallel.sh PATH/TO/giantrabbit-train
program=$1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failures=0
port=$((20000 + $$ % 20000))

report() {
  echo "FAILED: $1"
  for file in "$folder"/out* "$folder"/err*; do sed "s|^|    $(basename "$file"): |" "$file"; done
  failures=$((failures + 1))
}

# start RANK ARGUMENTS..: one process of two, in the background; its number is in $process.
start() {
  rank=$1
  shift
  RANK=$rank WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$program" "$@" >"$folder/out$rank" \
    2>"$folder/err$rank" &
  process=$!
}

# launch DIRECTORY ARGUMENTS..: both processes, whose numbers are in $first and $second.
launch() {
  directory=$1
  shift
  port=$((port + 1))
  rm -f "$folder"/out* "$folder"/err*
  start 0 --out "$folder/$directory" "$@"
  first=$process
  start 1 --out "$folder/$directory" "$@"
  second=$process
}

# ended CODE OF_FIRST CODE OF_SECOND: waits for both.
ended() {
  wait "$first" 2>/dev/null
  code_of_first=$?
  wait "$second" 2>/dev/null
  code_of_second=$?
  [ "$code_of_first" -eq "$1" ] || report "$directory: exit code $code_of_first instead of $1 of rank 0"
  [ "$code_of_second" -eq "$2" ] || report "$directory: exit code $code_of_second instead of $2 of rank 1"
}

# says RANK PART: one line on stderr, which holds PART.
says() {
  grep -qF -e "$2" "$folder/err$1" || report "rank $1: no '$2'"
  [ "$(wc -l <"$folder/err$1")" -eq 1 ] || report "rank $1: the error is not one line"
}

alone() {
  "$program" --out "$folder/$1" $small $2 >"$folder/out" 2>"$folder/err" || report "$1: fails"
}

timeless() { sed -e 's/"[a-z_]*seconds":[^,]*,//g' -e 's/,"tokens_per_second":[^}]*//' "$folder/$1/metrics.jsonl"; }
losses() { sed -n 's/.*"loss":\([^,]*\),.*/\1/p' "$folder/$1/metrics.jsonl"; }

same() {
  cmp -s "$folder/$1/model.safetensors" "$folder/$2/model.safetensors" || report "$2: other weights than $1"
  [ "$(timeless "$1")" = "$(timeless "$2")" ] || report "$2: other metrics than $1"
}

# Waits until the run has written a checkpoint behind its 20th update.
wait_for_checkpoint() {
  while kill -0 "$first" 2>/dev/null && ! ls "$folder/$1/checkpoints/"step-000000[2-9]* >/dev/null 2>&1; do
    sleep 0.02
  done
}

small="--width 16 --heads 2 --feed-forward 32 --decoder-layers 2 --thought-steps 1 --attention sparsemax
  --shared-attention lsh --batch-tokens 128 --warmup-steps 10 --validation-items 2 --steps 200"

# Nobody to meet: ends by itself, while the checks below go on.
(
  RANK=1 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$program" --out "$folder/none" --steps 5 --accumulate 2 \
    >"$folder/nobody.out" 2>"$folder/nobody.err"
  echo $? >"$folder/nobody.code"
) &
nobody=$!
port=$((port + 1))

# refuse PART VARIABLES..: exit code 2 and one line on stderr that holds PART.
refuse() {
  part=$1
  shift
  env "$@" "$program" --out "$folder/none" --steps 5 >"$folder/out0" 2>"$folder/err0"
  code=$?
  [ "$code" -eq 2 ] || report "$*: exit code $code instead of 2"
  says 0 "$part"
}
refuse "WORLD_SIZE is not set" RANK=0
refuse "RANK is not set" WORLD_SIZE=2
refuse "(rank 2): RANK: expected an integer from 0 to 1, got '2'" RANK=2 WORLD_SIZE=2
refuse "WORLD_SIZE: expected an integer from 1 to 4096, got '0'" RANK=0 WORLD_SIZE=0
refuse "MASTER_ADDR is not set" RANK=0 WORLD_SIZE=2
refuse "MASTER_PORT: expected an integer from 1 to 65535, got 'x'" RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=x

launch none --steps 5
ended 2 2
says 0 "2 processes cannot share 1 micro-batches evenly; give --accumulate 2 or a multiple"
[ ! -e "$folder/none" ] || report "a refused start leaves a directory behind"

# One micro-batch each: the same additions as in one process, so the same bits.
alone whole "--accumulate 2"
launch pair $small --accumulate 2
ended 0 0
same whole pair
[ ! -s "$folder/err0" ] && [ ! -s "$folder/err1" ] && [ ! -s "$folder/out1" ] || report "a good run has complaints"
grep -q '"processes": 2' "$folder/pair/summary.json" || report "the summary does not say how many processes there were"

# Two micro-batches each: the sum is rounded in another order. The same bits every time.
alone four "--accumulate 4"
launch pairs $small --accumulate 4
ended 0 0
launch again $small --accumulate 4
ended 0 0
same pairs again
[ "$(losses four | wc -l)" -eq 4 ] || report "four: not a loss every 50 updates"
losses four >"$folder/expected"
losses pairs | paste -d ' ' - "$folder/expected" | awk '{ d = $1 - $2; if (d * d > 1e-8) exit 1 }' ||
  report "the losses of two processes are not those of the joined batch"

# A lost process: the other one ends at once and names it; the run goes on with two processes or with one.
kill_one() {
  launch "$1" $small --accumulate 2 --checkpoint-seconds 0
  wait_for_checkpoint "$1"
  if [ "$2" -eq 0 ]; then kill -KILL "$first"; else kill -KILL "$second"; fi
  began=$(date +%s)
  if [ "$2" -eq 0 ]; then ended 137 1; else ended 1 137; fi
  took=$(($(date +%s) - began))
  [ "$took" -lt 30 ] || report "$1: the other process ended after $took s only"
  says $((1 - $2)) "rank $2 is lost"
}
kill_one killed 1
launch killed --resume
ended 0 0
same whole killed
kill_one headless 0
"$program" --out "$folder/headless" --resume >"$folder/out" 2>"$folder/err" || report "headless: cannot be resumed alone"
same whole headless

# Ctrl-C in the first process stops both; a run of one process goes on in two.
launch stopped $small --accumulate 2 --checkpoint-seconds 0
wait_for_checkpoint stopped
kill -INT "$first"
ended 0 0
grep -q "everything is saved" "$folder/out0" || report "Ctrl-C does not say that the run is saved"
launch stopped --resume
ended 0 0
same whole stopped

# Whoever does not fit says so, and the other one does not wait.
port=$((port + 1))
rm -f "$folder"/out* "$folder"/err*
start 0 --out "$folder/misfit" $small --accumulate 2
first=$process
start 1 --out "$folder/misfit" $small --accumulate 2 --width 32
second=$process
ended 1 1
says 0 "rank 1 is lost"
says 1 "the configuration differs from that of rank 0"
launch whole $small --accumulate 2
ended 1 1
says 0 "already holds a run"
says 1 "rank 0 is lost"

wait "$nobody"
[ "$(cat "$folder/nobody.code")" -eq 1 ] || report "nobody to meet: exit code $(cat "$folder/nobody.code") instead of 1"
cp "$folder/nobody.err" "$folder/err1"
says 1 "nobody answers at 127.0.0.1"

[ "$failures" -eq 0 ] && echo "all checks of two processes passed"
exit "$failures"
