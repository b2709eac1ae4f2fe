#!/bin/sh
# What a coordinator, who judges and pays, runs of a paid run, from cron (recipes/cron.sh): it looks at what is there, and does what is due.
#
#   recipes/coordinator.sh RUN
#
# RUN is the run folder (docs/run.md). RUN-private/coordinator holds lightning-rpc, a link to the node's socket, and the escrow. Files
# travel by SYNC, a command that is called as `SYNC get` before and `SYNC put` after, with RUN in its environment:
#   get   brings what the worker ID has sent into RUN-private/coordinator/inbox/ID/round-N, and sees to it that nobody else writes there
#   put   publishes RUN, and brings each RUN-private/coordinator/reveal/ID.N.A.reveal to the worker ID, to nobody else
# Without SYNC the workers fetch and send by themselves, by a login each (recipes/worker.sh).
#
# From the environment too: ROUNDS, how many rounds the run has (default 1). BUDGET_MSAT, the most that a round may bind and cost (default:
# twice a round's pay and 5 %). HEIGHTS of the offers. PATIENCE, minutes from the closing until an update that was committed to and not
# shown is scored without (default 60). Beacons are made of blocks, which are waited for, where the recipe has them so (verify.beacons);
# else BEACON prints them, called as `BEACON a 3` before round 3 is assigned and `BEACON b 3` once its list is closed (default: drawn,
# for trying). L402, the binary. A round to be given up: touch RUN-private/coordinator/skip-N.
#
# Exit status: 0 all rounds are done; 75 it waits for somebody; 69 the node or SYNC does not answer; anything else: a person looks, and
# what does not hang on it goes on the next time.
set -eu

