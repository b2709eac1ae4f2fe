#!/bin/bash
# Two rounds by hand, under make and under Snakemake are the same to the byte; a killed snakemake goes on, and makes nothing twice.
#
#   L402_BINARY=target/debug/l402 SNAKEMAKE=venv/bin/snakemake tests/flows/rounds.sh
set -euo pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export L402=$L402_BINARY LOG=$work/log
: > "$LOG"
wrong() { echo "rounds: $*" >&2; exit 1; }

# The same keys and the same beacons for all.
"$home/tests/flows/begin" first
cat > beacon << 'END'
#!/bin/sh
printf '%s %s' "$1" "$2" | sha256sum | cut -d' ' -f1
END
chmod +x beacon
begin() { cp -a first "$1"; cp -a first-private "$1-private"; }
# Everything in both folders is equal.
same() { diff -r hand "$1" || wrong "$1 is not as by hand"; }

# ---- By hand --------------------------------------------------------------------------------------------------------

begin hand
l402() { "$L402" --quiet --run hand "$@"; }
for n in 0 1; do
    l402 assign $n --beacon "$(./beacon a $n)"
    for who in ann bob cy; do
        l402 train $n $who
        l402 commit $n $who
    done
    ./beacon b $n > hand/round-$n/beacon-b
    for who in ann bob cy; do
        l402 commit $n $who --reveal
        l402 replay $n $who
    done
    l402 score $n
    l402 aggregate $n
done
"$L402" --quiet audit hand --replay all > /dev/null || wrong "the audit found something"

# ---- Under make -----------------------------------------------------------------------------------------------------

begin make
for n in 0 1; do
    make -s -j2 -f "$home/recipes/round.mk" RUN=make ROUND=$n L402="$home/tests/flows/logged" BEACON_A="$(./beacon a $n)" \
        BEACON_B="$(./beacon b $n)" 2> make.err || { cat make.err; wrong "make failed"; }
done
same make

# ---- Under Snakemake ------------------------------------------------------------------------------------------------

# Arguments of snakemake; what goes wrong is shown.
smk() {
    local run=$1
    shift
    "$SNAKEMAKE" -s "$home/recipes/round.smk" --cores 2 --rerun-incomplete --config RUN="$run" ROUNDS=0..1 BEACON="$work/beacon" \
        L402="$home/tests/flows/logged" PAUSE=0.1 TRIES=5 "$@" > "$run.log" 2>&1
}
begin smk
smk smk || { cat smk.log; wrong "snakemake failed"; }
same smk
smk smk --dry-run
grep -q "Nothing to be done" smk.log || { cat smk.log; wrong "something is left to do"; }
echo "by hand, under make and under snakemake: the same"

# Only 75 is asked again, whatever snakemake is told; anything else fails the round, once.
for case in "75 3 train 0 bob" "75 9 train 0 bob" "1 9 train 0 bob" "65 9 score 0"; do
    read -r code times what <<< "$case"
    rm -rf failing* && begin failing
    : > "$LOG"
    FAIL=$case smk failing --retries 3 --keep-going && ended=0 || ended=$?
    expected=1
    [ "$code" -ne 75 ] || expected=$((times < 5 ? times : 5))
    [ "$(grep -c "^$code $what" "$LOG")" -eq "$expected" ] || { cat "$LOG"; wrong "$case: expected $expected tries"; }
    [ "$((ended == 0))" -eq "$((times == 3))" ] || { cat failing.log; wrong "$case: snakemake ended with $ended"; }
    if [ "$ended" -ne 0 ]; then smk failing || { cat failing.log; wrong "$case: it does not go on"; }; fi
    same failing
done
echo "only 75 is tried again"

# A lie is a finding, and costs the others nothing.
begin lie
l402() { "$L402" --quiet --run lie "$@"; }
l402 assign 0 --beacon "$(./beacon a 0)"
l402 train 0 bob -o delta
{ head -c -1 delta; printf '\1'; } > other
l402 compress 0 bob other
smk lie || { cat lie.log; wrong "a lie ended the round"; }
[ "$("$L402" inspect --field finding lie/round-0/bob.finding)" = mismatch ] || wrong "the lie was not found"
[ "$("$L402" inspect --field counts --where worker=bob lie/round-0/scores.jsonl)" = false ] || wrong "the lie counts"
"$L402" --quiet audit lie --replay all > /dev/null || wrong "the audit found something"
echo "a lie is a finding"

# Killed: snakemake with all that it has started, or alone, so that what it has started works on.
for seed in $(seq "${SEEDS:-3}"); do
    RANDOM=$seed
    rm -rf killed* .snakemake && begin killed
    : > "$LOG"
    kills=0
    for _ in 1 2 3; do
        SLOW=0.1 setsid "$SNAKEMAKE" -s "$home/recipes/round.smk" --cores 2 --rerun-incomplete --config RUN=killed ROUNDS=0..1 \
            BEACON="$work/beacon" L402="$home/tests/flows/logged" PAUSE=0.1 > killed.log 2>&1 &
        pid=$!
        sleep $((1 + RANDOM % 4)).$((RANDOM % 10))
        if [ $((seed % 2)) -eq 0 ]; then kill -9 -- -$pid 2> /dev/null || break; else kill -9 $pid 2> /dev/null || break; fi
        wait $pid 2> /dev/null || true
        kills=$((kills + 1))
        smk killed --unlock || { cat killed.log; wrong "seed $seed: --unlock failed"; }
    done
    smk killed || { cat killed.log; wrong "seed $seed: it does not go on"; }
    same killed
    twice=$(sort "$LOG" | uniq -d)
    if grep train <<< "$twice"; then wrong "seed $seed: trained twice"; fi
    # A kill costs no more than what was at work.
    again=$(sort "$LOG" | grep -v inspect | uniq -c | awk '{ n += $1 - 1 } END { print n + 0 }')
    [ "$again" -le $((kills * 2)) ] || { cat "$LOG"; wrong "seed $seed: $again steps again after $kills kills"; }
    echo "seed $seed: $kills kills, $again steps again, the same bytes"
done
