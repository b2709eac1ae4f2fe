# One round under GNU make: `make -f recipes/round.mk RUN=folder ROUND=3 -j4`.
#
# A round without pay, signed by keys in files. RUN holds run.toml, roster.jsonl, coordinator.key, one ID.key a worker (`l402
# key`), shards/ and theta-$(ROUND)/, which every round leaves for the next. Every file is complete or absent, so after a
# kill, at any moment, the same command goes on where it stopped. make's own end by TERM ends what it has started, and where
# something of an earlier make still works, `train`, `replay` and `score` say which process it is, and end with 75.
#
# Under `make -j N` the N jobs share the cores: THREADS overrides how many each of them gets.
#
# To begin: `l402 key RUN/coordinator.key` and one `l402 key RUN/ID.key` a worker, which print public keys for the roster, a line
# each: {"key":"02...","type":"roster","v":1,"worker":"ID"}; `l402 shard TEXT ... -o RUN/shards`; `l402 init --config
# config.json --seed 1 -o RUN/theta-0`, whose digest is the recipe's `model.theta_0`; or, where the recipe trains an adapter, the
# model in RUN/base and `cd RUN; l402 init --recipe run.toml --model base --seed 1 -o theta-0`.
#
# The two beacons are files that must not exist before their time: BEACON_A before the roster closed, BEACON_B before all
# commitments are in. Here they are drawn when they are needed; with Lightning they are hashes of blocks.

RUN    ?= .
ROUND  ?= 0
L402   ?= l402
THREADS ?=
# Where the recipe names validators: NAME.key in RUN is the key of each.
VALIDATORS ?=

# make splits names at spaces. Where the folder has one in its name, `make -C FOLDER -f .../round.mk` goes there instead.
$(if $(filter 1,$(words $(RUN))),,$(error RUN=$(RUN): expected a folder without spaces in its name; make -C "$(RUN)" \
    -f $(lastword $(MAKEFILE_LIST)) works where there are some))
$(if $(shell expr "$(ROUND)" : '\([0-9][0-9]*\)$$'),,$(error ROUND=$(ROUND): expected a number))

now    := $(RUN)/round-$(ROUND)
theta  := $(RUN)/theta-$(ROUND)
next   := $(RUN)/theta-$(shell expr $(ROUND) + 1)
before := $(if $(filter-out 0,$(ROUND)),$(RUN)/round-$(shell expr $(ROUND) - 1))
recipe := --recipe $(RUN)/run.toml
# A model's configuration, or an adapter's, which is of the model in RUN/base.
config := $(if $(wildcard $(theta)/adapter_config.json),adapter_config.json,config.json)

# What a round begins with must be there before a beacon is drawn.
$(foreach file,$(RUN)/run.toml $(RUN)/roster.jsonl $(RUN)/coordinator.key $(RUN)/shards/shards.jsonl $(theta)/$(config) \
    $(before:%=%/scores.jsonl),$(if $(wildcard $(file)),,$(error $(file): no such file: round $(ROUND) begins with it)))

# Fields of records and recipes, as l402 reads them. It says itself what is wrong with a file.
ask     = $(shell $(L402) inspect --field $(1) $(2))
WORKERS := $(call ask,worker,$(RUN)/roster.jsonl)
$(if $(WORKERS),,$(error $(RUN)/roster.jsonl: expected workers, found none))
$(foreach file,$(WORKERS:%=$(RUN)/%.key),$(if $(wildcard $(file)),,$(error $(file): no such file: a worker signs with it)))
inner   := $(call ask,inner.state,$(RUN)/run.toml)
$(if $(inner),,$(error $(RUN)/run.toml: expected a recipe))
# The inner optimiser's moments, where the recipe carries them.
moments := $(if $(filter carry,$(inner)),moments)

# The cores by the jobs that there can be at a time; without -j a job has all of them.
jobs    = $(filter-out -j1,$(filter -j%,$(MAKEFLAGS)))
share   = awk -v cores=$$(getconf _NPROCESSORS_ONLN) -v jobs=$(or $(jobs:-j%=%),1000) -v workers=$(words $(WORKERS)) \
    'BEGIN { n = int(cores / (jobs < workers ? jobs : workers)); print n < 1 ? 1 : n }'
threads = $(if $(THREADS),--threads $(THREADS),$(if $(jobs),--threads $$($(share))))
pinned  = --assignments $(now)/assignments.jsonl --coordinator $$($(L402) key $(RUN)/coordinator.key)
# The states of a worker's last update that counted: links that `states-linked` makes, absent before.
state   = $(addprefix --state ,$(wildcard $(RUN)/states/$(1)))
# The update that left them: a replay goes on from no other.
previous = $(addprefix --previous ,$(wildcard $(RUN)/states/$(1).update))
# The outer momentum, where the recipe has one: what the last round left, and what this one leaves.
carries := $(filter-out 0 0.0,$(call ask,outer.momentum,$(RUN)/run.toml))
outer   = $(if $(carries),$(call state,outer.momentum) --state-out $(now)/outer.momentum)
# What workers carry on by their scores.
standing = $(if $(before),--previous $(before)/scores.jsonl --earlier $(RUN))
random  = head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
# A file that the shell writes appears whole or not at all. What a shell waits for does not end with it: so commands take its
# place (exec), and make ends them with itself.
whole   = > $@.part && mv $@.part $@
# A beacon that is there is never another: of two makes, the second keeps the first one's.
once    = > $@.$$$$.part && { ln $@.$$$$.part $@ 2> /dev/null || [ -e $@ ]; } && rm $@.$$$$.part

