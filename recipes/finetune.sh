#!/bin/sh
# A model of the Hub, fine-tuned on conversations by several workers who do not trust each other: a low-rank adapter, every
# update replayed to equality before it counts. Without pay; recipes/coordinator.md has the same round with it.
#
#   recipes/finetune.sh MODEL TALKS [FOLDER]        (default: finetune-run; it must not exist yet)
#
# MODEL is OWNER/NAME[@REVISION] on the Hub, or a model's folder; TALKS are conversations, JSON Lines (docs/chat.md). From the
# environment: ROUNDS (3), WORKERS ("alice bob"), SEQ_LEN (1024), RECIPE (recipes/lora.toml), ASK (a question), L402 (the binary).
set -eu

recipes=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { echo "usage: $0 MODEL TALKS [FOLDER]" >&2; exit 2; }
model=$1 talks=$(cd "$(dirname "$2")" && pwd)/$(basename "$2") run=${3:-finetune-run}
rounds=${ROUNDS:-3} workers=${WORKERS:-alice bob} length=${SEQ_LEN:-1024} ask=${ASK:-Who are you?}
[ ! -e "$run" ] || { echo "$0: $run is there already: remove it, or name another folder" >&2; exit 73; }
L402=${L402:-l402}
l402() { "$L402" --quiet "$@"; }

# The model, where it is from, and the conversations in its own tokens.
if [ -d "$model" ]; then model=$(cd "$model" && pwd); fi
mkdir -p "$run" && cd "$run"
case $model in
    /*) cp -R "$model" base ;;
    *) l402 pull "$model" -o base ;;
esac
"$L402" shard --chat "$talks" --tokenizer base/tokenizer.json --seq-len "$length" --shards "$(echo "$workers" | wc -w | tr -d ' ')" \
    --pack -o shards

# The recipe, the first adapter, everybody's key.
tokenizer=$(l402 inspect --field tokenizer shards/shards.jsonl | sed -n 1p)
sed -e "s/^tokenizer = \"\"/tokenizer = \"$tokenizer\"/" -e "s/^seq_len = .*/seq_len = $length/" "${RECIPE:-$recipes/lora.toml}" > run.part
theta_0=$(l402 init --recipe run.part --model base --seed 1 -o theta-0)
sed "s/^theta_0 = \"\"/theta_0 = \"$theta_0\"/" run.part > run.toml
rm run.part
l402 key coordinator.key > coordinator.pub
for who in $workers; do
    printf '{"key":"%s","type":"roster","v":1,"worker":"%s"}\n' "$(l402 key "$who.key")" "$who"
done | sort > roster.jsonl

# Rounds: assigned, trained, committed, replayed, scored, put together. And what the held-out conversations say of each.
"$L402" score --model theta-0 --val shards/val-00000.safetensors
round=0
while [ "$round" -lt "$rounds" ]; do
    make --silent -f "$recipes/round.mk" RUN=. ROUND="$round" L402="$L402 --quiet"
    round=$((round + 1))
    "$L402" score --model "theta-$round" --val shards/val-00000.safetensors
done

# What it says now; and a whole model for others.
printf '{"messages": [{"role": "user", "content": "%s"}]}' "$ask" | "$L402" sample --model "theta-$round" --chat - --max-tokens 100
l402 merge "theta-$round" --dtype bfloat16 -o merged
