#!/bin/sh
# What a worker runs from cron (recipes/cron.sh): it looks at what is there, and does what is due.
#
#   recipes/worker.sh RUN ID
#
# RUN is the worker's own run folder (docs/run.md), begun with run.toml, roster.jsonl and coordinator.pub from a source that one trusts.
# RUN-private/ID holds lightning-rpc, a link to the node's socket, and the escrow; in a run that does not pay (pay.round_msat = 0) key is
# enough, nothing is offered or claimed, and beacon-b, for which all have committed, stands for the judge's closing. Files travel by SYNC, a command that is called as
# `SYNC get` before and `SYNC put` after, with RUN and ID in its environment:
#   get   brings what the coordinator published into RUN-private/ID/inbox/run, every file whole, and the files of verdicts, which nobody
#         else may see, into RUN-private/ID/inbox:
#             rsync -rt coordinator:run "$RUN-private/$ID/inbox"; rsync -t "coordinator:reveal/$ID.*" "$RUN-private/$ID/inbox"
#   put   sends RUN-private/ID/outbox, in which lies what others may see by now:
#             rsync -rt "$RUN-private/$ID/outbox/" "coordinator:inbox/$ID"
# Without SYNC coordinator and worker share the folder, and trust each other in it.
#
# From the environment too: ROUNDS, how many rounds the run has (default: those that are there); MIN_MSAT, the least that an offer must
# lock, else a person looks: issuing is accepting; DEVICE, where to train, as cuda:1 (docs/gpu.md; default: the processor); L402, the
# binary. A round to be given up: touch RUN-private/ID/skip-N. Further attempts at a round are for people.
#
# Exit status: 0 all rounds are done; 75 it waits for somebody; 69 the node or SYNC does not answer; anything else: a person looks.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: worker.sh RUN ID" >&2
    exit 2
fi
me=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
cd "$1"
run=$PWD id=$2
private=$run-private/$id
# shellcheck source=recipes/party.sh
. "${me%/*}/party.sh"
pays=$(ask pay.round_msat run.toml)

# ---- One round, once it was begun: worker.sh RUN ID ROUND --------------------------------------------------------------

later() { echo "round $n: waiting for $*"; exit 75; }

# Brings a file that is not there yet from the inbox. Links are none; what is there stays.
take() {
    from=$private/inbox/$1
    if [ -e "$2" ] || [ ! -f "$from" ] || [ -L "$from" ] || [ -L "${from%/*}" ]; then return; fi
    mkdir -p "$(dirname "$2")"
    cp "$from" "$private/.taken"
    mv "$private/.taken" "$2"
}

# What others may see from now on, as far as it is there. That it lies in the outbox says that this worker has made it.
sent() { [ -e "$private/outbox/$now/$id.$1" ]; }
send() {
    mkdir -p "$private/outbox/$now"
    for kind in "$@"; do
        if [ -e "$now/$id.$kind" ] && ! sent "$kind"; then
            cp "$now/$id.$kind" "$private/outbox/.part"
            mv "$private/outbox/.part" "$private/outbox/$now/$id.$kind"
        fi
    done
}

round() {
    n=$1 now=round-$1
    # Nobody else's file is taken for this worker's: of the round only these, the model that it begins with, and the shards.
    for file in assignments.jsonl offers.jsonl arrivals.jsonl "$id.receipt" closing.jsonl findings.jsonl scores.jsonl verdicts.jsonl beacon-a beacon-b; do take "run/$now/$file" "$now/$file"; done
    if sent claimed; then exit 0; fi
    for file in "$private/inbox/run/theta-$n"/* "$private/inbox/run/shards"/*; do
        file=${file#"$private/inbox/"}
        take "$file" "${file#run/}"
    done
    for file in "$private/inbox/$id.$n".*.reveal; do
        # Of another whose name goes on with a dot there are more parts.
        try=${file##*/"$id.$n."}
        case ${try%.reveal} in '' | *[!0-9]*) ;; *) take "${file##*/}" "$private/${file##*/}" ;; esac
    done
    if [ -e "$private/skip-$n" ]; then
        # What is held goes back at its heights.
        [ ! -e "$now/$id.invoices" ] || l402 invoice status "$n" "$id" || true
        exit 0
    fi
    # Whoever has no task, or no offer, has nothing to do.
    task=assignments closed=beacon-b what=beacon-b
    [ "$pays" -eq 0 ] || task=offers closed=closing.jsonl what='the closing'
    [ -e "$now/$task.jsonl" ] || later "$task"
    if ! ask worker "$now/$task.jsonl" | grep -qxF -e "$id"; then exit 0; fi
    [ "$pays" -eq 0 ] || locked
    work
    [ "$pays" -gt 0 ] || { [ -e "$now/scores.jsonl" ] || later "the scores"; exit 0; }

    # What was earned, and the rest goes back.
    ls "$private/$id.$n".*.reveal > /dev/null 2>&1 || later "the verdict"
    chmod 600 "$private/$id.$n".*.reveal
    l402 settle --claim "$n" "$id"
    send claimed
}

# Issuing is accepting.
locked() {
    if ! sent invoices; then
        least=$(ask rungs_msat --where "worker=$id" "$now/offers.jsonl" | tr -d '[]' | awk -F, '{
            offer = 0; for (i = 1; i <= NF; i++) offer += $i
            if (NR == 1 || offer < least) least = offer } END { printf "%.0f", least }')
        if [ "$least" -lt "${MIN_MSAT:-0}" ]; then
            echo "round $n: expected an offer of at least $MIN_MSAT msat, found $least"
            exit 1
        fi
        l402 invoice issue "$n" "$id"
    fi
    send invoices

    # Is the money there? Asked every time, as this is also what gives it back where no verdict comes.
    l402 invoice status "$n" "$id"
    send held
}

# The work, and the commitment to it. The update stays at home until the list is closed.
work() {
    if ! sent commitment && [ ! -e "$now/$closed" ]; then
        [ -e "$now/assignments.jsonl" ] || later "assignments"
        { ls "theta-$n"/*model.safetensors && ls "theta-$n"/*config.json; } > /dev/null 2>&1 || later "theta-$n"
        [ "$n" -eq 0 ] || [ -e "round-$((n - 1))/scores.jsonl" ] || later "the scores of round $((n - 1))"
        l402 train "$n" "$id" ${DEVICE:+--device "$DEVICE"}
        l402 commit "$n" "$id"
    fi
    send commitment
    [ -e "$now/$closed" ] || later "$what"

    # That it is closed is what makes it safe to show the work.
    if sent commitment; then
        sent reveal || l402 commit "$n" "$id" --reveal
        send update feedback moments leaves reveal
    fi
}

if [ $# -gt 2 ]; then
    round "$3"
    exit 0
fi

begun() { [ -d "round-$1" ] || [ -d "$private/inbox/run/round-$1" ]; }
all_rounds "$me" "$run" "$id"
if [ $worst -eq 0 ] && [ $n -lt "${ROUNDS:-1}" ]; then worst=75; fi
exit $worst
