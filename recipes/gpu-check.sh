#!/bin/sh
# Does a GPU compute the bits of every processor, and how fast? On a bare GPU machine with the binary carried there, under ten minutes:
#
#   L402=./l402 recipes/gpu-check.sh [FOLDER]        (default: gpu-check)
#
# First every operator beside the processor's; then a round trained, replayed and scored on either, whose files are compared; then
# steps of models of 30M to 1.5B parameters, and PyTorch's beside them where a Python has it. It ends with the first difference, and
# otherwise prints a table; FOLDER/figures.jsonl has what was measured, FOLDER/selftest.txt the operators.
#
# From the environment: L402 (a binary), DEVICE (cuda:0), PYTHON (python3), TEXT (what is trained on); of the round MODEL (a config.json),
# LENGTH (tokens of a sequence) and ROUND_STEPS; COMPARE (a shape of benches/shapes.json, a step of which is made on both), SHAPES (that
# are timed), and of each STEPS and BATCH.
set -eu

home=$(cd "$(dirname "$0")/.." && pwd)
run=${1:-gpu-check}
binary=$(command -v "${L402:-l402}") || { echo "gpu-check: no l402: name the binary by L402" >&2; exit 66; }
device=${DEVICE:-cuda:0}
python=${PYTHON:-python3}
shapes=${SHAPES-30M 135M 0.5B 1.5B}
model=${MODEL:-$home/recipes/quickstart.json}
length=${LENGTH:-128}
round_steps=${ROUND_STEPS:-10}
compare=${COMPARE-30M}
steps=${STEPS:-4}
batch=${BATCH:-8}
text=${TEXT:-$home/testdata/text/tinyshakespeare.txt}
absolute() { printf %s "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"; }
text=$(absolute "$text")
binary=$(absolute "$binary")
model=$(absolute "$model")
l402() { "$binary" --quiet "$@"; }
say() { printf '%s\n' "$*" >&2; }
rm -rf "$run"
mkdir -p "$run"
cd "$run"

# ---- The operators ----
say "operators on $device"
"$binary" selftest --device "$device" > selftest.txt || { grep -v equal selftest.txt >&2; exit 1; }

# ---- A round on both ----
# recipe LENGTH BATCH STEPS ARITHMETIC LEAF_EVERY THETA
recipe() {
    cat << EOF
arithmetic = $4
name = "gpu-check"
seed = 402
[model]
theta_0 = "$6"
[data]
tokenizer = "bytes"
seq_len = $1
[inner]
steps = $3
batch = $2
lr = 1e-3
state = "carry"
[codec]
name = "l402"
top_k = 256
[verify]
leaf_every = $5
[score]
sequences = 16
EOF
}
same() { cmp "$1" "$2" || { say "gpu-check: $1 and $2 differ: this GPU cannot be verified"; exit 1; }; }
l402 shard "$text" --tokenizer bytes --seq-len "$length" --shards 2 --val-shards 1 -o shards
theta=$(l402 init --config "$model" --seed 402 -o theta)
for arithmetic in 1 2; do
    recipe "$length" 8 "$round_steps" $arithmetic 1 "$theta" > r$arithmetic.toml
    work="--recipe r$arithmetic.toml --model theta --round 0 --worker a"
    for at in "$device" cpu; do
        say "a round under arithmetic $arithmetic on $at"
        l402 train $work --shard shards/train-00000.safetensors --state-out $at.moments --leaves $at.leaves \
            --update $at.update --feedback $at.feedback --device "$at" --force
        l402 score --recipe r$arithmetic.toml --model theta --round 0 --val shards/val-00000.safetensors \
            --beacon "$theta" $at.update --device "$at" -o $at.scores --force
    done
    for file in update moments feedback leaves scores; do same "$device.$file" cpu.$file; done
done

