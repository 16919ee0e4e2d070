#!/usr/bin/env bash
# One experiment per name: trains its arms, two runs side by side, one core each, and compares them on the same
# problems. Usage: scripts/experiments.sh NAME [--minutes 20] [--seeds 1] [--count 1000] [--task row-reduction]
#   keep-fraction     share of embedding and thought entries that is kept: 0.1 0.3 0.5 0.7 1
#   ablation          without encoder, without chain-of-thought module, without sparse attention
#   masks             dynamic, static, random and recency masks of the thoughts at equal density
#   thoughts          latent steps T = 0 1 2 4 8 against as many pause tokens
#   format            answer only, delta and prod chains, dense and sparse
#   length            time and accuracy against length, dense and sparse, on Gauss-Jordan elimination over GF(2)
#   recall            answers whose key lies far back: dense, sparse, and a window
#   sparse-inference  dense training, sparse attention at inference
#   eviction          a cache that forgets behind every written step: by attention, recency or at random
# Runs go to runs/experiments/NAME/TASK/ARM-SEED. A finished run is not trained again, an interrupted one continues;
# both need the --minutes that they were started with. length and recall have a task of their own.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '/^#   /s/^# //p' "$0" >&2; }
fail() { echo "experiments.sh: $1" >&2; exit 2; }
name=${1:-}
[ -n "$name" ] && shift || { echo "experiments.sh: a name is needed:" >&2; usage; exit 2; }
minutes=20 seeds=1 count=1000 task=
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || fail "$1 needs a value"
  case $1 in
    --minutes) [[ $2 =~ ^[0-9]+([.][0-9]+)?$ ]] || fail "--minutes needs a number, got '$2'"; minutes=$2 ;;
    --seeds) [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "--seeds needs a whole number, got '$2'"; seeds=$2 ;;
    --count) [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "--count needs a whole number, got '$2'"; count=$2 ;;
    --task) task=$2 ;;
    *) fail "unknown option '$1'; known: --minutes M, --seeds N, --count N, --task NAME" ;;
  esac
  shift 2
done

arms=()  # "ARM|options"
own_task() { [ -z "$task" ] || fail "--task $task: the experiment $name has a task of its own, $1"; task=$1; }
arm() { arms+=("$1|${*:2}"); }
dense="--attention softmax" sparse="--attention sparsemax"
case $name in
  keep-fraction)
    for a in 1 0.7 0.5 0.3 0.1; do arm "keep-$a" $sparse --mask dynamic --keep-fraction $a; done ;;
  ablation)
    arm full $sparse
    arm no-encoder $sparse --encoder=false
    arm no-thoughts $sparse --thought-steps 0
    arm dense-attention $dense ;;
  masks)
    arm no-mask $sparse --thought-steps 4
    for mask in dynamic static random recency; do
      arm "$mask-tokens" $sparse --thought-steps 4 --mask $mask --mask-granularity token --keep-fraction 0.5
    done
    for mask in dynamic static random; do
      arm "$mask-features" $sparse --thought-steps 4 --mask $mask --mask-granularity feature --keep-fraction 0.5
    done ;;
  thoughts)
    for steps in 0 1 2 4 8; do arm "thoughts-$steps" $sparse --thought-steps $steps; done
    for pauses in 1 2 4 8; do arm "pauses-$pauses" $sparse --thought-steps 0 --pause-tokens $pauses; done ;;
  format)
    for format in prod delta answer_only; do
      arm "dense-$format" $dense --format $format
      arm "sparse-$format" $sparse --format $format
    done ;;
  length)
    own_task gauss-jordan-gf2
    arm dense $dense --position rotary
    arm sparse $sparse --position rotary ;;
  recall)
    own_task recall
    arm dense $dense
    arm sparse $sparse
    arm dense-window $dense --window 32
    arm sparse-window $sparse --window 32 ;;
  sparse-inference | eviction)
    arm dense $dense
    arm sparse $sparse ;;
  *) echo "experiments.sh: unknown experiment '$name'; known:" >&2; usage; exit 2 ;;
esac

task=${task:-row-reduction}
out=runs/experiments/$name/$task
# Runs of different length are not compared with one another.
for config in "$out"/*/config.toml; do
  [ -e "$config" ] || continue
  started=$(sed -n 's/^minutes = //p' "$config")
  awk "BEGIN { exit !($started + 0 == $minutes) }" ||
    fail "${config%/config.toml} was started with --minutes $started, not $minutes; give that, or remove $out"
done

scripts/build.sh -DGR_TESTS=OFF
bin=${BUILD_DIR:-build}/bin
mkdir -p "$out"
# Processors without these instructions emulate bfloat16, slower than float32.
precision=float32
if grep -qwE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then precision=bfloat16; fi

train_arm() {  # NAME OPTIONS SEED
  local run=$out/$1-$3
  trap 'kill $(jobs -p) 2>/dev/null || true; wait; exit 1' TERM  # the trainer ends with this job
  [ -e "$run/summary.json" ] && { echo "experiments.sh: $run is finished"; return; }
  if [ -d "$run/checkpoints" ]; then
    OMP_NUM_THREADS=1 "$bin/giantrabbit-train" --resume --out "$run" >"$run.log" 2>&1 &
  else
    rm -rf "$run"
    # shellcheck disable=SC2086  # options are words
    OMP_NUM_THREADS=1 "$bin/giantrabbit-train" --task "$task" --precision $precision --minutes "$minutes" --seed "$3" \
      $2 --out "$run" >"$run.log" 2>&1 &
  fi
  wait $! || { echo "experiments.sh: $run failed: $(tail -n 1 "$run.log")" >&2; return 1; }
  echo "experiments.sh: trained $run"
}

trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
runs=()
for seed in $(seq "$seeds"); do
  for entry in "${arms[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    train_arm "${entry%%|*}" "${entry#*|}" "$seed" &
    runs+=("$out/${entry%%|*}-$seed")
  done
done
while [ -n "$(jobs -rp)" ]; do wait -n; done

compared=("${runs[@]}") also=()
if [ "$name" = length ]; then also=(--lengths 64,256,1024,4096,16384); fi
if [ "$name" = sparse-inference ]; then
  compared=()
  for seed in $(seq "$seeds"); do
    dense_run=$out/dense-$seed
    compared+=("$dense_run" "$dense_run@attention=sparsemax,score_scale=1" "$dense_run@attention=sparsemax,score_scale=0.5"
      "$dense_run@attention=entmax15,score_scale=0.7" "$out/sparse-$seed")
  done
fi
"$bin/giantrabbit-eval" compare "${compared[@]}" "${also[@]}" --count "$count" --json "$out/comparison.json" --report "$out/report.html"
case $name in
  length) "$bin/giantrabbit-eval" timing "$out/dense-1" "$out/sparse-1" --json "$out/timing.json" ;;
  eviction) "$bin/giantrabbit-eval" evict "${runs[@]}" --json "$out/eviction.json" ;;
esac
echo "experiments.sh: figures in $out/comparison.json, report in $out/report.html"
