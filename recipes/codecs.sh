#!/bin/sh
# Loss against bytes: the same model, data and seeds through every codec, beside plain AdamW on the same tokens.
#
#   recipes/codecs.sh [FOLDER]      (default: codecs-run in the repository)
#
# Stopped at any moment, the same command goes on where it was; with more CODECS, SEEDS or (DECAY alike) ROUNDS it adds
# them. It prints the table, and leaves FOLDER/losses.tsv (codec, seed, round, tokens, bytes sent by one worker, held-out
# nats a byte) and FOLDER/codecs.svg. What is counted are updates as files, header and all, in a zstd frame. Nothing is
# signed or replayed: this is about what codecs do to learning.
#
# From the environment: ROUNDS, SEEDS, CODECS, WORKERS, MODEL (a config.json), CORPUS, TOP_K, STEPS and BATCH (of a worker
# and round), LR, SPARSE_LR (the outer learning rate of sparseloco and l402; 1 of the others), EVERY (rounds between two
# measured losses), DECAY (rounds that the learning rate's cosine takes, all by default), L402 (a binary).
set -eu

home=$(cd "$(dirname "$0")/.." && pwd)
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s' "$PWD/$1" ;; esac; }
run=${1:-$home/codecs-run}
rounds=${ROUNDS:-100}
seeds=${SEEDS:-1 2 3}
codecs=${CODECS:-adamw dense f16 int8 blockwise8 e3m0 demo sparseloco l402}
count=${WORKERS:-2}
model=$(absolute "${MODEL:-$home/recipes/codecs.json}")
corpus=$(absolute "${CORPUS:-$home/testdata/text/tinyshakespeare.txt}")
top_k=${TOP_K:-64}
steps=${STEPS:-10}
batch=${BATCH:-4}
lr=${LR:-3e-3}
every=${EVERY:-10}
decay=${DECAY:-$rounds}
sparse_lr=${SPARSE_LR:-2.5}
length=128
if [ -z "${L402:-}" ]; then
    (cd "$home" && cargo build --release)
    target=$(cd "$home" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    L402=$target/release/l402
fi
l402() { "$L402" --quiet "$@"; }
mkdir -p "$run"
cd "$run"
l402 shard "$corpus" --tokenizer bytes --seq-len "$length" --shards 16 --val-shards 1 -o shards

# What a folder holds must be what is asked for: everything that decides its bits, but rounds, seeds and codecs.
files="model=$(cksum < "$model") corpus=$(cksum < "$corpus")"
settings="$files workers=$count top_k=$top_k steps=$steps batch=$batch lr=$lr decay=$decay sparse_lr=$sparse_lr"
if [ -e settings ] && [ "$(cat settings)" != "$settings" ]; then
    echo "codecs: $run was made with other settings: $(cat settings)" >&2
    exit 73
fi
echo "$settings" > settings

# Worker ids w1, w2, ...; plain AdamW is one worker with all of their batches, whose moments go on.
workers() { # codec
    if [ "$1" = adamw ]; then echo plain; else seq "$count" | sed 's/^/w/'; fi
}
recipe() { # codec, seed
    case $1 in adamw) name=dense; size=$((batch * count)) ;; *) name=$1; size=$batch ;; esac
    # Of what sparse codecs do not send, the decay of the error feedback takes a part away: longer steps make up for it.
    case $1 in l402 | sparseloco) outer=$sparse_lr ;; *) outer=1.0 ;; esac
    cat << TOML
arithmetic = 1
name = "codecs"
seed = $2
[model]
[data]
tokenizer = "bytes"
seq_len = $length
[inner]
steps = $steps
batch = $size
lr = $lr
schedule = "cosine"
warmup = $((decay < 20 ? decay * steps / 2 : 10 * steps))
decay_steps = $((decay * steps + 1))
min_lr_ratio = 0.1
weight_decay = 0.1
state = "carry"
[codec]
name = "$name"
top_k = $top_k
feedback = 0.95
[outer]
lr = $outer
TOML
}
loss() { # folder, model
    l402 score --recipe "$1/run.toml" --model "$2" --val shards/val-00000.safetensors > "$1/loss"
    sed 's/.*"before_q32":"\([0-9]*\)".*"tokens":\([0-9]*\).*/\1 \2/' "$1/loss" | awk '{ printf "%.5f", $1 / 4294967296 / $2 }'
}
beacon() { printf '%064x' $(($1 * 1000003 + $2)); } # seed, round

