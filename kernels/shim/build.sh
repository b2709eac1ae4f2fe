#!/usr/bin/env bash
# Builds the driver that runs kernels on the CPU: build.sh [--checked] OUT puts libcuda.so.1 and libcuda.so into OUT. Only what has
# changed is compiled again.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
source "$here/flags.sh"
if [ "${1:-}" = --checked ]; then
    shift
    FLAGS+=(-DL402_SHIM_CHECKED)
    KERNEL_FLAGS+=("${CHECKED_FLAGS[@]}")
fi
out="$1"
mkdir -p "$out/objects"
# One build at a time in one place.
exec 9> "$out/objects/lock"
flock 9
export CXX here out
headers="$(cat "$here"/*.h "$here"/driver/*.h "$here"/../include/*.cuh "$here/flags.sh" | cksum)"
compile() {
    local source="$1" object="$2" key
    shift 2
    key="$(cksum < "$source") $headers $*"
    if [ "$(cat "$object.key" 2> /dev/null)" != "$key" ] || [ ! -f "$object" ]; then
        rm -f "$object.key"
        "$CXX" "$@" -c "$source" -o "$object"
        printf '%s' "$key" > "$object.key"
    fi
}
jobs=() objects=()
for source in "$here"/*.cpp "$here"/driver/*.cpp; do
    object="$out/objects/$(basename "$(dirname "$source")")-$(basename "$source").o"
    objects+=("$object")
    compile "$source" "$object" "${FLAGS[@]}" & jobs+=($!)
done
for source in "$here"/../*.cu; do
    object="$out/objects/$(basename "$source").o"
    objects+=("$object")
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do sleep 0.05; done
    compile "$source" "$object" "${FLAGS[@]}" "${KERNEL_FLAGS[@]}" -x c++ -I"$here/../include" & jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job"; done
"$CXX" -shared -Wl,-soname,libcuda.so.1 -Wl,-z,defs "${LINK_FLAGS[@]}" "${objects[@]}" -o "$out/libcuda.so.1.new" -ldl -lpthread
mv "$out/libcuda.so.1.new" "$out/libcuda.so.1"
ln -sf libcuda.so.1 "$out/libcuda.so"
