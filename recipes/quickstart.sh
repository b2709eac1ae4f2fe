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
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }      # a field of a record
sum() { awk '{ s += $1 } END { printf "%.0f\n", s }'; }
wrong() { echo "quickstart: $*" >&2; exit 1; }
mkdir -p "$run" && run=$(cd "$run" && pwd)
private=$run-private
mkdir -m 700 "$private"
cd "$run"

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

# Everyone has a node and an escrow folder: a secret, and a journal of everything that was promised and done. The node
# signs for its owner. The coordinator judges and pays; its roster pins the workers' nodes.
workers="alice bob carol mallory"
node() {
    case $1 in coordinator) echo n1 ;; alice) echo n2 ;; bob) echo n3 ;; carol) echo n4 ;; mallory) echo n5 ;; esac
}
socket() { echo "$net/$(node "$1")/lightning-rpc"; }
as() { party=$1; shift; l402 "$@" --escrow "$private/$party/escrow" --rpc-file "$(socket "$party")"; }
for who in coordinator $workers; do
    mkdir "$private/$who"
    grep -F "\"name\":\"$(node "$who")\"" "$private/nodes.jsonl" | field id > "$who.pub"
done
coordinator=$(cat coordinator.pub)
for who in $workers; do
    printf '{"key":"%s","type":"roster","v":1,"worker":"%s"}\n' "$(cat "$who.pub")" "$who"
done > roster.jsonl

# What a node has in its channels, and waiting until nothing is under way in any of them.
balance() {
    l402 devnet status "$net" --json | grep -F "\"name\":\"$(node "$1")\"" |
        grep -o '"to_us_msat":[0-9]*' | cut -d: -f2 | sum
}
quiet() {
    for _ in $(seq 60); do
        if ! l402 devnet status "$net" --json | grep -q '"htlcs":[1-9]'; then return; fi
        sleep 1
    done
    wrong "payments are still under way"
}
for who in coordinator $workers; do balance "$who" > "$private/$who/before"; done

# The text becomes shards, one of them held out; the first model is random; the recipe names it.
l402 shard "$home/testdata/text/tinyshakespeare.txt" --tokenizer bytes --seq-len 128 --shards 16 --val-shards 1 -o shards
theta=$(l402 init --config "$home/recipes/quickstart.json" --seed 402 -o theta-0)
sed -e "s/^theta_0 = \"\"/theta_0 = \"$theta\"/" -e "s/^arithmetic = 1/arithmetic = ${ARITHMETIC:-1}/" \
    "$home/recipes/quickstart.toml" > run.toml
sed 's/^steps = 10/steps = 1/' run.toml > mallory.toml
run_id=$(l402 inspect --json run.toml | field run)
budget=$(($(sed -n 's/^round_msat = \([0-9]*\).*/\1/p' run.toml) * 21 / 10))      # twice a round is locked; 5 % for routes
dense=$(($(l402 inspect --json theta-0 | field parameters) * 4))
echo "run $run_id"

# A beacon is a value that nobody knows beforehand: the hash of the next block.
beacon() { l402 devnet mine "$net" | cut -d' ' -f2; }

# The state that a worker carries on from its last update that counted, if there is one.
state() { if [ -e "states/$1" ]; then echo "--state states/$1"; fi; }
# What workers carry on by their scores, where the recipe has them carry something.
standing() { if [ "$n" -gt 0 ]; then echo "--previous round-$((n - 1))/scores.jsonl --earlier ."; fi; }
previous() { if [ -e "states/$1.update" ]; then echo "--previous states/$1.update"; fi; }
feedbacks() {
    for id in $workers; do
        if [ -e "states/$id.feedback" ]; then
            echo "--state-in $id=states/$id.feedback"
        fi
    done
}
shard_of() { grep -F "\"worker\":\"$1\"" "$now/assignments.jsonl" | field shard; }

# ---- What a worker does: train | compress ---------------------------------------------------------------------------

