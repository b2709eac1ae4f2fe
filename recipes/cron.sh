#!/bin/sh
# A command from cron, again and again: mail is empty as long as all is well.
#
#   * * * * *  recipes/cron.sh ~/l402.lock recipes/worker.sh ~/run alice
#
# One at a time: while FILE is locked, by an earlier one that still works, nothing is begun (75). Where cron.sh is killed, what it has
# started holds the lock on. Done (0) and not yet (75) are silent; a node that does not answer (69) is so for an hour, and speaks up then.
# Anything else is printed, with its exit status: the same words at most once an hour. The exit status is the command's.
#
# FILE.out holds what the last one said.
set -u

if [ $# -lt 2 ]; then
    echo "usage: cron.sh FILE COMMAND..." >&2
    exit 2
fi
file=$1
shift
hour=60     # minutes
exec 9>> "$file" || exit 74
flock -n 9 || exit 75

over_an_hour() { [ -n "$(find "$1" -mmin +$hour)" ]; }
speak() {
    { echo "exit status $status: $*"; cat "$file.out"; } > "$file.new"
    if cmp -s "$file.new" "$file.said" && ! over_an_hour "$file.said"; then return; fi
    cat "$file.new"
    mv "$file.new" "$file.said"
}

status=0
"$@" > "$file.out" 2>&1 < /dev/null || status=$?
case $status in
    0 | 75) rm -f "$file.down" ;;
    69)
        if [ ! -e "$file.down" ]; then
            : > "$file.down"
        elif over_an_hour "$file.down"; then
            speak "$@"
        fi
        ;;
    *)
        rm -f "$file.down"
        speak "$@"
        ;;
esac
exit $status
