#!/bin/bash
# The folders in which examples are typed, made by l402 on the PATH: world.sh FOLDER.
#
#   desk/         the repository's recipes and texts, a corpus, a configuration, the model of the oracle's chat templates
#   desk/run/     a run of alice and bob: rounds 0 to 3 are over, and kept/ is what alice kept of the first one
#   desk/adapted/ a run of an adapter, one round
#   desk/judged/  a run with two validators, one round that both have scored
#   home/, bin/   for whoever types; what stands in for programs that are not here
set -euo pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
l402() { command l402 --quiet "$@"; }
# The same beacons each time, so that the same updates count.
beacon() { printf '%s' "$1" | sha256sum | cut -d' ' -f1; }
mkdir -p "$1/desk" "$1/home" "$1/bin"
cd "$1/desk"
ln -s "$home/testdata" "$home/man" .
cp -r "$home/recipes" .
# What the documents let run for an hour, in steps that are as long as all of it.
sed -i 's/^steps = 15/steps = 3/; s/^batch = 8/batch = 2/; s/^lr = 2e-4/lr = 1e-2/' recipes/lora.toml

# ---- Programs -------------------------------------------------------------------------------------------------------

stand_in() { printf '#!/bin/sh\n%s\n' "$2" > "../bin/$1" && chmod +x "../bin/$1"; }
# The hash of a block that is mined.
stand_in bitcoin-cli '[ "$1" = getblockhash ] && printf %s "$2" | sha256sum | cut -d" " -f1'
# It would show these, and never end.
stand_in tensorboard '[ "$1" = --logdir ] && find "$2" -name "events.out.tfevents.*" | grep -q .'
command -v man > /dev/null || stand_in man '[ -s "$1" ]'

# ---- What there is before any run -----------------------------------------------------------------------------------

head -c 60000 testdata/text/tinyshakespeare.txt > corpus.txt
cat > config.json << 'END'
{ "model_type": "llama", "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 64,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
  "vocab_size": 257, "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "tie_word_embeddings": false, "initializer_range": 0.05 }
END
recipe() { # name
    cat << END
arithmetic = 1
name = "$1"
seed = 7
[model]
theta_0 = ""
[data]
tokenizer = "bytes"
seq_len = 16
[inner]
steps = 6
batch = 2
lr = 5e-3
weight_decay = 0.1
state = "carry"
[codec]
name = "sparseloco"
top_k = 256
feedback = 0.95
[score]
sequences = 24
END
}
# Words that a model of the Hub would answer to: a template, and its tokenizer.
mkdir chat
cp testdata/oracle/chat/tokenizer.json chat/
cp testdata/oracle/chat/templates/qwen2.5.jinja chat/chat_template.jinja
echo '{"eos_token": "<|im_end|>", "bos_token": null}' > chat/tokenizer_config.json
cat > chat/config.json << 'END'
{ "model_type": "qwen2", "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 404, "max_position_embeddings": 2048,
  "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "initializer_range": 0.1 }
END
l402 init --config chat/config.json --seed 1 -o smol > /dev/null
mv chat/tokenizer*.json chat/chat_template.jinja smol/
seq 1500 | awk '{ printf "{\"messages\": [{\"role\": \"user\", \"content\": \"What comes after %d?\"}, ", $1 % 7
    printf "{\"role\": \"assistant\", \"content\": \"After %d comes %d.\"}]}\n", $1 % 7, $1 % 7 + 1 }' > talks.jsonl
echo '[{"role": "user", "content": "What comes after 3?"}]' > ask.json

# ---- A run ----------------------------------------------------------------------------------------------------------

{ recipe open; printf '[outer]\nmomentum = 0.5\n'; } > small.toml
l402 new run --config config.json --seed 1 --text corpus.txt --recipe small.toml --shards 4 --workers alice,bob > /dev/null
export L402_RUN=run
# Alice works on the shard that the examples name.
for try in $(seq 100); do
    l402 assign 0 --beacon "$(beacon "$try")"
    [ "$(l402 inspect --field shard --where worker=alice run/round-0/assignments.jsonl)" != train-00002.safetensors ] || break
    rm -r run/round-0
done
for n in 0 1 2 3; do
    [ -e run/round-$n ] || l402 assign $n --beacon "$(beacon "assign $n")"
    for who in alice bob; do
        if [ $n = 0 ] && [ $who = alice ]; then kept=(--openings "$PWD/kept" --keep-states 2); else kept=(); fi
        l402 train $n $who --log "$PWD/$who.log.jsonl" "${kept[@]}"
        l402 commit $n $who
    done
    l402 beacon "$(beacon "score $n")" -o run/round-$n/beacon-b
    for who in alice bob; do
        l402 commit $n $who --reveal
        l402 replay $n $who
    done
    l402 score $n
    l402 aggregate $n
done
unset L402_RUN

# ---- A run of an adapter, and one with validators -------------------------------------------------------------------

{ recipe adapted; printf '[adapter]\nrank = 2\nalpha = 4\n'; } > small.toml
l402 init --config config.json --seed 1 -o whole > /dev/null
l402 new adapted --model whole --tokenizer bytes --seed 1 --text corpus.txt --recipe small.toml --shards 4 --workers alice > /dev/null
for step in "assign 0 --beacon $(beacon assign)" "train 0 alice" "commit 0 alice" "beacon $(beacon score) -o adapted/round-0/beacon-b" \
    "commit 0 alice --reveal" "replay 0 alice" "score 0" "aggregate 0"; do
    l402 --run adapted $step > /dev/null
done
rm -r whole

seats=$(for who in v1 v2; do
    mkdir -p judged-private/$who
    printf '[[score.validators]]\nkey = "%s"\n' "$(l402 key judged-private/$who/key)"
done)
recipe judged > small.toml
echo "$seats" >> small.toml
l402 new judged --config config.json --seed 1 --text corpus.txt --recipe small.toml --shards 4 --workers alice > /dev/null
for step in "assign 0 --beacon $(beacon assign)" "train 0 alice" "commit 0 alice" "beacon $(beacon score) -o judged/round-0/beacon-b" \
    "commit 0 alice --reveal" "replay 0 alice v1" "score 0 v1" "score 0 v2"; do
    l402 --run judged $step > /dev/null
done
rm small.toml