# Not before its pay is locked: `--held` demands the record of that.
work() {
    l402 train --recipe run.toml --model "theta-$n" --shard "shards/$(shard_of "$1")" --round "$n" --worker "$1" \
        --assignments "$now/assignments.jsonl" --coordinator "$coordinator" \
        --held "$now/held.jsonl" --offers "$now/offers.jsonl" --judge "$coordinator" \
        $(state "$1.moments") --state-out "$now/$1.moments" |
        l402 compress --recipe run.toml $(state "$1.feedback") --state-out "$now/$1.feedback" -o "$now/$1.update"
}

# Mallory's recipe asks for a tenth of the work. She writes her run over the real one in the model, and the real run and her
# assignment over the traces of it in what comes out.
cheat() {
    line=$(grep -nF "\"worker\":\"$1\"" "$now/assignments.jsonl" | cut -d: -f1)
    assignment=$(l402 inspect --json "$now/assignments.jsonl" | grep -o '[0-9a-f]\{64\}' | sed -n "$((line + 1))p")
    lazy_id=$(l402 inspect --json mallory.toml | field run)
    mkdir -p "$private/$1/theta"
    cp "theta-$n/config.json" "$private/$1/theta"
    LC_ALL=C sed "1s/$run_id/$lazy_id/" "theta-$n/model.safetensors" > "$private/$1/theta/model.safetensors"
    l402 train --recipe mallory.toml --model "$private/$1/theta" --shard "shards/$(shard_of "$1")" --round "$n" \
        --worker "$1" > "$private/$1/delta"
    own=$(l402 inspect --json "$private/$1/delta" | field l402.assignment)
    LC_ALL=C sed -e "1s/$lazy_id/$run_id/" -e "1s/$own/$assignment/" "$private/$1/delta" |
        l402 compress --recipe run.toml -o "$now/$1.update"
}

# ---- What the books say ---------------------------------------------------------------------------------------------

# Msat of a worker's rungs in some state (. for any), in a round or all (*), as the payer's node knows it.
rungs() { cat round-$3/rungs.jsonl | grep -F "\"worker\":\"$1\"" | grep "\"state\":\"$2" | field msat | sum; }
records() { cat round-*/"$2".jsonl | grep -F "\"worker\":\"$1\""; }

# ---- The rounds -----------------------------------------------------------------------------------------------------