# One round. A run's log has a line for every round that is done: round, bytes that one worker sent, loss or -.
round() { # codec, seed, folder, round
    next=$(($4 + 1))
    l402 assign --recipe "$3/run.toml" --round "$4" --shards shards --workers "$(workers "$1" | paste -sd, -)" \
        --beacon "$(beacon "$2" "$4")" -o "$3/assignments-$4.jsonl"
    for id in $(workers "$1"); do
        shard=$(grep -F "\"worker\":\"$id\"" "$3/assignments-$4.jsonl" | sed 's/.*"shard":"\([^"]*\)".*/\1/')
        moments= feedback=
        if [ "$4" -gt 0 ]; then
            moments="--state $3/$id-$4.moments" feedback="--state $3/$id-$4.feedback"
        fi
        l402 train --recipe "$3/run.toml" --model "$3/theta-$4" --shard "shards/$shard" --round "$4" --worker "$id" \
            --assignments "$3/assignments-$4.jsonl" $moments --state-out "$3/$id-$next.moments" |
            l402 compress --recipe "$3/run.toml" $feedback --state-out "$3/$id-$next.feedback" \
                -o "$3/$id-$next.update.zst"
    done
    l402 aggregate --recipe "$3/run.toml" --model "$3/theta-$4" "$3"/*-"$next".update.zst -o "$3/theta-$next"
    bytes=$(cat "$3"/*-"$next".update.zst | wc -c)
    now=-
    if [ $((next % every)) -eq 0 ]; then now=$(loss "$3" "$3/theta-$next"); fi
    printf '%s\t%s\t%s\n' "$next" "$((bytes / $(workers "$1" | wc -l)))" "$now" >> "$3/log.tsv"
    rm -rf "$3/theta-$4" "$3"/*-"$4".moments "$3"/*-"$4".feedback "$3"/*-"$4".update.zst "$3/assignments-$4.jsonl"
}

for seed in $seeds; do
    for codec in $codecs; do
        folder=$codec-$seed
        mkdir -p "$folder"
        recipe "$codec" "$seed" > "$folder/run.toml"
        if [ ! -e "$folder/log.tsv" ]; then
            l402 init --config "$model" --seed "$seed" -o "$folder/theta-0" > "$folder/theta"
            first=$(loss "$folder" "$folder/theta-0")
            printf '0\t0\t%s\n' "$first" > "$folder/log.tsv"
        fi
        done=$(tail -n 1 "$folder/log.tsv" | cut -f 1)
        while [ "$done" -lt "$rounds" ]; do
            round "$codec" "$seed" "$folder" "$done"
            done=$((done + 1))
        done
        tail -n 1 "$folder/log.tsv" | awk -v what="$codec, seed $seed" '{ printf "%s: round %d, %s\n", what, $1, $3 }' >&2
    done
done

# ---- The table and the plot -----------------------------------------------------------------------------------------

# tokens: of all workers together. bytes: of one worker up to here.
for seed in $seeds; do
    for codec in $codecs; do
        awk -v codec="$codec" -v seed="$seed" -v tokens=$((steps * batch * count * length)) -v last="$rounds" '
            $1 > last { next }
            { bytes += $2 }
            $3 != "-" { printf "%s\t%d\t%d\t%d\t%d\t%s\n", codec, seed, $1, $1 * tokens, bytes, $3 }' "$codec-$seed/log.tsv"
    done
done > losses.tsv
first=${seeds%% *} any=${codecs%% *}
parameters=$(l402 inspect --json "$any-$first/theta-$(tail -n 1 "$any-$first/log.tsv" | cut -f 1)" |
    sed 's/.*"parameters":\([0-9]*\).*/\1/')
echo "$parameters parameters, $((steps * batch * count * length)) tokens a round, $(echo "$seeds" | wc -w) seeds"
awk -v order="$codecs" -v f32=$((parameters * 4)) -f "$home/recipes/codecs-table.awk" losses.tsv
awk -v order="$codecs" -f "$home/recipes/codecs-plot.awk" losses.tsv > codecs.svg
