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
# Without a common file system: storage plugins carry only the files that a rule names, and short forms read more than that, by the layout.
# So carry the whole folder: mount the store, or sync it before and after. Workers apart are the matter of recipes/worker.sh.

import shlex
import subprocess

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

RUN = "" if RUN == "." else RUN.rstrip("/") + "/"
NOW = RUN + "round-{n}/"
# A model's configuration, or an adapter's.
THETA = RUN + "theta-{next}/" + ("adapter_config.json" if os.path.isdir(RUN + "base") else "config.json")
# l402 says itself what is wrong with a file.
WORKERS = subprocess.run(
    [*shlex.split(L402), "inspect", "--field", "worker", RUN + "roster.jsonl"], stdout=subprocess.PIPE, text=True, check=True
).stdout.split()

# Exit status 75 means try again later, and nothing else does: a definite no, malformed or missing input stay what they are, however
# often one asks. So a job waits here, and `retries`, which knows no statuses, is off.
AGAIN = f"""
l402() {{ {L402} --run {shlex.quote(RUN or ".")} "$@"; }}
beacon() {{
    if [ -e {shlex.quote(RUN)}round-$2/beacon-$1 ]; then cat {shlex.quote(RUN)}round-$2/beacon-$1; return; fi
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
    next="|".join(str(n + 1) for n in ROUNDS),
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
    input: expand(THETA, next=[n + 1 for n in ROUNDS]),


rule assign:
    input: begins,
    output: NOW + "assignments.jsonl",
    retries: 0
    shell: "value=$(again beacon a {wildcards.n}); l402 assign {wildcards.n} --beacon $value"


# `update` keeps what is there: l402 itself knows whether it was made from the same inputs.
rule train:
    input: NOW + "assignments.jsonl",
    output: update(NOW + "{who}.update"),
    threads: THREADS
    retries: 0
    shell: "again l402 train {wildcards.n} {wildcards.who} --threads {threads}"


rule commit:
    input: NOW + "{who}.update",
    output: NOW + "{who}.commitment",
    retries: 0
    shell: "l402 commit {wildcards.n} {wildcards.who}"


# Once drawn it stays.
rule beacon:
    input: of_all("commitment"),
    output: update(NOW + "beacon-b"),
    retries: 0
    shell: "[ -e {output:q} ] || {{ value=$(again beacon b {wildcards.n}); l402 beacon $value -o {output:q}; }}"


rule reveal:
    input: NOW + "{who}.update", NOW + "beacon-b",
    output: NOW + "{who}.reveal",
    retries: 0
    shell: "l402 commit {wildcards.n} {wildcards.who} --reveal"


# A mismatch (1), and an update that cannot be read, are findings like others. What makes no finding has failed.
rule replay:
    input: NOW + "{who}.update", NOW + "beacon-b",
    output: NOW + "{who}.finding",
    threads: THREADS
    retries: 0
    shell: "again l402 replay {wildcards.n} {wildcards.who} {SIGNER} --threads {threads} || {{ status=$?; [ -e {output:q} ] || exit $status; }}"


if VALIDATORS:

    # Each of them scores and signs, and anybody merges.
    rule validate:
        input: of_all("finding"), of_all("reveal"),
        output: NOW + "{who}.scored",
        retries: 0
        shell: "again l402 score {wildcards.n} {wildcards.who}"

    rule score:
        input: of_all("scored", VALIDATORS),
        output: NOW + "scores.jsonl",
        retries: 0
        shell: "l402 score {wildcards.n} --consensus {input:q}"

else:

    rule score:
        input: of_all("finding"), of_all("reveal"),
        output: NOW + "scores.jsonl",
        retries: 0
        shell: "again l402 score {wildcards.n}"


# Snakemake removes one file of what it takes for half a model; the others are written again.
rule aggregate:
    input: lambda wildcards: f"{RUN}round-{int(wildcards.next) - 1}/scores.jsonl",
    output: THETA,
    params: n=lambda wildcards: int(wildcards.next) - 1,
    retries: 0
    shell: "l402 aggregate {params.n} --force"
