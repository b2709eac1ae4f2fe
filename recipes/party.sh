# What worker.sh and coordinator.sh have in common. They read it; `run` is the run folder, `id` the worker's, and `begun N` says whether
# there is a round N to look at.
l402() { command "${L402:-l402}" --quiet "$@"; }
ask() { l402 inspect --field "$@"; }
sync() {
    [ -z "${SYNC:-}" ] || RUN=$run ID=${id:-} sh -c "$SYNC \"\$@\"" sync "$1" 9>&- || { echo "SYNC $1: exit status $?"; exit 69; }
}

# All rounds, each by a command of its own, which is called with its number: what one waits for holds up no other. `worst` is what a
# person has to see first, `n` how many there were.
all_rounds() {
    sync get
    worst=0 n=0
    while begun $n; do
        status=0
        "$@" "$n" || status=$?
        case $worst:$status in
            *:0 | *:75) [ $worst -ne 0 ] || worst=$status ;;
            0:* | 75:* | 69:*) worst=$status ;;
        esac
        n=$((n + 1))
    done
    sync put
}
