#!/bin/sh
# A model of the Hub, fine-tuned on conversations by several workers who do not trust each other: a low-rank adapter, every
# update replayed to equality before it counts. Without pay; recipes/coordinator.md has the same round with it.
#
#   recipes/finetune.sh MODEL TALKS [FOLDER]        (default: finetune-run)
#
# MODEL is OWNER/NAME[@REVISION] on the Hub, or a model's folder; TALKS are conversations, JSON Lines (docs/chat.md). From the
# environment: ROUNDS (3), WORKERS ("alice bob"), SEQ_LEN (1024), RECIPE (recipes/lora.toml), ASK (a question), L402 (the
# binary, without a space in its name). After a kill, or with more ROUNDS, the same command goes on.
set -eu

wrong() { echo "finetune: $2" >&2; exit "$1"; }
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s' "$PWD/$1" ;; esac; }
[ $# -ge 2 ] || wrong 2 "usage: $0 MODEL TALKS [FOLDER]"
recipes=$(cd "$(dirname "$0")" && pwd)
model=$1 talks=$(absolute "$2") run=${3:-finetune-run} recipe=$(absolute "${RECIPE:-$recipes/lora.toml}")
rounds=${ROUNDS:-3} workers=${WORKERS:-alice bob} length=${SEQ_LEN:-1024} ask=${ASK:-Who are you?}
case $rounds in '' | *[!0-9]*) wrong 2 "ROUNDS: expected a number, found $rounds" ;; esac
L402=$(command -v "${L402:-l402}") || wrong 66 "${L402:-l402}: no such program: put it on the PATH, or name it by L402"
L402=$(absolute "$L402")
[ -e "$talks" ] || wrong 66 "$talks: no such file"
[ -e "$recipe" ] || wrong 66 "$recipe: no such file"
[ ! -e "$run" ] || [ -e "$run/run.toml" ] || wrong 73 "$run is there already, and no run of this: name another folder"
quiet() { "$L402" --quiet "$@"; }

# The model, and where it is from; then the run: the conversations in its own tokens, the recipe, the first adapter, everybody's key.
if [ ! -e "$run" ]; then
    case $model in
        */*/* | /* | ./* | ../*) ;;
        *) if [ ! -d "$model" ]; then quiet pull "$model" -o "$run-model"; model=$run-model; fi ;;
    esac
    "$L402" new "$run" --model "$model" --recipe "$recipe" --chat --pack --text "$talks" --seq-len "$length" --seed 1 \
        --shards "$(echo "$workers" | wc -w | tr -d ' ')" --workers "$(echo "$workers" | tr -s ' ' ,)" > /dev/null
fi
cd "$run"

# Rounds: assigned, trained, committed, replayed, scored, put together. And what the held-out conversations say of each.
"$L402" score --model theta-0 --val shards/val-00000.safetensors
round=0
while [ "$round" -lt "$rounds" ]; do
    make --silent -f "$recipes/round.mk" RUN=. ROUND="$round" L402="$L402 --quiet"
    round=$((round + 1))
    "$L402" score --model "theta-$round" --val shards/val-00000.safetensors
done

# What it says now; and a whole model for others.
ask=$(printf '%s' "$ask" | tr '\n' ' ' | sed 's/[\\"]/\\&/g')
printf '{"messages": [{"role": "user", "content": "%s"}]}' "$ask" | "$L402" sample --model "theta-$round" --chat - --max-tokens 100
quiet merge "theta-$round" --dtype bfloat16 -o merged --force
