# The compiler and its flags, for all that is built with the shim.
CXX="${CXX:-g++}"
FLAGS=(-O2 -g1 -std=c++17 -Wall -Wextra -Wno-unknown-pragmas -ffp-contract=off -fno-math-errno -fno-strict-aliasing -fvisibility=hidden -fPIC)
case "$("$CXX" -dumpmachine)" in
    x86_64*) FLAGS+=(-mfma -mavx2) ;;
esac
# A misaligned access, an index outside of an array, an overflow: an abort that names the place.
KERNEL_FLAGS=(-fsanitize=alignment,bounds,shift,signed-integer-overflow,integer-divide-by-zero -fno-sanitize-recover=all)
# Each access calls check.cpp. The sanitizer's own runtime isn't linked.
CHECKED_FLAGS=(-fsanitize=thread)
LINK_FLAGS=(-fsanitize=undefined -static-libubsan)
