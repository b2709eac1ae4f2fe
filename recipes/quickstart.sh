#!/bin/sh
# Paid training rounds on real text, end to end, twenty times over.
#
# Four people train one model for a fifth, who pays over Lightning. Three of them do the work; mallory takes one step
# where ten are asked for, and sends that as if it were the whole. Everything is recomputed, so mallory is found out
# every time: what was locked for her goes back, the others are paid what their work was worth, and the model gets
# better. The nodes are real ones on a simulated chain (`l402 devnet`): no real money.
#
#   recipes/quickstart.sh [FOLDER]      (default: quickstart-run in the repository; it must not exist yet)
#
# FOLDER holds what is public; FOLDER-private what each party keeps to itself, and the nodes.
# ROUNDS=n plays fewer rounds, ARITHMETIC=2 computes linear layers in exact integers (docs/arithmetic-2.md), L402=path uses a
# binary that is already built.
set -eu

home=$(cd "$(dirname "$0")/.." && pwd)
run=${1:-$home/quickstart-run}
run=${run%/}
rounds=${ROUNDS:-20}
for folder in "$run" "$run-private"; do
    if [ -e "$folder" ]; then
        echo "quickstart: $folder is there already: remove it, or name another folder" >&2
        exit 73
    fi
done
if [ -z "${L402:-}" ]; then
    (cd "$home" && cargo build --release)
    target=$(cd "$home" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    L402=$target/release/l402
fi
l402() { "$L402" --quiet "$@"; }
ask() { l402 inspect --field "$@"; }      # what records say in a field
sum() { awk '{ s += $1 } END { printf "%.0f\n", s }'; }
wrong() { echo "quickstart: $*" >&2; exit 1; }
mkdir -p "$(dirname "$run")" && run=$(cd "$(dirname "$run")" && pwd)/$(basename "$run")
private=$run-private
mkdir -m 700 "$private"

# ---- Before the first round -----------------------------------------------------------------------------------------

# Five Lightning nodes: the coordinator's, with a channel to each of the others. A socket's path has its limits, so where
# the folder's name is long the nodes live in /tmp.
net=$private/net
if [ ${#net} -gt 80 ]; then
    net=$(mktemp -d /tmp/l402-XXXXXX)
    ln -s "$net" "$private/net"
fi
trap 'l402 devnet down "$net"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
l402 devnet up "$net" --nodes 5 --json > "$private/nodes.jsonl"

# Everyone has a node, which signs for its owner, in a private folder beside the run; there the escrow will be, a secret and a
# journal of everything that was promised and done. The coordinator judges and pays.
workers="alice bob carol mallory"
number=0 keys=''
for who in coordinator $workers; do
    number=$((number + 1))
    mkdir "$private/$who"
    ln -s "$net/n$number/lightning-rpc" "$private/$who/lightning-rpc"
    key=$(ask id --where "name=n$number" "$private/nodes.jsonl")
    if [ "$who" = coordinator ]; then coordinator=$key; else keys=$keys${keys:+,}$who=$key; fi
done

# The run: the text becomes shards, one of them held out; the first model is random; the recipe names it; the roster pins the
# workers' nodes.
sed "s/^arithmetic = 1/arithmetic = ${ARITHMETIC:-1}/" "$home/recipes/quickstart.toml" > "$private/recipe.toml"
l402 new "$run" --recipe "$private/recipe.toml" --config "$home/recipes/quickstart.json" --seed 402 \
    --text "$home/testdata/text/tinyshakespeare.txt" --shards 16 --workers "$keys" --coordinator "$coordinator" > /dev/null
cd "$run"

# What a node has in its channels, and waiting until nothing is under way in any of them.
nodes() { l402 devnet status "$net" --json; }
balance() { nodes | ask channels.to_us_msat --where "id=$(cat "$1.pub")" - | sum; }
quiet() {
    for _ in $(seq 60); do
        if ! nodes | ask channels.htlcs - | grep -qv '^0$'; then return; fi
        sleep 1
    done
    wrong "payments are still under way"
}
for who in coordinator $workers; do balance "$who" > "$private/$who/before"; done

budget=$(($(ask pay.round_msat run.toml) * 21 / 10))      # twice a round is locked; 5 % for routes
echo "run $(ask run run.toml)"

# A beacon is a value that nobody knows beforehand: the hash of the next block.
beacon() { l402 devnet mine "$net" | cut -d' ' -f2; }

# Mallory's recipe asks for a tenth of the work. She writes her run over the real one in the model, and the real run and her
# assignment over the traces of it in what comes out.
sed 's/^steps = 10/steps = 1/' run.toml > "$private/mallory/run.toml"
cheat() {
    own=$private/$1 list=round-$n/assignments.jsonl
    real=$(ask run run.toml) lazy=$(ask run "$own/run.toml") shard=$(ask shard --where "worker=$1" "$list")
    mkdir -p "$own/theta"
    cp "theta-$n/config.json" "$own/theta"
    LC_ALL=C sed "1s/$real/$lazy/" "theta-$n/model.safetensors" > "$own/theta/model.safetensors"
    l402 train --recipe "$own/run.toml" --model "$own/theta" --shard "shards/$shard" --round "$n" --worker "$1" > "$own/delta"
    LC_ALL=C sed -e "1s/$lazy/$real/" -e "1s/$(ask l402.assignment "$own/delta")/$(ask digest --where "worker=$1" "$list")/" \
        "$own/delta" | l402 compress --recipe run.toml -o "round-$n/$1.update"
}

# ---- The rounds -----------------------------------------------------------------------------------------------------

# Msat of a worker's rungs in these states, in a round or all (*), as the payer's node knows it.
rungs() {
    who=$1 in=$2; shift 2
    for state in "$@"; do ask msat --where "worker=$who" --where "state=$state" round-$in/rungs.jsonl; done | sum
}

for n in $(seq 0 $((rounds - 1))); do
    # The roster is closed; only now the first beacon exists, and draws who works on what. Beacons are kept, so that
    # anyone can draw again.
    l402 assign "$n" --beacon "$(beacon)"

    # The judge offers each worker at most twice an even part, as a ladder of four payment hashes that only it can open.
    # The workers accept by signing an invoice for each. The payer pays them all: the money waits at the workers' nodes,
    # and nobody can take it yet. Each worker looks whether it is there, and says so.
    l402 invoice offer "$n"
    for who in $workers; do l402 invoice issue "$n" "$who"; done
    l402 invoice lock "$n" --budget-msat "$budget"
    for who in $workers; do l402 invoice status "$n" "$who" --wait=60; done

    # Everyone works, but not before its pay is locked, and commits to the result before anybody sees it.
    for who in $workers; do
        if [ "$who" = mallory ]; then cheat "$who"; else l402 train "$n" "$who"; fi
        l402 commit "$n" "$who"
    done

    # All commitments are in, and the judge closes the list. Now the updates are shown.
    l402 commit --close "$n"
    for who in $workers; do l402 commit "$n" "$who" --reveal; done

    # The coordinator, or anyone, does everybody's work again, from the states that each one's last counting update left:
    # exit status 0 is equality, 1 is a lie.
    for who in $workers; do l402 replay "$n" "$who" 2>> "$private/replay.log" || [ $? -eq 1 ]; done

    # What each update is worth on text that nobody trained on, drawn by a beacon that did not exist before. What is not in
    # the closed list counts for nothing.
    l402 score "$n" --beacon "$(beacon)"

    # One verdict for each offer, forever. What opens a worker's earned payments goes to that worker alone, who claims what it
    # earned, and lets the rest go back at once. The payer's node knows what came of each payment.
    l402 settle "$n"
    for who in $workers; do
        mv "$private/coordinator/reveal/$who.$n.0.reveal" "$private/$who/"
        l402 settle --claim "$n" "$who" --wait=60
    done
    quiet
    l402 invoice status "$n"

    # The next model.
    l402 aggregate "$n"

    now=round-$n
    echo
    printf 'round %-3s %-9s %-30s %14s %8s %11s %11s %11s\n' "$n" worker finding 'gain nats/byte' bytes \
        'msat locked' earned returned
    tokens=$(ask tokens "$now/scores.jsonl")
    for who in $workers; do
        of="--where worker=$who --where type=score"
        printf '%-9s %-9s %-30.30s %14s %8s %11s %11s %11s\n' '' "$who" \
            "$(ask finding --where "worker=$who" "$now/findings.jsonl") $(ask differs --where "worker=$who" "$now/findings.jsonl")" \
            "$(ask gain_q32 $of "$now/scores.jsonl" | awk -v t="$tokens" '{ printf "%.4f", $1 / 4294967296 / t }')" \
            "$(ask bytes $of "$now/scores.jsonl")" \
            "$(rungs "$who" "$n" claimed cancelled)" "$(rungs "$who" "$n" claimed)" "$(rungs "$who" "$n" cancelled)"
    done
done

# ---- What came of it ------------------------------------------------------------------------------------------------

loss() {
    l402 score --recipe run.toml --model "theta-$1" --val shards/val-00000.safetensors > "$private/loss"
    echo "$(ask before_q32 "$private/loss") $(ask tokens "$private/loss")" | awk '{ printf "%.4f", $1 / 4294967296 / $2 }'
}
echo
echo "held-out loss: $(loss 0) -> $(loss "$rounds") nats a byte after $rounds rounds"
sent=$(ask bytes --where type=score round-*/scores.jsonl | sum)
dense=$(($(ask parameters theta-0) * 4 * rounds * $(echo $workers | wc -w)))
echo "sent: $sent bytes, against $dense as dense float32: $(awk -v a=$dense -v b=$sent 'BEGIN { printf "%.1f", a / b }')x smaller"

# Who had how much in the channels before and after, and whether that is what verdicts, claims and fees say: to the msat.
line() { printf '%-12s %12s %12s %12s %12s %12s %12s\n' "$@"; }
echo
line 'msat' before locked earned returned fees after
locked_for_all=0 earned_by_all=0
for who in $workers; do
    before=$(cat "$private/$who/before") after=$(balance "$who")
    earned=$(rungs "$who" '*' claimed) returned=$(rungs "$who" '*' cancelled)
    locked=$(ask msat --where "worker=$who" round-*/rungs.jsonl | sum)
    line "$who" "$before" "$locked" "$earned" "$returned" 0 "$after"
    [ $((earned + returned)) -eq "$locked" ] || wrong "$who: locked is not earned and returned"
    [ "$(ask paid_msat --where "task.worker=$who" round-*/verdicts.jsonl | sum)" -eq "$earned" ] || wrong "$who: paid is not what verdicts say"
    [ "$(ask claimed_msat --where "task.worker=$who" round-*/claimed.jsonl | sum)" -eq "$earned" ] || wrong "$who: claimed is not what was paid"
    [ $((before + earned)) -eq "$after" ] || wrong "$who: the balance does not add up"
    locked_for_all=$((locked_for_all + locked)) earned_by_all=$((earned_by_all + earned))
done
before=$(cat "$private/coordinator/before") after=$(balance coordinator)
fees=$(($(ask sent_msat round-*/rungs.jsonl | sum) - earned_by_all))
line coordinator "$before" $locked_for_all $earned_by_all $((locked_for_all - earned_by_all)) $fees "$after"
[ $((before - earned_by_all - fees)) -eq "$after" ] || wrong "coordinator: the balance does not add up"
[ "$(rungs mallory '*' claimed)" -eq 0 ] || wrong "mallory was paid"
# Anyone can check all of it from the public folder: who signed, what was drawn, scored, paid and made, to the byte.
l402 audit . --coordinator "$coordinator" || wrong "the audit found something"
echo "the audit finds everything equal"
echo "the balances add up to the msat: what the workers earned, and the fees, are what the coordinator has less"
for who in $workers; do echo "earned by $who: $(rungs "$who" '*' claimed) msat"; done
echo "everything is in $run: theta-$rounds is a Hugging Face model folder, round-* hold the records"
echo "what each party keeps to itself, and the nodes, which are stopped, is in $private"

# Why each of them got what it got, and how the run went: plots and tables in one file.
echo
l402 explain $((rounds - 1)) mallory | tail -2
l402 report -o report.html
echo "how it went is in $run/report.html"

# And what the model says, a line each time: it has seen a megabyte of text, and has less than one of its own.
echo
echo "theta-$rounds says:"
for seed in 0 1 2 3 4 5 6 7 8 9; do
    l402 sample --model "theta-$rounds" --prompt "First Citizen:
We " --temperature 0.5 --seed "$seed" --max-tokens 72 --stop "
" --threads 1
done
