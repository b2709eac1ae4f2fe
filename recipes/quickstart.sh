#!/bin/sh
# Twenty paid rounds on real text: recipes/quickstart.sh [FOLDER]      (default: quickstart-run in the repository; it must not exist yet)
#
# Four people train one model for a fifth, who pays over Lightning. Three do the work; mallory takes one step where ten are asked for, and
# sends that as if it were the whole. Everything is recomputed, so she is found out every time: what was locked for her goes back, the
# others are paid what their work was worth. The nodes are real ones on a simulated chain (`l402 devnet`): no real money.
#
# FOLDER holds what is public; FOLDER-private what each party keeps to itself, and the nodes. ROUNDS=n plays fewer rounds, ARITHMETIC=2
# computes linear layers in exact integers (docs/arithmetic-2.md), L402=path uses a binary that is already built.
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
run=${1:-$home/quickstart-run} run=${run%/} rounds=${ROUNDS:-20}
for it in "$run" "$run-private"; do [ ! -e "$it" ] || { echo "quickstart: $it is there already: remove it, or name another" >&2; exit 73; }; done
if [ -z "${L402:-}" ]; then
    (cd "$home" && cargo build --release)
    L402=$(cd "$home" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/l402
fi
l402() { "$L402" --quiet "$@"; }
ask() { l402 inspect --field "$@"; }      # what records say in a field
sum() { awk '{ s += $1 } END { printf "%.0f\n", s }'; }
wrong() { echo "quickstart: $*" >&2; exit 1; }
mkdir -p "$(dirname "$run")" && run=$(cd "$(dirname "$run")" && pwd)/$(basename "$run") && private=$run-private && mkdir -m 700 "$private"

# Five Lightning nodes: the coordinator's, with a channel to each of the others. A socket's name has its limits.
net=$private/net
[ ${#net} -le 80 ] || { net=$(mktemp -d /tmp/l402-XXXXXX); ln -s "$net" "$private/net"; }
trap 'l402 devnet down "$net"' EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
l402 devnet up "$net" --nodes 5 --json > "$private/nodes.jsonl"

# Each signs for its owner. In a private folder beside the run is the link to it, and later the escrow: a secret, and a journal of all that
# was promised and done. The coordinator judges and pays.
workers="alice bob carol mallory" number=0 keys=''
for who in coordinator $workers; do
    number=$((number + 1)) && mkdir "$private/$who" && ln -s "$net/n$number/lightning-rpc" "$private/$who/lightning-rpc"
    key=$(ask id --where "name=n$number" "$private/nodes.jsonl")
    if [ "$who" = coordinator ]; then coordinator=$key; else keys=$keys${keys:+,}$who=$key; fi
done

# The run: the text becomes shards, one of them held out; the recipe names a random first model; the roster pins the workers' nodes.
sed "s/^arithmetic = 1/arithmetic = ${ARITHMETIC:-1}/" "$home/recipes/quickstart.toml" > "$private/recipe.toml"
printf '\n[verify]\nbeacons = "blocks"\n' >> "$private/recipe.toml"
l402 new "$run" --recipe "$private/recipe.toml" --config "$home/recipes/quickstart.json" --seed 402 \
    --text "$home/testdata/text/tinyshakespeare.txt" --shards 16 --workers "$keys" --coordinator "$coordinator" > /dev/null
cd "$run" && echo "run $(ask run run.toml)"
budget=$(($(ask pay.round_msat run.toml) * 21 / 10))      # twice a round is locked; 5 % for routes
# A beacon is made of the next block after its list was closed, as who closed it has signed: nobody knows it beforehand.
beacon() {
    l402 beacon "$n" "$1" --ahead 1 2> "$private/waits" || [ $? -eq 75 ] || { cat "$private/waits" >&2; exit 1; }
    l402 devnet mine "$net" > /dev/null && l402 beacon "$n" "$1" --wait=60
}
# What a node has in its channels; and waiting until nothing is under way in any of them.
nodes() { l402 devnet status "$net" --json; }
balance() { nodes | ask channels.to_us_msat --where "id=$(cat "$1.pub")" - | sum; }
quiet() {
    for _ in $(seq 60); do nodes | ask channels.htlcs - | grep -qv '^0$' || return 0; sleep 1; done
    wrong "payments are still under way"
}
# The payer: what came of each payment, of which its node may hear a moment later.
settled() {
    for _ in $(seq 60); do
        l402 invoice status "$n"
        ask state "round-$n/rungs.jsonl" | grep -qx -e locking -e unknown -e held -e judged -e revealed || return 0
        sleep 1
    done
    wrong "payments are still under way"
}
# Msat of a worker's rungs in a round or all (*), of a state or any, as the payer's node knows them.
rungs() { ask msat --where "worker=$1" ${3:+--where "state=$3"} round-$2/rungs.jsonl | sum; }
for who in coordinator $workers; do balance "$who" > "$private/$who/before"; done
# Mallory's recipe asks for a tenth of the work. She writes her run over the real one in the model, and the real run and her assignment
# over the traces of it in what comes out.
sed 's/^steps = 10/steps = 1/' run.toml > "$private/mallory/run.toml"
cheat() {
    own=$private/$1 list=round-$n/assignments.jsonl
    real=$(ask run run.toml) lazy=$(ask run "$own/run.toml") shard=$(ask shard --where "worker=$1" "$list")
    mkdir -p "$own/theta" && cp "theta-$n/config.json" "$own/theta"
    LC_ALL=C sed "1s/$real/$lazy/" "theta-$n/model.safetensors" > "$own/theta/model.safetensors"
    l402 train --recipe "$own/run.toml" --model "$own/theta" --shard "shards/$shard" --round "$n" --worker "$1" > "$own/delta"
    LC_ALL=C sed -e "1s/$lazy/$real/" -e "1s/$(ask l402.assignment "$own/delta")/$(ask digest --where "worker=$1" "$list")/" \
        "$own/delta" | l402 compress --recipe run.toml -o "round-$n/$1.update"
}

for n in $(seq 0 $((rounds - 1))); do
    beacon a && l402 assign "$n"                        # drawn when the roster is closed: who works on what
    l402 invoice offer "$n"                             # the judge: a ladder of four payment hashes that only it can open
    for who in $workers; do l402 invoice issue "$n" "$who"; done          # the workers accept: an invoice for each hash
    l402 invoice lock "$n" --budget-msat "$budget"      # the payer pays them all: the money waits, and nobody can take it yet
    for who in $workers; do
        l402 invoice status "$n" "$who" --wait=60       # it is there: nobody works before, and commits before others show their work
        if [ "$who" = mallory ]; then cheat "$who"; else l402 train "$n" "$who"; fi
        l402 commit "$n" "$who"
        l402 commit --receive "$n"                      # the coordinator signs that it has come, and after which
    done
    l402 commit --close "$n" --ahead 1                  # all commitments are in; only now the updates are shown
    for who in $workers; do l402 commit "$n" "$who" --reveal; done
    l402 replay "$n" --all 2>> "$private/replay.log" || [ $? -eq 1 ]      # everybody's work again: 0 is equality, 1 that somebody lies
    beacon b && l402 score "$n"                         # what each update is worth on text that nobody trained on
    l402 settle "$n"                                    # one verdict an offer, forever
    for who in $workers; do                             # what opens the earned payments goes to that worker alone; the rest goes back
        mv "$private/coordinator/reveal/$who.$n.0.reveal" "$private/$who/"
        l402 settle --claim "$n" "$who" --wait=60
    done
    quiet && settled                                    # the payer: what came of each payment
    l402 aggregate "$n"                                 # the next model
    now=round-$n tokens=$(ask tokens "round-$n/scores.jsonl")
    row() { printf '%-9s %-9s %-30.30s %14s %8s %11s %11s %11s\n' "$@"; }
    echo; row "round $n" worker finding 'gain nats/byte' bytes 'msat locked' earned returned
    for who in $workers; do
        of="--where worker=$who --where type=score $now/scores.jsonl"
        row '' "$who" "$(for field in finding differs; do ask $field --where "worker=$who" "$now/findings.jsonl"; done | xargs)" \
            "$(ask gain_q32 $of | awk -v t="$tokens" '{ printf "%.4f", $1 / 4294967296 / t }')" "$(ask bytes $of)" \
            "$(rungs "$who" "$n")" "$(rungs "$who" "$n" claimed)" "$(rungs "$who" "$n" cancelled)"
    done
done

loss() { l402 score --model "theta-$1" --val shards/val-00000.safetensors | cut -d' ' -f2; }
printf '\n%s\n' "held-out loss: $(loss 0) -> $(loss "$rounds") nats a byte after $rounds rounds"
sent=$(ask bytes --where type=score round-*/scores.jsonl | sum) dense=$(($(ask parameters theta-0) * 4 * rounds * 4))
echo "sent: $sent bytes, against $dense as dense float32: $(awk -v a=$dense -v b=$sent 'BEGIN { printf "%.1f", a / b }')x smaller"

# Who had how much in the channels before and after, and whether that is what verdicts, claims and fees say: to the msat.
line() { printf '%-12s %12s %12s %12s %12s %12s %12s\n' "$@"; }
same() { [ "$2" -eq "$3" ] || wrong "$1: $2 is not $3 msat"; }
echo; line 'msat' before locked earned returned fees after
all=0 paid=0
for who in $workers; do
    before=$(cat "$private/$who/before") after=$(balance "$who") locked=$(rungs "$who" '*')
    earned=$(rungs "$who" '*' claimed) returned=$(rungs "$who" '*' cancelled)
    line "$who" "$before" "$locked" "$earned" "$returned" 0 "$after"
    same "$who, locked" "$locked" $((earned + returned))
    same "$who, by the verdicts" "$(ask paid_msat --where "task.worker=$who" round-*/verdicts.jsonl | sum)" "$earned"
    same "$who, by its claims" "$(ask claimed_msat --where "task.worker=$who" round-*/claimed.jsonl | sum)" "$earned"
    same "$who, balance" "$after" $((before + earned))
    all=$((all + locked)) paid=$((paid + earned))
done
before=$(cat "$private/coordinator/before") after=$(balance coordinator) fees=$(($(ask sent_msat round-*/rungs.jsonl | sum) - paid))
line coordinator "$before" $all $paid $((all - paid)) $fees "$after"
same "coordinator, balance" "$after" $((before - paid - fees))
same "mallory" "$(rungs mallory '*' claimed)" 0
# Anyone can check all of it from the public folder: who signed, what was drawn, scored, paid and made, to the byte.
l402 audit --coordinator "$coordinator" || wrong "the audit found something"
echo "the audit finds everything equal"
echo "the balances add up to the msat: what the workers earned, and the fees, are what the coordinator has less"
for who in $workers; do echo "earned by $who: $(rungs "$who" '*' claimed) msat"; done
echo "everything is in $run: theta-$rounds is a Hugging Face model folder; what each party keeps to itself, and the nodes, is in $private"
l402 report -o report.html && echo "how it went is in $run/report.html"
echo; l402 explain $((rounds - 1)) mallory | tail -2

# And what the model says, a line each time: it has seen a megabyte of text, and has less than one of its own.
printf '\ntheta-%s says:\n' "$rounds"
for seed in $(seq 0 9); do
    l402 sample --model "theta-$rounds" --prompt "First Citizen:
We " --temperature 0.5 --seed "$seed" --max-tokens 72 --stop "
" --threads 1
done
