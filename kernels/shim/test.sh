#!/usr/bin/env bash
# Kernels against their definitions on the CPU, plain and checked, and planted faults, each of which must be caught by name.
# test.sh [NAME...] runs those of tests/ alone.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export here work SHIM_OBJECTS="$work/objects"

# Plain and checked, in all orders.
run_test() {
    local name="$1" mode
    for mode in "" --checked; do
        "$here/cc" $mode "$here/tests/$name.cpp" -o "$work/$name$mode" > "$work/$name.log" 2>&1 &&
            "$work/$name$mode" >> "$work/$name.log" 2>&1 || {
            printf 'FAILED %s %s\n' "$name" "$mode"
            cat "$work/$name.log"
            return 1
        }
    done
    printf 'ok %s\n' "$name"
}

# run_fault NUMBER MODE WORDS: the program ends badly, and says so.
run_fault() {
    local number="$1" mode="$2" words="$3" log="$work/fault$1$2.log"
    if "$work/faults$mode" "$number" > "$log" 2>&1 || ! grep -qE "$words" "$log"; then
        printf 'FAILED fault %s %s: not "%s":\n' "$number" "$mode" "$words"
        cat "$log"
        return 1
    fi
    printf 'ok fault %s %s\n' "$number" "$mode"
}
export -f run_test run_fault

if [ $# != 0 ]; then
    printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'run_test {}'
    exit
fi
for test in "$here"/tests/*.cpp; do basename "$test" .cpp; done | xargs -P "$(nproc)" -I{} bash -c 'run_test {}'

# What each fault of faults/product.cpp (by its number) gives, plain and with --checked.
"$here/cc" "$here/faults/product.cpp" -o "$work/faultsplain"
"$here/cc" --checked "$here/faults/product.cpp" -o "$work/faults--checked"
[ "$("$work/faultsplain")" = equal ]
[ "$("$work/faults--checked")" = equal ]
xargs -P "$(nproc)" -L 1 bash -c 'run_fault "$@" 2> /dev/null' _ << 'END'
1 plain "elements differ"
1 --checked "race: (reads|writes) byte"
2 plain "elements differ"
2 --checked "race: (reads|writes) byte"
3 plain "elements differ"
3 --checked "race: writes byte .* of global memory"
4 plain "product forward: .* elements differ"
5 plain "product forward: .* elements differ"
6 plain "row_sums forward: .* elements differ"
7 plain "product forward: .* elements differ"
8 plain "product forward: .* elements differ"
9 plain "is at the barrier|has ended, others wait at the barrier"
10 plain "has ended, others wait at the barrier"
11 plain "index 16 out of bounds"
11 --checked "index 16 out of bounds|race"
12 --checked "bytes beyond the end of device memory"
13 plain "misaligned address"
14 plain "elements differ"
15 plain "waits for lane 20, which has ended"
16 plain "before reversed: .* elements differ"
16 --checked "race: reads byte .* of global memory, which thread 0 of another block wrote"
17 plain "elements differ"
17 --checked "race: (reads|writes) byte"
18 --checked "which is not memory of the device"
19 plain "product forward: .* elements differ"
END
echo "kernels on the CPU: every test passes, every planted fault is caught"