# ---- Speed ----
# config SHAPE: its config.json, from benches/shapes.json, a shape in five lines.
config() {
    awk -v name="\"$1\":" '
        index($0, name) { inside = 1 }
        inside && /"config"/ { sub(/.*"config": /, ""); inside = 2 }
        inside == 2 { text = text $0 }
        inside == 2 && /}/ { sub(/}.*/, "", text); print text ", \"model_type\": \"llama\", \"hidden_act\": \"silu\"}"; exit }
    ' "$home/benches/shapes.json"
}
# median FIELD FILE: of the steps but the first, which has what is done once.
median() { sed -n 's/.*"'"$1"'":\([0-9.e+-]*\).*/\1/p' "$2" | sed 1d | sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }
measured() { printf '{"engine":"%s","shape":"%s","tokens_per_second":%s}\n' "$1" "$2" "$3" >> figures.jsonl; }
l402 shard "$text" --tokenizer bytes --seq-len 512 --shards 1 --val-shards 1 -o long
: > figures.jsonl
# What larger models take of the kernels: a step of one on both, to the byte.
if [ -n "$compare" ]; then
    config "$compare" > config.json
    theta=$(l402 init --config config.json --seed 402 -o model)
    for arithmetic in 1 2; do
        say "a step of $compare under arithmetic $arithmetic on both"
        recipe 512 8 1 $arithmetic 1 "$theta" > compare.toml
        for at in "$device" cpu; do
            l402 train --recipe compare.toml --model model --round 0 --worker a --shard long/train-00000.safetensors \
                --leaves $at.leaves --device "$at" -o $at.delta --force
        done
        for file in delta leaves; do same "$device.$file" cpu.$file; done
    done
    rm -rf model ./*.delta
fi
for shape in $shapes; do
    config "$shape" > config.json
    theta=$(l402 init --config config.json --seed 402 -o model)
    for way in "1 $steps" "2 $steps" "1 1"; do
        arithmetic=${way% *} leaf_every=${way#* }
        say "$shape, arithmetic $arithmetic, leaves every $leaf_every steps"
        recipe 512 "$batch" "$steps" "$arithmetic" "$leaf_every" "$theta" > speed.toml
        rm -f log.jsonl
        l402 train --recipe speed.toml --model model --round 0 --worker a --shard long/train-00000.safetensors \
            --log log.jsonl --device "$device" > /dev/null
        name="l402, arithmetic $arithmetic"
        [ "$leaf_every" = "$steps" ] || name="$name, a leaf a step"
        measured "$name" "$shape" "$(median tokens_per_second log.jsonl)"
    done
    rm -rf model
    "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2> /dev/null || continue
    for way in "" --tf32 --bf16; do
        for how in "" --compile; do
            say "$shape, PyTorch $way $how"
            "$python" "$home/benches/peers/torch_llama.py" --device "$device" --shape "$shape" --batch "$batch" --seq-len 512 \
                --steps 8 $way $how > torch.jsonl 2> torch.log || { tail -n 1 torch.log >&2; continue; }
            rate=$(sed -n 's/.*"tokens_per_s": \([0-9.e+-]*\).*/\1/p' torch.jsonl | tail -n 5 | sort -g | sed -n 3p)
            case $way in --tf32) way_name="TF32" ;; --bf16) way_name="bf16 autocast" ;; *) way_name="float32" ;; esac
            measured "PyTorch $way_name${how:+, compiled}" "$shape" "$rate"
        done
    done
done

nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,memory.total --format=csv,noheader 2> /dev/null || true
awk -F'"' '
    { engine = $4; shape = $8; rate = $0; sub(/.*tokens_per_second":/, "", rate); sub(/}.*/, "", rate)
      if (!(shape in base)) { order[++n] = shape; base[shape] = 0 }
      if (engine == "PyTorch float32") base[shape] = rate
      lines[shape] = lines[shape] engine "\t" rate "\n" }
    END {
        print "| shape | engine | tokens a second | beside PyTorch float32 |\n|---|---|---:|---:|"
        for (i = 1; i <= n; i++) {
            count = split(lines[order[i]], line, "\n")
            for (j = 1; j < count; j++) {
                split(line[j], part, "\t")
                beside = base[order[i]] ? sprintf("%.2fx", part[2] / base[order[i]]) : ""
                printf "| %s | %s | %.0f | %s |\n", order[i], part[1], part[2], beside
            }
        }
    }' figures.jsonl
say "every operator and a round under either arithmetic are the processor's, to the bit"
