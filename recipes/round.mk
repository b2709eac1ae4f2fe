# One round under GNU make: `make -f recipes/round.mk RUN=folder ROUND=3 -j4`.
#
# A round without pay, signed by keys in files. RUN is a run folder (docs/run.md) as `l402 new` begins one; what its parties keep to
# themselves, their keys here, is in RUN-private beside it. Every file is complete or absent, so after a kill, at any moment, the same
# command goes on where it stopped. make's own end by TERM ends what it has started, and where something of an earlier make still
# works, `train`, `replay` and `score` say which process it is, and end with 75.
#
# Under `make -j N` the N jobs share the cores: THREADS overrides how many each of them gets. Where the recipe names validators,
# VALIDATORS names whose keys sign the scores.
#
# The two beacons must not exist before their time: the first before the roster closed, the second before all commitments are in.
# Here they are drawn when they are needed; BEACON_A and BEACON_B give others, as hashes of blocks.

RUN    ?= .
ROUND  ?= 0
L402   ?= l402
THREADS ?=
VALIDATORS ?=
BEACON_A ?= random
BEACON_B ?= random

# make splits names at spaces. Where the folder has one in its name, `make -C FOLDER -f .../round.mk` goes there instead.
$(if $(filter 1,$(words $(RUN))),,$(error RUN=$(RUN): expected a folder without spaces in its name; make -C "$(RUN)" \
    -f $(lastword $(MAKEFILE_LIST)) works where there are some))
$(if $(shell expr "$(ROUND)" : '\([0-9][0-9]*\)$$'),,$(error ROUND=$(ROUND): expected a number))

l402   := $(L402) --run $(RUN)
now    := $(RUN)/round-$(ROUND)
next   := $(RUN)/theta-$(shell expr $(ROUND) + 1)
# A model's configuration, or an adapter's.
config := $(if $(wildcard $(RUN)/base),adapter_config.json,config.json)

# l402 says itself what is wrong with a file.
WORKERS := $(shell $(L402) inspect --field worker $(RUN)/roster.jsonl)
$(if $(WORKERS),,$(error $(RUN)/roster.jsonl: expected workers, found none))

# The cores by the jobs that there can be at a time; without -j a job has all of them.
jobs    = $(filter-out -j1,$(filter -j%,$(MAKEFLAGS)))
share   = awk -v cores=$$(getconf _NPROCESSORS_ONLN) -v jobs=$(or $(jobs:-j%=%),1000) -v workers=$(words $(WORKERS)) \
    'BEGIN { n = int(cores / (jobs < workers ? jobs : workers)); print n < 1 ? 1 : n }'
threads = $(if $(THREADS),--threads $(THREADS),$(if $(jobs),--threads $$($(share))))

.PHONY: round
# Updates and states are kept: they are what others verify.
.SECONDARY:

round: $(next)/$(config)

$(now)/assignments.jsonl: | $(RUN)/roster.jsonl
	exec $(l402) assign $(ROUND) --beacon $(BEACON_A) --force

$(now)/%.update: $(now)/assignments.jsonl
	exec $(l402) train $(ROUND) $* $(threads) --force

$(now)/%.commitment: $(now)/%.update
	exec $(l402) commit $(ROUND) $* --force

$(now)/beacon-b: $(WORKERS:%=$(now)/%.commitment)
	exec $(L402) beacon $(BEACON_B) -o $@

$(now)/%.reveal: $(now)/%.update $(now)/beacon-b
	exec $(l402) commit $(ROUND) $* --reveal --force

# A mismatch (1), and an update that cannot be read, are findings like others: make ignores the error. Anything else makes no
# finding, and ends the round.
$(now)/%.finding: $(now)/%.update $(now)/beacon-b
	rm -f $@
	-exec $(l402) replay $(ROUND) $* $(threads)
	[ -e $@ ]

parts = $(WORKERS:%=$(now)/%.finding) $(WORKERS:%=$(now)/%.reveal)

ifeq ($(VALIDATORS),)
$(now)/scores.jsonl: $(parts)
	exec $(l402) score $(ROUND) --force
else
# Each of them scores and signs, and anybody merges.
$(now)/%.scored: $(parts)
	exec $(l402) score $(ROUND) $* --force

$(now)/scores.jsonl: $(VALIDATORS:%=$(now)/%.scored)
	exec $(l402) score $(ROUND) --consensus --force
endif

$(next)/$(config): $(now)/scores.jsonl
	exec $(l402) aggregate $(ROUND) --force
