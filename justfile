# What one does here; `just` lists it.

default:
    @just --list

# The tests.
test:
    cargo test

# What verifies, scores, pays and audits, under the second arithmetic.
test-integers:
    .ci/integers

# Whether what we write opens in transformers and PEFT, with the same logits and losses; installs them beside the build.
test-hf:
    cargo build
    .ci/hf

# Whether in-toto's own library reads our statements; installs it beside the build.
test-in-toto:
    cargo build
    .ci/attest

# Rounds by hand, under make, Snakemake and cron are the same, killed or not; installs Snakemake beside the build.
flows:
    cargo build
    .ci/flows

# Rounds on a real Slurm of this machine, which it installs: needs root on Debian. Not a part of CI.
slurm:
    cargo build
    .ci/slurm

# Licences, sources and advisories of what is built in, and the oldest compiler.
deny:
    .ci/deny

# A static binary, man pages, completions, checksums and a list of what is in it, in dist/; `just release --twice` shows that two
# builds give the same bytes.
release *ARGS:
    .ci/release {{ARGS}}

# Everything that CI checks.
ci:
    .ci/run

# Four workers, twenty paid rounds, one liar.
quickstart:
    recipes/quickstart.sh

# A report in a browser: its numbers, its widths, in light and dark.
test-report:
    cargo build
    .ci/report

# Core Lightning's own Python client drives the devnet; the variable PYTHON names a python that has pyln-client.
pyln:
    cargo build
    ${PYTHON:-python3} tests/pyln/devnet.py "${CARGO_TARGET_DIR:-target}/debug/l402"

# Paid rounds with everything that can happen to them, from so many seeds: half of them in each of two processes.
simulate SEEDS="2000" FROM="0":
    #!/bin/sh
    set -eu
    cargo test --test simulation --no-run
    half=$(({{FROM}} + {{SEEDS}} / 2)) to=$(({{FROM}} + {{SEEDS}}))
    L402_TEST_SEEDS={{FROM}}..$half cargo test --test simulation seeds -- --nocapture &
    first=$! status=0
    L402_TEST_SEEDS=$half..$to cargo test --test simulation seeds -- --nocapture || status=$?
    wait $first
    exit $status

# Our train step beside PyTorch's and candle's; the variable PYTHON names a python that has torch.
bench *ARGS:
    python3 benches/compare.py {{ARGS}}

# The list of records, from the source, and the man pages, from the command line and the documents.
generate:
    L402_REGENERATE=1 cargo test --test records the_committed
    cargo run --quiet -- man --output man --force

# The golden digests: only together with a new number of the arithmetic contract.
golden:
    L402_REGENERATE=1 cargo test --test golden every_operator
    L402_REGENERATE=1 cargo test --test golden a_whole
    L402_REGENERATE=1 cargo test --test golden many_steps
    cargo test --test golden

# What goes wrong, recorded anew: read it before it is committed.
errors:
    TRYCMD=overwrite cargo test --test errors transcripts

# Files that are bad on purpose.
hostile:
    L402_REGENERATE=1 cargo test --test hostile

# Every decoder under libFuzzer for so many seconds each; needs a nightly toolchain and cargo-fuzz.
fuzz SECONDS="60":
    #!/bin/sh
    set -eu
    for target in $(cargo +nightly fuzz list); do
        mkdir -p "fuzz/corpus/$target"
        cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "testdata/fuzz/$target" -- \
            -max_total_time={{SECONDS}} -rss_limit_mb=2048 -max_len=16384
    done

# The corpus that fuzzing begins with.
fuzz-corpus:
    L402_REGENERATE=1 cargo test --test fuzz the_committed

# Codecs: megabytes of float32 a second, beside copying memory.
bench-codecs *ARGS:
    cargo bench --bench codecs -- {{ARGS}}

# What attackers earn beside honest workers.
attack-lab *ARGS:
    recipes/attack-lab.sh {{ARGS}}

# Sharding beside Python's tokenizers; the variable PYTHON names a python that has them.
bench-tokens *ARGS:
    python3 benches/tokens.py {{ARGS}}

# Forward passes that scoring costs.
bench-score *ARGS:
    cargo bench --bench score -- {{ARGS}}

# The kernels' PTX, by NVRTC from PyPI.
ptx *ARGS:
    .ci/ptx ptx {{ARGS}}

# The kernels' registers, occupancy and inner loops, by ptxas and nvdisasm from PyPI: kernels/figures.tsv. A kernel file's name
# prints its own; `--loop KERNEL sm_90` prints the loop.
figures *ARGS:
    .ci/ptx figures {{ARGS}}

# The kernels against what they promise, on the CPU.
test-kernels:
    kernels/shim/test.sh

# Each barrier, warp barrier and wait of the kernels taken out, one at a time: a test must fail.
mutate-kernels *ARGS:
    python3 kernels/shim/mutate.py {{ARGS}}
