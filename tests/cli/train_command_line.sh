#!/bin/sh
# Command line of giantrabbit-train: exit codes, one-sentence errors that leave no directory behind, and runs that are
# interrupted (Ctrl-C, kill) and resumed: they end with the bits of a run that was not.
# Usage: train_command_line.sh PATH/TO/giantrabbit-train
program=$1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failures=0

report() {
  echo "FAILED: $1"
  sed 's/^/    /' "$folder/out" "$folder/err"
  failures=$((failures + 1))
}

# refuse CODE PART ARGUMENTS..: the exit code, one line on stderr that holds PART, and no run directory.
refuse() {
  code=$1
  part=$2
  shift 2
  "$program" "$@" >"$folder/out" 2>"$folder/err"
  actual=$?
  [ "$actual" -eq "$code" ] || report "giantrabbit-train $*: exit code $actual instead of $code"
  grep -qF -e "$part" "$folder/err" || report "giantrabbit-train $*: no '$part'"
  [ "$(wc -l <"$folder/err")" -eq 1 ] || report "giantrabbit-train $*: the error is not one line"
  [ ! -e "$folder/none" ] || report "giantrabbit-train $*: left a directory behind"
}

none="--out $folder/none"
refuse 2 "--out is needed" --steps 5
refuse 2 "give --minutes, --steps or --tokens" $none
refuse 2 "unknown option 'stpes'; nearest known: steps" $none --stpes 5
refuse 2 "unknown option 'task'; nearest known" $none --steps 5 task
refuse 2 "model.width: expected an integer from 1 to 4096, got 'wide'" $none --steps 5 --width wide
refuse 2 "model.width: expected an integer from 1 to 4096, got 5000" $none --steps 5 --width 5000
refuse 2 "train.minutes: expected a number of at least 0, got -1" $none --minutes=-1
refuse 2 "model.attention: expected one of softmax|sparsemax|entmax15, got 'sparse'" $none --steps 5 --attention sparse
refuse 2 "data.task: expected one of" $none --steps 5 --task cooking
refuse 2 "model.heads: 3 does not divide model.width 128" $none --steps 5 --heads 3
refuse 2 "model.mask: 'static' needs thought steps" $none --steps 5 --mask static --thought-steps 0
refuse 2 "--set: expected key=value, got 'train.steps'" $none --set train.steps
refuse 2 "unknown option 'model.layers'; nearest known" $none --steps 5 --set model.layers=3
refuse 2 "steps" $none --steps
refuse 1 "$folder/none.toml: no such file" $none --config "$folder/none.toml"
refuse 1 "$folder/none/config.toml: no such file" $none --resume
refuse 1 "$folder: not a regular file" $none --config "$folder"
refuse 1 "/dev/null: not a regular file" $none --config /dev/null
refuse 2 "nothing says when to stop" $none --resume=false
refuse 2 "train.validation_items: expected an integer of at least 1, got 0" $none --steps 5 --validation-items 0
decoder="--task text --encoder=false --thought-steps 0"
refuse 2 "data.text: the task text needs a file" $none --steps 5 $decoder
refuse 2 "data.text: only the task text reads a file" $none --steps 5 --text "$0"
refuse 2 "model.encoder: a text has no prompt" $none --steps 5 --task text --text "$0"
refuse 2 "model.thought_steps: a text has no prompt" $none --steps 5 --task text --text "$0" --encoder=false
refuse 2 "model.output: 'sparsemax' gives some characters no probability" $none --steps 5 $decoder --text "$0" \
  --output sparsemax
refuse 1 "cannot read $folder/none.txt: No such file" $none --steps 5 $decoder --text "$folder/none.txt"
refuse 1 "cannot read $folder: Is a directory" $none --steps 5 $decoder --text "$folder"
no_utf8=$(printf '%s/\377.txt' "$folder")
: >"$no_utf8"
refuse 2 "data.text: a path that is no UTF-8 cannot be written down" $none --steps 5 $decoder --text "$no_utf8"
: >"$folder/empty.txt"
refuse 1 "$folder/empty.txt: 0 characters are too few" $none --steps 5 $decoder --text "$folder/empty.txt"
refuse 1 "must hold at least one window of 9999" $none --steps 5 $decoder --text "$0" --text-length 9999
printf '[train]\nsteps = 5\n\n[model]\nwidth = "wide"\n' >"$folder/bad.toml"
refuse 2 "$folder/bad.toml, line 5: model.width: expected an integer" $none --config "$folder/bad.toml"
printf '[model]\nwidht = 5\n' >"$folder/bad.toml"
refuse 2 "$folder/bad.toml, line 2: unknown option 'model.widht'; nearest known: model.width" $none --config "$folder/bad.toml"
printf '[model\n' >"$folder/bad.toml"
refuse 1 "$folder/bad.toml, line 1: not a TOML file" $none --config "$folder/bad.toml"

"$program" --help >"$folder/out" 2>"$folder/err" || report "--help fails"
grep -q -e "--learning-rate" "$folder/out" || report "--help does not list the options"

small="--width 16 --heads 2 --feed-forward 32 --decoder-layers 1 --thought-steps 1 --attention sparsemax
  --batch-tokens 128 --warmup-steps 10 --validation-items 2 --steps 150"

# run CODE DIRECTORY ARGUMENTS..
run() {
  code=$1
  directory=$2
  shift 2
  "$program" --out "$folder/$directory" "$@" >"$folder/out" 2>"$folder/err"
  actual=$?
  [ "$actual" -eq "$code" ] || report "$directory $*: exit code $actual instead of $code"
}