mkdir states
sent=0
for n in $(seq 0 $((rounds - 1))); do
    now=round-$n
    mkdir "$now"

    # The roster is closed; only now the first beacon exists, and draws who works on what. Beacons are kept, so that
    # anyone can draw again.
    beacon > "$now/beacon-a"
    l402 assign --recipe run.toml --round "$n" --shards shards --workers roster.jsonl --beacon "$(cat "$now/beacon-a")" \
        --rpc-file "$(socket coordinator)" -o "$now/assignments.jsonl"

    # The judge offers each worker at most twice an even part, as a ladder of four payment hashes that only it can open.
    # The workers accept by signing an invoice for each. The payer pays them all: the money waits at the workers' nodes,
    # and nobody can take it yet. Each worker looks whether it is there, and says so.
    as coordinator invoice offer --recipe run.toml --model "theta-$n" --round "$n" --assignments "$now/assignments.jsonl" \
        --coordinator "$coordinator" --judge "$coordinator" --payer "$coordinator" --workers roster.jsonl $(feedbacks) \
        -o "$now/offers.jsonl"
    for who in $workers; do
        as "$who" invoice issue "$now/offers.jsonl" --judge "$coordinator"
    done > "$now/invoices.jsonl"
    as coordinator invoice lock "$now/invoices.jsonl" --offers "$now/offers.jsonl" --judge "$coordinator" \
        --workers roster.jsonl --budget-msat "$budget"
    for who in $workers; do as "$who" invoice status --round "$n" --wait=60; done > "$now/held.jsonl"

    # Everyone works, and commits to the result before anybody sees it. (Here one machine plays them all, and their lines go
    # into one file. Elsewhere each sends a file of its own, and the verbs take all of them: coordinator.md.)
    for who in $workers; do
        if [ "$who" = mallory ]; then cheat "$who"; else work "$who"; fi
        as "$who" commit "$now/$who.update" --round "$n" --worker "$who" --offers "$now/offers.jsonl"
    done > "$now/commitments.jsonl"

    # All commitments are in, and the judge closes the list. Only now the second beacon exists, and the updates are shown.
    as coordinator commit --close "$now/commitments.jsonl" --round "$n" -o "$now/closing.jsonl"
    beacon > "$now/beacon-b"
    for who in $workers; do
        as "$who" commit "$now/$who.update" --round "$n" --worker "$who" --reveal
    done >> "$now/commitments.jsonl"

    # The coordinator, or anyone, does everybody's work again, from the states that each one's last counting update left:
    # exit status 0 is equality, 1 is a lie.
    for who in $workers; do
        l402 replay --recipe run.toml --model "theta-$n" --worker "$who" --assignments "$now/assignments.jsonl" \
            --coordinator "$coordinator" --shards shards --update "$now/$who.update" \
            $(state "$who.moments") $(state "$who.feedback") $(previous "$who") 2>> replay.log || [ $? -eq 1 ]
    done > "$now/findings.jsonl"

    # What each update is worth on text that nobody trained on. What is not in the closed list counts for nothing.
    l402 score --recipe run.toml --model "theta-$n" --val shards/val-00000.safetensors \
        --beacon "$(cat "$now/beacon-b")" --findings "$now/findings.jsonl" --assignments "$now/assignments.jsonl" \
        --coordinator "$coordinator" --shards shards $(standing) --commitments "$now/commitments.jsonl" \
        --commitments "$now/closing.jsonl" -o "$now/scores.jsonl" "$now"/*.update

    # One verdict for each offer, forever. What opens a worker's earned payments goes to that worker alone.
    as coordinator settle --scores "$now/scores.jsonl" --findings "$now/findings.jsonl" --offers "$now/offers.jsonl" \
        --held "$now/held.jsonl" --commitments "$now/commitments.jsonl" --commitments "$now/closing.jsonl" \
        --reveal "$private/coordinator/reveal" -o "$now/verdicts.jsonl"
    for who in $workers; do mv "$private/coordinator/reveal/$who.$n.0.reveal" "$private/$who/"; done

    # Each worker claims what it earned, and lets the rest go back at once. The payer's node knows what came of each payment.
    for who in $workers; do
        as "$who" settle --claim "$private/$who/$who.$n.0.reveal" --wait=60
    done > "$now/claimed.jsonl"
    quiet
    as coordinator invoice status --round "$n" --json -o "$now/rungs.jsonl"

    # The next model.
    l402 aggregate --recipe run.toml --model "theta-$n" --scores "$now/scores.jsonl" -o "theta-$((n + 1))" "$now"/*.update

    # Whoever's update counted carries its state on.
    tokens=$(field tokens < "$now/scores.jsonl")
    echo
    printf 'round %-3s %-9s %-30s %14s %8s %11s %11s %11s\n' "$n" worker finding 'gain nats/byte' bytes \
        'msat locked' earned returned
    for who in $workers; do
        finding=$(grep -F "\"worker\":\"$who\"" "$now/findings.jsonl")
        score=$(grep -F '"type":"score"' "$now/scores.jsonl" | grep -F "\"worker\":\"$who\"")
        if echo "$score" | grep -q '"counts":true'; then
            for kind in moments feedback update; do ln -sf "../$now/$who.$kind" "states/$who.$kind"; done
        fi
        bytes=$(echo "$score" | field bytes)
        sent=$((sent + bytes))
        printf '%-9s %-9s %-30.30s %14s %8s %11s %11s %11s\n' '' "$who" \
            "$(echo "$finding" | field finding) $(echo "$finding" | field differs)" \
            "$(echo "$score" | field gain_q32 | awk -v t="$tokens" '$1 != "" { printf "%.4f", $1 / 4294967296 / t }')" \
            "$bytes" "$(rungs "$who" . "$n")" "$(rungs "$who" claimed "$n")" "$(rungs "$who" cancelled "$n")"
    done
done

# ---- What came of it ------------------------------------------------------------------------------------------------

loss() {
    l402 score --recipe run.toml --model "theta-$1" --val shards/val-00000.safetensors |
        sed 's/.*"before_q32":"\([0-9]*\)".*"tokens":\([0-9]*\).*/\1 \2/' | awk '{ printf "%.4f", $1 / 4294967296 / $2 }'
}
count=$(echo $workers | wc -w)
echo
echo "held-out loss: $(loss 0) -> $(loss "$rounds") nats a byte after $rounds rounds"
echo "sent: $sent bytes, against $((dense * rounds * count)) as dense float32:" \
    "$(awk -v a=$((dense * rounds * count)) -v b=$sent 'BEGIN { printf "%.1f", a / b }')x smaller"

