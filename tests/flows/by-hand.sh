#!/bin/bash
# The commands of recipes/coordinator.md, as they stand there, one after the other on the devnet: a paid round, and the same with judge and
# payer apart.
#
#   L402_BINARY=target/debug/l402 tests/flows/by-hand.sh
set -euo pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d /tmp/l402-XXXXXX)
cd "$work"
export L402=$L402_BINARY ROUND_MSAT=60000000 BEACONS=blocks
wrong() { echo "by-hand: $*" >&2; exit 1; }
end() { kill "$miner" 2> /dev/null; "$L402" -q devnet down net; rm -rf "$work"; }
miner=''
trap end EXIT

# What is called l402 and lightning-cli there.
mkdir bin
ln -s "$L402" bin/l402
ln -s "$home/tests/flows/lightning-cli" bin/lightning-cli
export PATH=$work/bin:$PATH RPC=$work/net/n2/lightning-rpc

# The commands under a heading.
under() {    # in recipes/coordinator.md, or in another document
    awk -v heading="$1" '/^#/ && !inside { here = ($0 == heading) } /^ *```/ { inside = !inside; show = inside && /```sh/; next }
        here && show { sub(/^ +/, ""); print }' "$home/${2:-recipes/coordinator.md}"
}
play() { bash -euo pipefail -c "$1" > "$work/said" 2>&1 || { cat "$work/said"; wrong "of recipes/coordinator.md: $1"; }; }

l402 -q devnet up net --nodes 4 --channel n1-n2 --channel n3-n2 --channel n4-n2 --json > nodes.jsonl
# A block every other second, as beacons wait for some.
(while sleep 2; do "$L402" -q devnet mine net > /dev/null; done) &
miner=$!
run() {
    "$home/tests/flows/begin" "$1"
    rm -rf "${1:?}-private"/* "$1"/*.pub
    for party in "${@:2}"; do
        who=${party%=*} node=${party#*=}
        l402 -q inspect --field id --where "name=$node" nodes.jsonl > "$1/$who.pub"
        mkdir -p "home-$node/.lightning"
        ln -sfn "$work/net/$node" "home-$node/.lightning/bitcoin"
        (cd "$1" && PARTY=$who HOME=$work/home-$node play "$(under '## Before the first round')")
    done
    printf '{"key":"%s","type":"roster","v":1,"worker":"alice"}\n' "$(cat "$1/alice.pub")" > "$1/roster.jsonl"
    round=$(under '## The round')
    # The audit is told who judges.
    if [ -e "$1/judge.pub" ]; then round="${round%l402 audit*}$(under '### A judge apart from the payer')"; fi
    (cd "$1" && N=0 play "$round")
    [ "$(l402 -q inspect --field claimed_msat "$1/round-0/claimed.jsonl")" -gt 0 ] || wrong "alice was not paid"
    [ -e "$1/theta-1/model.safetensors" ] || wrong "there is no next model"
}
run one coordinator=n1 alice=n2
run three coordinator=n1 alice=n2 judge=n3 payer=n4
play "$(under '## Backups' docs/operating.md)"
grep -q hex said || wrong "the node remembers no journal"
echo "recipes/coordinator.md: every command of a round, judge and payer in one and apart"
