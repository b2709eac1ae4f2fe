#!/bin/sh
# What attackers earn: honest workers beside each attacker, many rounds on a tiny model and real text, by mode of replay.
#
#   recipes/attack-lab.sh [FOLDER]      (default: attack-lab-run in the repository)
#
# Leaves FOLDER/attacks.tsv (attack, mode of replay, pay a step beside an honest one's, half of its 95 % interval, and why
# updates did not count), unequal.tsv (rank correlation of pay with what workers brought), robust.tsv and open.tsv (the
# model's loss beside the honest run's from random weights, by aggregation rule, with the scores' gates and without),
# signals.tsv (what honest updates show), attacks.svg, and prints a table. Ten minutes on one core.
#
# From the environment: SEEDS (20), ROUNDS (3), LONG (rounds of unequal workers, 6), ATTACKS (names, with commas between),
# ROBUST ("seeds=3 rounds=8", of robust.tsv and open.tsv), LAB (examples/attack-lab, already built).
set -eu

home=$(cd "$(dirname "$0")/.." && pwd)
run=${1:-$home/attack-lab-run}
seeds=${SEEDS:-20}
rounds=${ROUNDS:-3}
long=${LONG:-6}
mkdir -p "$run"
run=$(cd "$run" && pwd)
cd "$home"
lab=${LAB:-}
if [ -z "$lab" ]; then
    cargo build --release --example attack-lab
    target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    lab=$target/release/examples/attack-lab
fi
robust=${ROBUST:-seeds=3 rounds=8}

keep() { # file, words
    name=$1
    shift
    "$lab" "$@" > "$run/$name.part"
    mv "$run/$name.part" "$run/$name"
}
keep attacks.tsv table "seeds=$seeds" "rounds=$rounds" ${ATTACKS:+"attacks=$ATTACKS"}
keep signals.tsv signals "seeds=$seeds" "rounds=$rounds"
# Whose work is replayed cannot inflate it, nor train on other data: measured at the norm that it has, without that proof.
keep unequal.tsv unequal "seeds=$seeds" "rounds=$long" steps=7 score.sequences=128 score.clip_ppm=0 score.floor_ppm=100000 \
    score.own=0
# From random weights all text is alike, and whose data it was shows in nothing yet.
keep robust.tsv robust $robust before=0 lr=5e-3 score.own=0
keep open.tsv robust $robust before=0 lr=5e-3 open

awk -f recipes/attack-lab-table.awk "$run/attacks.tsv"
awk -f recipes/attack-lab-plot.awk "$run/attacks.tsv" > "$run/attacks.svg"
echo
cat "$run/signals.tsv"
echo
cat "$run/unequal.tsv"
echo
cat "$run/robust.tsv"
echo
cat "$run/open.tsv"
