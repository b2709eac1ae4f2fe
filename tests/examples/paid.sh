#!/bin/bash
# The examples of pay, in the order of a round, on a devnet: paid.sh EXAMPLES, in a copy of the desk that world.sh makes. EXAMPLES has
# each block of the pages as a file PAGE-N.sh.
set -euo pipefail
examples=$1
desk=$PWD
trap 'echo "paid.sh: line $LINENO" >&2' ERR
l402() { command l402 --quiet "$@"; }
beacon() { printf '%s' "$1" | sha256sum | cut -d' ' -f1; }
trap 'l402 devnet down "$desk/net"' EXIT

# What a party types, where it is: play PARTY PAGE N [LINE]. ~/.lightning is its node's.
play() {
    sed -n "${4:-1,\$}p" "$examples/$2-$3.sh" > "$desk/typed"
    HOME=$desk/home-$1 bash -euo pipefail "$desk/typed" || { echo "$2, example $3, as $1:" && cat "$desk/typed" && exit 1; } >&2
}

# Three nodes: the payer's, alice's, and that of the coordinator, who judges.
l402 devnet up net --nodes 3 --json > nodes.jsonl
for party in payer=n1 alice=n2 judge=n3; do
    mkdir -p "home-${party%=*}/.lightning"
    ln -s "$desk/net/${party#*=}" "home-${party%=*}/.lightning/bitcoin"
done
id() { l402 inspect --field id --where "name=$1" nodes.jsonl; }
C=$(id n3) J=$C P=$(id n1)
export C J P

# ---- A run with pay, by short forms ---------------------------------------------------------------------------------

sed 's/^theta_0 = .*/theta_0 = ""/' run/run.toml > paid.toml
printf '[pay]\nround_msat = 60000000\n' >> paid.toml
l402 new paid --config config.json --seed 1 --text corpus.txt --recipe paid.toml --shards 4 --workers "alice=$(id n2)" --coordinator "$C" > /dev/null
echo "$P" > paid/payer.pub
for party in payer=n1 alice=n2 coordinator=n3; do
    mkdir -p "paid-private/${party%=*}"
    ln -s "$desk/net/${party#*=}/lightning-rpc" "paid-private/${party%=*}/lightning-rpc"
done
cd paid
for try in $(seq 100); do
    l402 assign 0 --beacon "$(beacon "$try")"
    [ "$(l402 inspect --field shard --where worker=alice round-0/assignments.jsonl)" != train-00002.safetensors ] || break
    rm -r round-0
done
l402 invoice offer 0
l402 invoice issue 0 alice
l402 invoice lock 0 --budget-msat 250000000
l402 invoice status 0 alice --wait
l402 train 0 alice
l402 commit 0 alice
l402 commit --close 0
l402 commit 0 alice --reveal
l402 replay 0 alice
l402 score 0 --beacon "$(beacon "score 0")"
l402 settle 0
l402 settle --claim 0 alice --wait
l402 aggregate 0
# Two rounds in which nobody asks for pay.
for n in 1 2; do
    l402 assign $n --beacon "$(beacon "assign $n")"
    l402 train $n alice --without held
    l402 commit $n alice
    l402 commit $n alice --reveal --without closing
    l402 replay $n alice
    l402 score $n --beacon "$(beacon "score $n")" --without closing
    l402 aggregate $n
done
# Blocks come while it waits for one.
mines() { (while sleep 0.5; do l402 devnet mine "$desk/net" > /dev/null; done) & miner=$!; }
mines
play judge beacon 1
kill $miner
l402 assign 3
for party in judge alice payer; do cp -r . "../$party"; cp -r . "../other-$party"; done
cp -r . ../soon

play judge invoice-offer 1
play alice invoice-issue 1
play payer invoice-lock 1
play alice invoice-status 1
l402 train 3 alice
play alice commit 1
l402 replay 3 alice
mines
play judge beacon 2
kill $miner
l402 score 3
play judge settle 1
l402 aggregate 3
[ "$(l402 inspect --field claimed_msat round-3/alice.claimed)" -gt 0 ]

# ---- The same by names, each party in a folder of its own -----------------------------------------------------------

# What somebody sends: send FROM TO FILE [NAME].
send() { mkdir -p "$(dirname "../$2/${4:-$3}")" && cp "../$1/$3" "../$2/${4:-$3}"; }
at() { cd "$desk/$1" && play "${@:2}"; }
at judge judge invoice 1 1
send judge alice round-3/offers.jsonl
send judge payer round-3/offers.jsonl
at alice alice invoice 1 2
send alice payer alice.invoices.jsonl inbox/alice.jsonl
at payer payer invoice 1 3
at alice alice invoice 1 4
rm alice.held.jsonl
at alice alice invoice-status 2
send alice judge alice.held.jsonl inbox/alice.held.jsonl
l402 -C . train 3 alice --without held
l402 commit round-3/alice.update --round 3 --worker alice --offers round-3/offers.jsonl --lightning-dir "$desk/home-alice/.lightning" -o alice.commitment
send alice judge alice.commitment inbox/alice.commitment.jsonl
cd ../judge
ln -s escrow judge
play judge commit 3
send judge alice round-3/closing.jsonl
send alice judge round-3/alice.update
cd ../alice
l402 commit round-3/alice.update --round 3 --worker alice --offers round-3/offers.jsonl --reveal --lightning-dir "$desk/home-alice/.lightning" -o alice.reveal
send alice judge alice.reveal inbox/alice.reveal.jsonl
cd ../judge
mkdir reveal
cp ../paid/round-3/{scores,findings}.jsonl round-3/
play judge settle 2
send judge alice reveal/alice.3.0.reveal alice.3.0.reveal
at alice alice settle 3
[ "$(l402 inspect --field claimed_msat alice.claimed.jsonl)" -gt 0 ]
at payer payer invoice-status 3
l402 inspect --field state round-3/rungs.jsonl | grep -q claimed

# ---- An offer from a state, and what would be paid before it is paid ------------------------------------------------

at other-judge judge invoice-offer 2
send other-judge other-alice round-3/offers.jsonl
send other-judge other-payer round-3/offers.jsonl
at other-alice alice invoice-issue 2
send other-alice other-payer alice.invoices.jsonl inbox/alice.jsonl
at other-payer payer invoice-lock 2
cd ../other-alice
l402 invoice status --round 3 --wait=60 --lightning-dir "$desk/home-alice/.lightning" > held
[ "$(l402 inspect --field task.worker held)" = alice ]
at soon judge invoice-offer 3
[ "$(l402 inspect --field heights.reveal_by round-3/offers.jsonl)" -eq $(($(l402 inspect --field heights.offered_at round-3/offers.jsonl) + 9)) ]

# ---- And the first round, for pay -----------------------------------------------------------------------------------

at paid alice train 5
cp -r ../soon ../by-node
rm -r ../by-node/round-3
mkdir ../by-node/round-3
cp ../soon/round-3/beacon-a ../by-node/round-3/
at by-node judge assign 3
