# What the verbs of a round read and leave, by name, for round.smk on an object store: a job has there what its rule names, and no more.
# On a common file system l402 finds everything by the layout of docs/run.md itself, and nothing of this is asked.

import functools
import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from snakemake.io import get_flag_value

STORE = workflow.storage_settings.default_storage_provider is not None
# An output that a rule takes as it is, if it is there. Of a store's files none is there before the job.
kept = (lambda path: path) if STORE else update
# Files that travel with a model's weights.
TOKENIZER = """added_tokens.json chat_template.jinja chat_template.json generation_config.json merges.txt special_tokens_map.json
    spiece.model tokenizer.json tokenizer.model tokenizer_config.json vocab.json vocab.txt""".split()


# ---- What is there before any job ------------------------------------------------------------------------------------


def stored(path):
    """The object that a file is in the store."""
    return get_flag_value(workflow.modifier.path_modifier.modify(path), "storage_object")


@functools.cache
def there(path):
    return stored(path).exists() if STORE else os.path.exists(path)


@functools.cache
def said(path, *command):
    """What a command prints of a file."""
    if not STORE:
        return subprocess.run([*command, path], stdout=subprocess.PIPE, text=True, check=True).stdout
    # A copy of its own: those of the jobs come and go.
    with tempfile.TemporaryDirectory() as folder:
        found = stored(path)
        found.set_local_path(Path(folder) / os.path.basename(path))
        found.retrieve_object()
        return subprocess.run([*command, found.local_path()], stdout=subprocess.PIPE, text=True, check=True).stdout


def fields(path, name, *where):
    """The values of a field in a file of records; l402 says itself what is wrong with it."""
    return said(path, *shlex.split(L402), "inspect", "--field", name, *where).split()


def undrawn(*names):
    """The rounds whose draw is not there yet. In a store nothing of an earlier draw lies beside the job, which would draw again."""
    return "|".join(str(n) for n in ROUNDS if not (STORE and all(there(f"{RUN}round-{n}/{name}") for name in names))) or "none"


# ---- The layout ------------------------------------------------------------------------------------------------------

STATES, MOMENTUM, MEMORY = [], [], []
if STORE:
    paid = [f"{RUN}round-{n}/offers.jsonl" for n in ROUNDS if there(f"{RUN}round-{n}/offers.jsonl")]
    if paid:
        raise WorkflowError(f"{paid[0]}: expected a round without pay")
    recipe = json.loads(said(RUN + "run.toml", *shlex.split(L402), "recipe", "show", "--json"))["recipe"]
    STATES = ["moments"] * (recipe["inner"]["state"] == "carry") + ["feedback"] * (recipe["codec"]["feedback"] > 0)
    MOMENTUM = ["outer.momentum"] * (recipe["outer"]["momentum"] > 0)
    MEMORY = ["update"] * (recipe["score"]["memory"] > 0)


def of_round(n, *names):
    return [f"{RUN}round-{n}/{name}" for name in names]


def beginning(n, who):
    files = [RUN + name for name in ["run.toml", "coordinator.pub", "judge.pub"] if there(RUN + name)]
    return files + (of_round(0, "assignments.jsonl") if n else [])


def shards(n, who):
    return [f"{RUN}shards/{name}" for name in ["shards.jsonl", *fields(RUN + "shards/shards.jsonl", "file")]]


@functools.cache
def found(folder):
    """The files of a model that is there."""
    index = folder + "model.safetensors.index.json"
    parts = json.loads(said(index, "cat"))["weight_map"].values() if there(index) else []
    names = [kind + name for kind in ["", "adapter_"] for name in ["config.json", "model.safetensors"]]
    return [folder + name for name in [*names, os.path.basename(index), *TOKENIZER, *sorted(set(parts))] if there(folder + name)]


def made():
    """The names of what `aggregate` makes."""
    first = map(os.path.basename, found(f"{RUN}theta-{ROUNDS[0]}/"))
    return [ADAPTER + "config.json", ADAPTER + "model.safetensors", *[name for name in first if name in TOKENIZER]]


def model(n, who):
    first = n == ROUNDS[0]
    return found(RUN + "base/") + (found(f"{RUN}theta-{n}/") if first else [f"{RUN}theta-{n}/{name}" for name in made()])


def before(n, who):
    """What the worker may go on from: its last update that counts. Of rounds that are still to be scored it may be any."""
    files = []
    for m in reversed(range(n if STATES else 0)):
        scores = of_round(m, "scores.jsonl")
        counts = m in ROUNDS or who in fields(*scores, "worker", "--where", "counts=true")
        files += scores + (of_round(m, *[f"{who}.{kind}" for kind in ["update", *STATES]]) if counts else [])
        if counts and m not in ROUNDS:
            break
    return files


def sent(n, who):
    return of_round(n, *[f"{who}.{kind}" for who in WORKERS for kind in ["update", "commitment", "reveal", "finding"]])


def remembered(n, who):
    files = [(m, of_round(m, f"{who}.{kind}")) for m in range(n) for who in WORKERS for kind in MEMORY]
    return of_round(n - 1, *["scores.jsonl"] * (n > 0)) + [file for m, [file] in files if m in ROUNDS or there(file)]


READS = {
    "assign": [beginning, shards, model],
    "train": [beginning, shards, model, before],
    "commit": [beginning],
    "replay": [beginning, shards, model, before, lambda n, who: of_round(n, "assignments.jsonl")],
    "score": [beginning, shards, model, sent, remembered, lambda n, who: of_round(n, "assignments.jsonl", "beacon-b")],
    "aggregate": [
        beginning,
        model,
        lambda n, who: of_round(n, *[f"{who}.update" for who in WORKERS]),
        lambda n, who: of_round(n - 1, *MOMENTUM) if n else [],
    ],
}


def reads(verb, n=None):
    """What a verb reads beside what its rule hangs on. For its date alone nothing is made again."""

    def named(wildcards):
        round, who = int(getattr(wildcards, "n", n)), getattr(wildcards, "who", None)
        files = [path for part in READS[verb] for path in part(round, who)] if STORE else []
        return [ancient(path) for path in dict.fromkeys(files)]

    return named


def leaves(verb, n=None):
    """What a verb leaves beside what others hang on."""
    if not STORE:
        return []
    if verb == "aggregate":
        return [f"{RUN}theta-{n + 1}/{name}" for name in made()[1:]] + of_round(n, *MOMENTUM)
    names = {
        "assign": ["beacon-a"],
        "train": ["{who}." + kind for kind in dict.fromkeys(["leaves", "feedback", *STATES])],
        "score": ["commitments.jsonl", "findings.jsonl"],
    }
    return [NOW + name for name in names[verb]]


def left():
    """All that the rounds leave: of a job that was killed as it stored its files, any may be missing."""
    of_each = [name for verb in ["assign", "train", "score"] for name in leaves(verb)]
    return expand(of_each, n=ROUNDS, who=WORKERS) + [name for n in ROUNDS for name in leaves("aggregate", n)]