.DELETE_ON_ERROR:
.PHONY: round
# Updates and states are kept: they are what others verify.
.SECONDARY:

round: $(next)/$(config) $(now)/states-linked

$(now):
	mkdir -p $@ $(RUN)/states

# What whoever audits the folder pins.
$(RUN)/coordinator.pub: | $(RUN)/coordinator.key
	$(L402) key $(RUN)/coordinator.key $(whole)

$(now)/beacon-a: | $(now)
	$(random) $(once)

$(now)/assignments.jsonl: $(now)/beacon-a | $(RUN)/coordinator.pub $(RUN)/roster.jsonl
	exec $(L402) assign $(recipe) --round $(ROUND) --shards $(RUN)/shards --workers $(RUN)/roster.jsonl \
	    --beacon $$(cat $<) --key $(RUN)/coordinator.key -o $@ --force

$(now)/%.update: $(now)/assignments.jsonl
	exec $(L402) train $(recipe) --model $(theta) --round $(ROUND) --worker $* $(pinned) $(threads) \
	    --shard $(RUN)/shards/$$($(L402) inspect --field shard --where worker=$* $<) \
	    $(if $(moments),$(call state,$*.moments) --state-out $(now)/$*.moments) -o $(now)/$*.delta --force
	exec $(L402) compress $(recipe) $(call state,$*.feedback) --state-out $(now)/$*.feedback $(now)/$*.delta -o $@ --force
	rm $(now)/$*.delta

$(now)/%.commitment: $(now)/%.update
	exec $(L402) commit $< --round $(ROUND) --worker $* --key $(RUN)/$*.key -o $@ --force

$(now)/beacon-b: $(WORKERS:%=$(now)/%.commitment)
	$(random) $(once)

$(now)/%.reveal: $(now)/%.update $(now)/beacon-b
	exec $(L402) commit $< --round $(ROUND) --worker $* --key $(RUN)/$*.key --reveal -o $@ --force

# A mismatch (1), and an update that cannot be read, are findings like others: make ignores the error. Anything else makes no
# finding, and ends the round.
$(now)/%.finding: $(now)/%.update $(now)/beacon-b
	rm -f $@
	-exec $(L402) replay $(recipe) --model $(theta) --worker $* $(pinned) $(threads) --shards $(RUN)/shards --update $< \
	    $(call state,$*.moments) $(call state,$*.feedback) $(call previous,$*) -o $@
	[ -e $@ ]

$(now)/commitments.jsonl: $(WORKERS:%=$(now)/%.commitment) $(WORKERS:%=$(now)/%.reveal)
	awk 1 $^ $(whole)

$(now)/findings.jsonl: $(WORKERS:%=$(now)/%.finding)
	awk 1 $^ $(whole)

score = $(L402) score $(recipe) --model $(theta) --val $(RUN)/shards/val-00000.safetensors --beacon $$(cat $(now)/beacon-b) \
	    --findings $(now)/findings.jsonl --commitments $(now)/commitments.jsonl $(pinned) --shards $(RUN)/shards \
	    $(standing) $(WORKERS:%=$(now)/%.update)

ifeq ($(VALIDATORS),)
$(now)/scores.jsonl: $(now)/findings.jsonl $(now)/commitments.jsonl
	exec $(score) -o $@ --force
else
# Each of them scores and signs, and anybody merges.
$(now)/%.scored: $(now)/findings.jsonl $(now)/commitments.jsonl | $(RUN)/%.key
	exec $(score) --key $(RUN)/$*.key -o $@ --force

$(now)/scores.jsonl: $(VALIDATORS:%=$(now)/%.scored)
	exec $(L402) score $(recipe) --consensus $^ -o $@ --force
endif

$(next)/$(config): $(now)/scores.jsonl
	exec $(L402) aggregate $(recipe) --model $(theta) --scores $< $(WORKERS:%=$(now)/%.update) $(outer) -o $(next) --force

# Whoever's update counted carries its state on.
$(now)/states-linked: $(next)/$(config)
	for who in $$($(L402) inspect --field worker --where type=score --where counts=true $(now)/scores.jsonl); do \
	    for kind in $(moments) feedback update; do ln -sf ../round-$(ROUND)/$$who.$$kind $(RUN)/states/$$who.$$kind; done; \
	done
	if [ -e $(now)/outer.momentum ]; then ln -sf ../round-$(ROUND)/outer.momentum $(RUN)/states/outer.momentum; fi
	touch $@
