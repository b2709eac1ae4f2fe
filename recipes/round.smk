# Rounds without pay under Snakemake, the same as under GNU make (round.mk) or by hand, to the byte:
#
#   snakemake -s recipes/round.smk --cores 4 --rerun-incomplete --config RUN=folder ROUNDS=0..2
#
# RUN is a run folder (docs/run.md) as `l402 new` begins one, its parties' keys are in RUN-private beside it. Rounds before the first
# of ROUNDS are taken as they are. THREADS are for each `train` and `replay`. Where the recipe names validators, VALIDATORS=ann,bob
# names whose keys sign the scores, the first one's the findings. L402 names the binary.
#
# The two beacons must not exist before their time. By default they are drawn when they are needed. BEACON is a command that prints
# them instead, called as `BEACON a 3`, before round 3 is assigned, and `BEACON b 3`, when all have committed: of a block that is not
# there yet it ends with 75.
#
# After a kill, at any moment, the same command goes on. Training that is done is not done again, and what an earlier snakemake has left
# at work is waited for. After `kill -9` snakemake still believes in its own lock: the same command with --unlock, then without.
#
# On a cluster: an executor plugin (--executor slurm --jobs 100), or a command that submits (--executor cluster-generic). RUN must be
# on a file system that all nodes see, under one name; what needs keys runs where snakemake does. .ci/slurm plays it on one node.
# Workers apart are the matter of recipes/worker.sh.
#
# Without a common file system: an object store, by a storage plugin (--default-storage-provider s3 --default-storage-prefix s3://bucket).
# Copy the folder there, as s3://bucket/RUN; its parties' keys never go there: they are in RUN-private, or KEYS, where snakemake runs. A
# job has what its rule names, which layout.smk does; a new machine goes on from what is in the store, and what was drawn there stays.
# Nobody else writes to it: lists are made of what these rules have made. `replay` and `score` look for the states beside an update and
# say there that nobody has them. tests/flows/objects.sh plays it, every job on a machine of its own.

import os
import shlex

RUN = str(config.get("RUN", "."))
L402 = str(config.get("L402", "l402"))
BEACON = str(config.get("BEACON", ""))
THREADS = int(config.get("THREADS", 1))
TRIES = int(config.get("TRIES", 120))
PAUSE = float(config.get("PAUSE", 30))
VALIDATORS = [name for name in str(config.get("VALIDATORS", "")).split(",") if name]
# Without a validator's signature no finding counts, where there are some.
SIGNER = VALIDATORS[0] if VALIDATORS else ""
FIRST, _, LAST = str(config.get("ROUNDS", "0")).partition("..")
ROUNDS = range(int(FIRST), int(LAST or FIRST) + 1)

KEYS = str(config.get("KEYS", os.path.abspath(RUN) + "-private"))
RUN = "" if RUN == "." else RUN.rstrip("/") + "/"
NOW = RUN + "round-{n}/"

include: "layout.smk"


# A model's configuration, or an adapter's.
ADAPTER = "adapter_" if there(RUN + ("base/config.json" if STORE else "base")) else ""
THETA = RUN + "theta-{next}/" + ADAPTER + "config.json"
WORKERS = fields(RUN + "roster.jsonl", "worker")
# Where a job has the folder.
HERE = str(stored(RUN + "run.toml").local_path().parent) if STORE else RUN or "."

# Exit status 75 means try again later, and nothing else does: a definite no, malformed or missing input stay what they are, however
# often one asks. So a job waits here, and `retries`, which knows no statuses, is off.
AGAIN = f"""
l402() {{ {L402} --run {shlex.quote(HERE)} "$@"; }}
signed() {{ l402 "${{@:2}}" {"--key " + shlex.quote(KEYS) + '/"$1"/key' if STORE or "KEYS" in config else ""}; }}
beacon() {{
    if [ -e {shlex.quote(HERE)}/round-$2/beacon-$1 ]; then cat {shlex.quote(HERE)}/round-$2/beacon-$1; return; fi
    {BEACON or "echo random #"} "$@"
}}
again() {{
    for try in $(seq {TRIES}); do
        status=0
        "$@" || status=$?
        [ $status -eq 75 ] || return $status
        [ $try -eq {TRIES} ] || sleep {PAUSE}
    done
    return 75
}}
"""
shell.prefix(AGAIN.replace("{", "{{").replace("}", "}}"))