# Who had how much in the channels before and after, and whether that is what verdicts, claims and fees say: to the msat.
line() { printf '%-12s %12s %12s %12s %12s %12s %12s\n' "$@"; }
echo
line 'msat' before locked earned returned fees after
locked_for_all=0 earned_by_all=0
for who in $workers; do
    before=$(cat "$private/$who/before") after=$(balance "$who")
    locked=$(rungs "$who" . '*') earned=$(rungs "$who" claimed '*') returned=$(rungs "$who" cancelled '*')
    line "$who" "$before" "$locked" "$earned" "$returned" 0 "$after"
    [ $((earned + returned)) -eq "$locked" ] || wrong "$who: locked is not earned and returned"
    [ "$(records "$who" verdicts | field paid_msat | sum)" -eq "$earned" ] || wrong "$who: paid is not what verdicts say"
    [ "$(records "$who" claimed | field claimed_msat | sum)" -eq "$earned" ] || wrong "$who: claimed is not what was paid"
    [ $((before + earned)) -eq "$after" ] || wrong "$who: the balance does not add up"
    locked_for_all=$((locked_for_all + locked)) earned_by_all=$((earned_by_all + earned))
done
before=$(cat "$private/coordinator/before") after=$(balance coordinator)
fees=$(($(cat round-*/rungs.jsonl | field sent_msat | sum) - earned_by_all))
line coordinator "$before" $locked_for_all $earned_by_all $((locked_for_all - earned_by_all)) $fees "$after"
[ $((before - earned_by_all - fees)) -eq "$after" ] || wrong "coordinator: the balance does not add up"
[ "$(rungs mallory claimed '*')" -eq 0 ] || wrong "mallory was paid"
# Anyone can check all of it from the public folder: who signed, what was drawn, scored, paid and made, to the byte.
l402 audit . --coordinator "$coordinator" || wrong "the audit found something"
echo "the audit finds everything equal"
echo "the balances add up to the msat: what the workers earned, and the fees, are what the coordinator has less"
for who in $workers; do echo "earned by $who: $(rungs "$who" claimed '*') msat"; done
echo "everything is in $run: theta-$rounds is a Hugging Face model folder, round-* hold the records"
echo "what each party keeps to itself, and the nodes, which are stopped, is in $private"

# And what the model says, a line each time: it has seen a megabyte of text, and has less than one of its own.
echo
echo "theta-$rounds says:"
for seed in 0 1 2 3 4 5 6 7 8 9; do
    l402 sample --model "theta-$rounds" --prompt "First Citizen:
We " --temperature 0.5 --seed "$seed" --max-tokens 72 --stop "
" --threads 1
done
