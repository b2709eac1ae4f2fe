# One round under GNU make: `make -f recipes/round.mk RUN=folder ROUND=3 -j4`.
#
# A round without pay, signed by keys in files: RUN is a run folder as `l402 new` begins one (docs/run.md). Every file is complete or
# absent, so after a kill the same command goes on where it stopped. make's own end by TERM ends what it has started; where something of
# an earlier make still works, `train`, `replay` and `score` say which process it is, and end with 75.
#
# DEVICE is where to train, replay and score (docs/gpu.md; else on the processor), THREADS how many threads each job gets (else the N
# jobs of -jN share the cores), VALIDATORS whose keys sign the scores, and the first's the findings, where the recipe names some. The two
# beacons must not exist before their time, the roster's closing and the last commitment: here they are drawn when they are needed.
# BEACON_A and BEACON_B give others, as hashes of blocks.
RUN    ?= .
ROUND  ?= 0
L402   ?= l402
BEACON_A ?= random
BEACON_B ?= random

# make splits names at spaces.
$(if $(filter 1,$(words $(RUN))),,$(error RUN=$(RUN): expected a folder without spaces in its name; make -C "$(RUN)" \
    -f $(lastword $(MAKEFILE_LIST)) works where there are some))
$(if $(shell expr "$(ROUND)" : '\([0-9][0-9]*\)$$'),,$(error ROUND=$(ROUND): expected a number))

l402   := exec $(L402) --run $(RUN)
now    := $(RUN)/round-$(ROUND)
# A model's configuration, or an adapter's.
next   := $(RUN)/theta-$(shell expr $(ROUND) + 1)/$(if $(wildcard $(RUN)/base),adapter_config.json,config.json)
# l402 says itself what is wrong with a file.
WORKERS := $(shell $(L402) inspect --field worker $(RUN)/roster.jsonl)
$(if $(WORKERS),,$(error $(RUN)/roster.jsonl: expected workers, found none))

# The cores by the jobs that there can be at a time; without -j a job has all of them.
jobs    = $(filter-out -j1,$(filter -j%,$(MAKEFLAGS)))
share   = awk -v cores=$$(getconf _NPROCESSORS_ONLN) -v jobs=$(or $(jobs:-j%=%),1000) -v workers=$(words $(WORKERS)) \
    'BEGIN { n = int(cores / (jobs < workers ? jobs : workers)); print n < 1 ? 1 : n }'
threads = $(if $(THREADS),--threads $(THREADS),$(if $(jobs),--threads $$($(share))))

device  = $(if $(DEVICE),--device $(DEVICE))

.PHONY: round
# Updates and states are kept: they are what others verify.
.SECONDARY:

round: $(next)

$(now)/assignments.jsonl: | $(RUN)/roster.jsonl
	$(l402) assign $(ROUND) --beacon $(BEACON_A) --force

$(now)/%.update: $(now)/assignments.jsonl
	$(l402) train $(ROUND) $* $(device) $(threads) --force

$(now)/%.commitment: $(now)/%.update
	$(l402) commit $(ROUND) $* --force

$(now)/beacon-b: $(WORKERS:%=$(now)/%.commitment)
	$(l402) beacon $(BEACON_B) -o $@

$(now)/%.reveal: $(now)/%.update $(now)/beacon-b
	$(l402) commit $(ROUND) $* --reveal --force

# A mismatch (1), and an update that cannot be read, are findings as others are: make ignores the error. Anything else makes none, and
# ends the round.
$(now)/%.finding: $(now)/%.update $(now)/beacon-b
	rm -f $@
	-$(l402) replay $(ROUND) $* $(firstword $(VALIDATORS)) $(device) $(threads)
	[ -e $@ ]

# Validators score and sign, each for itself, and anybody merges.
parts = $(WORKERS:%=$(now)/%.finding) $(WORKERS:%=$(now)/%.reveal)
$(now)/%.scored: $(parts)
	$(l402) score $(ROUND) $* $(device) --force

$(now)/scores.jsonl: $(or $(VALIDATORS:%=$(now)/%.scored),$(parts))
	$(l402) score $(ROUND) $(if $(VALIDATORS),--consensus,$(device)) --force

$(next): $(now)/scores.jsonl
	$(l402) aggregate $(ROUND) --force