wildcard_constraints:
    n="|".join(map(str, ROUNDS)),
    who="[a-z0-9._-]+",


def of_all(kind, who=WORKERS):
    return expand(NOW + "{who}." + kind, who=who, allow_missing=True)


def theta(wildcards):
    return THETA.format(next=wildcards.n)


def begins(wildcards):
    """What a round begins with must be there before its beacon is drawn."""
    before = [f"{RUN}round-{int(wildcards.n) - 1}/scores.jsonl"] if int(wildcards.n) else []
    return [RUN + "roster.jsonl", theta(wildcards), *before]


localrules: rounds, assign, commit, beacon, reveal


rule rounds:
    input: expand(THETA, next=[n + 1 for n in ROUNDS]), left(),


rule assign:
    input: begins, reads("assign"),
    output: NOW + "assignments.jsonl", leaves("assign"),
    wildcard_constraints: n=undrawn("assignments.jsonl", "beacon-a"),
    retries: 0
    shell: "value=$(again beacon a {wildcards.n}); signed coordinator assign {wildcards.n} --beacon $value"


# `kept` keeps what is there: l402 itself knows whether it was made from the same inputs.
rule train:
    input: NOW + "assignments.jsonl", reads("train"),
    output: kept(NOW + "{who}.update"), leaves("train"),
    threads: THREADS
    retries: 0
    shell: "again l402 train {wildcards.n} {wildcards.who} --threads {threads}"


rule commit:
    input: NOW + "{who}.update", reads("commit"),
    output: NOW + "{who}.commitment",
    retries: 0
    shell: "signed {wildcards.who} commit {wildcards.n} {wildcards.who}"


# Once drawn it stays.
rule beacon:
    input: of_all("commitment"),
    output: kept(NOW + "beacon-b"),
    wildcard_constraints: n=undrawn("beacon-b"),
    retries: 0
    shell: "[ -e {output:q} ] || {{ value=$(again beacon b {wildcards.n}); l402 beacon $value -o {output:q}; }}"


rule reveal:
    input: NOW + "{who}.update", NOW + "beacon-b", reads("commit"),
    output: NOW + "{who}.reveal",
    retries: 0
    shell: "signed {wildcards.who} commit {wildcards.n} {wildcards.who} --reveal"


# A mismatch (1), and an update that cannot be read, are findings like others. What makes no finding has failed.
rule replay:
    input: NOW + "{who}.update", NOW + "beacon-b", reads("replay"),
    output: NOW + "{who}.finding",
    threads: THREADS
    retries: 0
    shell: "again l402 replay {wildcards.n} {wildcards.who} {SIGNER} --threads {threads} || {{ status=$?; [ -e {output:q} ] || exit $status; }}"


if VALIDATORS:

    # Each of them scores and signs, and anybody merges.
    rule validate:
        input: of_all("finding"), of_all("reveal"), leaves("score"), reads("score"),
        output: NOW + "{who}.scored",
        retries: 0
        shell: "again signed {wildcards.who} score {wildcards.n} {wildcards.who}"

    rule score:
        input: signed=of_all("scored", VALIDATORS), other=reads("commit"),
        output: NOW + "scores.jsonl",
        retries: 0
        shell: "l402 score {wildcards.n} --consensus {input.signed:q}"

    # No key goes to a node that shares nothing, and the lists that validators put together would stay where they are.
    if STORE:
        localrules: validate

        rule lists:
            input: parts=of_all("commitment") + of_all("reveal"), findings=of_all("finding"),
            output: leaves("score"),
            retries: 0
            shell: "cat {input.parts:q} > {output[0]:q}; cat {input.findings:q} > {output[1]:q}"

else:

    rule score:
        input: of_all("finding"), of_all("reveal"), reads("score"),
        output: NOW + "scores.jsonl", leaves("score"),
        retries: 0
        shell: "again l402 score {wildcards.n}"


# Snakemake removes one file of what it takes for half a model; the others are written again.
for last in ROUNDS:
    rule:
        name: f"aggregate_{last}"
        input: NOW.format(n=last) + "scores.jsonl", reads("aggregate", last),
        output: THETA.format(next=last + 1), leaves("aggregate", last),
        params: n=last,
        retries: 0
        shell: "l402 aggregate {params.n} --force"