# An error in the middle of a run is one line too: learned positions that end before the prompt does.
run 1 short $small --position learned --max-positions 4
grep -q "raise model.max_positions" "$folder/err" || report "a position outside the table is not named"
[ "$(wc -l <"$folder/err")" -eq 1 ] || report "an error of LibTorch is not one line"

# A start that failed at once does not block its directory.
run 0 short $small --steps 2
[ -e "$folder/short/model.safetensors" ] || report "the corrected command trains nothing"

# Weights that are not finite are a failure, not a result.
run 1 infinite $small --steps 1 --warmup-steps 0 --learning-rate 1e39
grep -q "a weight became" "$folder/err" || report "infinite weights are not named"
[ ! -e "$folder/infinite/model.safetensors" ] || report "infinite weights are saved"

# So are chains that are longer than the default table.
run 1 long $small --task gauss-jordan-gf2-16
grep -q "raise model.max_positions" "$folder/err" || report "a chain outside the table is not named"
[ "$(wc -l <"$folder/err")" -eq 1 ] || report "a chain outside the table gives more than one line"

run 0 whole $small
run 1 whole $small
grep -q "already holds a run" "$folder/err" || report "a second run into the same directory is not refused"
run 1 whole --resume --width 32
grep -q "model.width = 16" "$folder/err" || report "a changed option is not refused"
# A configuration that was made larger by hand is refused before a model of that size is built.
cp -r "$folder/whole" "$folder/hostile"
sed -i -e 's/^width = .*/width = 4096/' -e 's/^feed_forward = .*/feed_forward = 65536/' \
  -e 's/^decoder_layers = .*/decoder_layers = 64/' "$folder/hostile/config.toml"
run 1 hostile --resume
grep -q "the configuration asks for a model of at least" "$folder/err" || report "a huge configuration is not refused"

# A text run goes on with the text that it began with only.
cp "$0" "$folder/text.txt"
small_text="$decoder --text-length 64 --position rotary --width 16 --heads 2 --feed-forward 32 --decoder-layers 1
  --batch-tokens 128 --validation-items 2"
run 0 text $small_text --text "$folder/text.txt" --steps 2
grep -q '"validation_bits_per_character"' "$folder/text/summary.json" || report "no bits per character in the summary"
grep -q "bits per character" "$folder/out" || report "no bits per character in the live line"
run 0 text --resume --steps 3
echo >>"$folder/text.txt"
run 1 text --resume --steps 4
grep -q "text.txt: not the text that training began with" "$folder/err" || report "a changed text is not refused"
[ "$(wc -l <"$folder/err")" -eq 1 ] || report "the error of a changed text is not one line"

# interrupt SIGNAL DIRECTORY PATTERN ARGUMENTS..: sends the signal as soon as the run has written a file of that name.
# The process is watched, not waited for, hence the loop.
interrupt() {
  signal=$1
  directory=$2
  sign=$3
  shift 3
  "$program" --out "$folder/$directory" "$@" >"$folder/out" 2>"$folder/err" &
  process=$!
  while kill -0 $process 2>/dev/null && ! ls "$folder/$directory/"$sign >/dev/null 2>&1; do sleep 0.02; done
  kill "-$signal" $process 2>/dev/null
  # Who stops a group of processes and passes the signal on sends it twice.
  if [ "$signal" = TERM ]; then kill -TERM $process 2>/dev/null; fi
  wait $process 2>/dev/null
  status=$?
  [ ! -e "$folder/$directory/model.safetensors" ] || report "$directory: the run ended before SIG$signal came"
}

timeless() { sed -e 's/"[a-z_]*seconds":[^,]*,//g' -e 's/,"tokens_per_second":[^}]*//' "$folder/$1/metrics.jsonl"; }

same_as_whole() {
  cmp -s "$folder/whole/model.safetensors" "$folder/$1/model.safetensors" || report "$1: other weights than the whole run"
  [ "$(timeless whole)" = "$(timeless "$1")" ] || report "$1: other metrics than the whole run"
}

interrupt INT stopped config.toml $small
[ "$status" -eq 0 ] || report "Ctrl-C: exit code $status instead of 0"
grep -q "everything is saved" "$folder/out" || report "Ctrl-C does not say that the run is saved"
run 0 stopped --resume
same_as_whole stopped

interrupt TERM ended config.toml $small
[ "$status" -eq 0 ] || report "SIGTERM twice: exit code $status instead of 0"
run 0 ended --resume
same_as_whole ended

interrupt KILL killed 'checkpoints/step-000000[2-9]*' $small --checkpoint-seconds 0
cp "$folder/killed/config.toml" "$folder/before.toml"
run 0 killed --resume
same_as_whole killed
cmp -s "$folder/killed/config.toml" "$folder/before.toml" || report "resuming changed config.toml"

# A damaged checkpoint is refused with its name; the run stays as it is.
newest=$(ls "$folder"/killed/checkpoints/*.safetensors | tail -1)
# damage BYTES MESSAGE: what is left of the file, what the error says about it.
damage() {
  head -c "$1" "$newest" >"$folder/part" && cp "$folder/part" "$newest"
  run 1 killed --resume
  grep -qF "$newest: $2" "$folder/err" || report "a checkpoint of $1 bytes: no '$2'"
  [ "$(wc -l <"$folder/err")" -eq 1 ] || report "the error of a checkpoint of $1 bytes is not one line"
}
damage $(($(wc -c <"$newest") - 1)) "not a safetensors file"
damage 1000 "the configuration asks for a model of at least 14352 weights, 1000 bytes cannot hold it (damaged?)"

[ "$failures" -eq 0 ] && echo "all command line checks passed"
exit "$failures"