if [ $# -lt 1 ]; then
    echo "usage: coordinator.sh RUN" >&2
    exit 2
fi
me=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
cd "$1"
run=$PWD
private=$run-private/coordinator
inbox=$private/inbox
patience=${PATIENCE:-60}
# shellcheck source=recipes/party.sh
. "${me%/*}/party.sh"
# What was drawn stays, also after a kill.
beacon() {
    if [ -e "round-$2/beacon-$1" ]; then
        return
    elif [ "$(ask verify.beacons run.toml)" = blocks ]; then
        l402 beacon "$2" "$1"
    else
        value=random
        [ -z "${BEACON:-}" ] || value=$(sh -c "$BEACON \"\$@\"" beacon "$@")
        l402 beacon "$value" -o "round-$2/beacon-$1"
    fi
}
# A model's configuration, or an adapter's, is written last.
is_model() { [ -e "$1/config.json" ] || [ -e "$1/adapter_config.json" ]; }
workers=$(ask worker roster.jsonl)

# ---- One round: coordinator.sh RUN ROUND ----------------------------------------------------------------------------

look=''
later() { echo "round $n: waiting for $*"; exit "${look:-75}"; }

# What workers have sent is hostile: regular files alone, by the names of the roster, as large as they can be, and what is there stays. It is
# looked at once more when it is copied: a link or a pipe is copied as one, and is not taken.
most=$(($(wc -c < "$(ls theta-0/*model.safetensors)") * 4 + 1048576))
take() {
    for who in $workers; do
        from=$inbox/$who/$now
        if [ -L "$from" ] || [ ! -d "$from" ]; then continue; fi
        for kind in "$@"; do
            if [ -e "$now/$who.$kind" ]; then continue; fi
            if [ -z "$(find "$from/$who.$kind" -prune -type f -size "-${most}c" 2> /dev/null)" ]; then continue; fi
            rm -rf "$now/.taken"
            # What cannot be read is not there.
            cp -RP "$from/$who.$kind" "$now/.taken" 2> /dev/null || { rm -rf "$now/.taken"; continue; }
            if [ -f "$now/.taken" ] && [ ! -L "$now/.taken" ]; then
                chmod 644 "$now/.taken"
                mv "$now/.taken" "$now/$who.$kind"
            fi
            rm -rf "$now/.taken"
        done
    done
}

# Of those who have committed, who has not shown everything?
unshown() {
    for who in $workers; do
        if [ -e "$now/$who.commitment" ] && { [ ! -e "$now/$who.reveal" ] || [ ! -e "$now/$who.update" ]; }; then printf ' %s' "$who"; fi
    done
}

round() {
    n=$1 now=round-$1
    if [ -e "$private/done-$n" ] || [ -e "$private/skip-$n" ]; then exit 0; fi

    # Who works on what, and what it is worth.
    if [ ! -e "$now/assignments.jsonl" ]; then
        beacon a "$n"
        l402 assign "$n"
    fi
    [ -e "$now/offers.jsonl" ] || l402 invoice offer "$n" ${HEIGHTS:+--heights "$HEIGHTS"}

    # Whose invoices are here is locked at once; the list is closed when all have committed, or at its height.
    if [ ! -e "$now/closing.jsonl" ]; then
        take invoices held commitment
        if ls "$now"/*.invoices > /dev/null 2>&1; then
            status=0
            l402 invoice lock "$n" --budget-msat "${BUDGET_MSAT:-$(($(ask pay.round_msat run.toml) * 21 / 10))}" || status=$?
            case $status in
                0 | 75) ;;
                1) look=1 ;;            # one worker's invoices; the others go on
                *) exit $status ;;
            esac
        fi
        [ -e "$now/commitments.jsonl" ] || : > "$now/commitments.jsonl"
        # In which order they came, with a receipt for each.
        l402 commit --receive "$n"
        status=0
        l402 commit --close "$n" || status=$?
        [ $status -eq 0 ] || exit ${look:-$status}
    fi

    # Everybody's work again. 1 is a lie, and a finding as any other; what has none does not count.
    if [ ! -e "$now/scores.jsonl" ]; then
        take update feedback moments leaves reveal
        missing=$(unshown)
        if [ -n "$missing" ] && [ -z "$(find "$now/closing.jsonl" -mmin "+$patience")" ]; then later "the work of$missing"; fi
        # Who has not shown its work by now is scored without it.
        without='--without reveals'
        for who in $workers; do
            if [ -e "$now/$who.finding" ] || [ ! -e "$now/$who.update" ]; then continue; fi
            status=0
            l402 replay "$n" "$who" || status=$?
            case $status in
                # Whatever was sent, states of another's too: without a finding it does not count, and holds up nobody.
                0 | 1 | 2 | 65 | 66) [ -e "$now/$who.finding" ] || without='--without reveals --without findings' ;;
                *) exit $status ;;
            esac
        done
        beacon b "$n"
        # shellcheck disable=SC2086
        l402 score "$n" $without
    fi

    # The verdicts. Who never had anything locked gets none (1), and some wait for what opens a commitment (75): the others go on.
    take held reveal feedback moments leaves
    waits=''
    status=0
    l402 settle "$n" --force || status=$?
    case $status in
        0) ;;
        75) waits=1 ;;
        1)
            for who in $workers; do
                if [ -e "$now/$who.held" ] && ! ask task.worker "$now/verdicts.jsonl" | grep -qx -e "$who"; then look=1; fi
            done
            ;;
        *) exit $status ;;
    esac
    is_model "theta-$((n + 1))" || l402 aggregate "$n"

    # What came of it. A worker that sits on its payments holds up no later round; what was never locked is nobody's.
    take claimed
    l402 invoice status "$n"
    if ask state "$now/rungs.jsonl" | grep -q -x -e locking -e unknown -e held -e judged -e revealed; then later "claims"; fi
    [ -z "$waits" ] || later "what opens a commitment"
    for who in $workers; do
        if [ -e "$now/$who.held" ] && [ ! -e "$now/$who.claimed" ] && [ -z "$(find "$now/verdicts.jsonl" -mmin "+$patience")" ]; then
            later "the word of $who that it has claimed"
        fi
    done
    [ -z "$look" ] || exit 1
    : > "$private/done-$n"
}

if [ $# -gt 1 ]; then
    round "$2"
    exit 0
fi

for who in $workers; do mkdir -p "$inbox/$who"; done
begun() { [ "$1" -lt "${ROUNDS:-1}" ] && is_model "theta-$1"; }
all_rounds "$me" "$run"
exit $worst
