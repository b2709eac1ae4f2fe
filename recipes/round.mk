# One round under GNU make: `make -f recipes/round.mk RUN=folder ROUND=3 -j4`.
#
# A round without pay, signed by keys in files. RUN holds run.toml, roster.jsonl, coordinator.key, one ID.key a worker (`l402
# key`), shards/ and theta-$(ROUND)/, which every round leaves for the next. Every file is complete or absent, so after a
# kill, at any moment, the same command goes on where it stopped.
#
# To begin: `l402 key RUN/coordinator.key` and one `l402 key RUN/ID.key` a worker, which print public keys for the roster, a line
# each: {"key":"02...","type":"roster","v":1,"worker":"ID"}; `l402 shard TEXT ... -o RUN/shards`; `l402 init --config
# config.json --seed 1 -o RUN/theta-0`, whose digest is the recipe's `model.theta_0`.
#
# The two beacons are files that must not exist before their time: BEACON_A before the roster closed, BEACON_B before all
# commitments are in. Here they are drawn when they are needed; with Lightning they are hashes of blocks.

RUN    ?= .
ROUND  ?= 0
L402   ?= l402
# Where the recipe names validators: NAME.key in RUN is the key of each.
VALIDATORS ?=
WORKERS := $(shell [ ! -e $(RUN)/roster.jsonl ] || sed 's/.*"worker":"\([^"]*\)".*/\1/' $(RUN)/roster.jsonl)
$(if $(WORKERS),,$(error $(RUN)/roster.jsonl: expected workers, found none))

now    := $(RUN)/round-$(ROUND)
theta  := $(RUN)/theta-$(ROUND)
next   := $(RUN)/theta-$(shell expr $(ROUND) + 1)
recipe := --recipe $(RUN)/run.toml
pinned  = --assignments $(now)/assignments.jsonl --coordinator $$($(L402) key $(RUN)/coordinator.key)
# The states of a worker's last update that counted: links that `states-linked` makes, absent before.
state   = $(addprefix --state ,$(wildcard $(RUN)/states/$(1)))
# The update that left them: a replay goes on from no other.
previous = $(addprefix --previous ,$(wildcard $(RUN)/states/$(1).update))
# The outer momentum, where the recipe has one: what the last round left, and what this one leaves.
carries = $(shell sed '/^ *\#/d' $(RUN)/run.toml | grep -o 'momentum *= *[0-9.]*' | grep '[1-9]')
outer   = $(if $(carries),$(call state,outer.momentum) --state-out $(now)/outer.momentum)
# What workers carry on by their scores.
standing = $(if $(filter-out 0,$(ROUND)),--previous $(RUN)/round-$(shell expr $(ROUND) - 1)/scores.jsonl --earlier $(RUN))
random  = head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
# A file that the shell writes appears whole or not at all.
whole   = > $@.part && mv $@.part $@

.DELETE_ON_ERROR:
.PHONY: round
# Updates and states are kept: they are what others verify.
.SECONDARY:

round: $(next)/config.json $(now)/states-linked

$(now):
	mkdir -p $@ $(RUN)/states

# What whoever audits the folder pins.
$(RUN)/coordinator.pub: | $(RUN)/coordinator.key
	$(L402) key $(RUN)/coordinator.key $(whole)

$(now)/beacon-a: | $(now)
	$(random) $(whole)

$(now)/assignments.jsonl: $(now)/beacon-a | $(RUN)/coordinator.pub $(RUN)/roster.jsonl
	$(L402) assign $(recipe) --round $(ROUND) --shards $(RUN)/shards --workers $(RUN)/roster.jsonl \
	    --beacon $$(cat $<) --key $(RUN)/coordinator.key -o $@ --force

$(now)/%.update: $(now)/assignments.jsonl
	$(L402) train $(recipe) --model $(theta) --round $(ROUND) --worker $* $(pinned) \
	    --shard $(RUN)/shards/$$(grep -F '"worker":"$*"' $< | sed 's/.*"shard":"\([^"]*\)".*/\1/') \
	    $(call state,$*.moments) --state-out $(now)/$*.moments -o $(now)/$*.delta --force
	$(L402) compress $(recipe) $(call state,$*.feedback) --state-out $(now)/$*.feedback $(now)/$*.delta -o $@ --force
	rm $(now)/$*.delta

$(now)/%.commitment: $(now)/%.update
	$(L402) commit $< --round $(ROUND) --worker $* --key $(RUN)/$*.key -o $@ --force

$(now)/beacon-b: $(WORKERS:%=$(now)/%.commitment)
	$(random) $(whole)

$(now)/%.reveal: $(now)/%.update $(now)/beacon-b
	$(L402) commit $< --round $(ROUND) --worker $* --key $(RUN)/$*.key --reveal -o $@ --force

# A mismatch (1), and an update that cannot be read, are findings like others; anything else ends the round.
$(now)/%.finding: $(now)/%.update $(now)/beacon-b
	$(L402) replay $(recipe) --model $(theta) --worker $* $(pinned) --shards $(RUN)/shards --update $< \
	    $(call state,$*.moments) $(call state,$*.feedback) $(call previous,$*) -o $@ --force || [ $$? -eq 1 ]

$(now)/commitments.jsonl: $(WORKERS:%=$(now)/%.commitment) $(WORKERS:%=$(now)/%.reveal)
	awk 1 $^ $(whole)

$(now)/findings.jsonl: $(WORKERS:%=$(now)/%.finding)
	awk 1 $^ $(whole)

score = $(L402) score $(recipe) --model $(theta) --val $(RUN)/shards/val-00000.safetensors --beacon $$(cat $(now)/beacon-b) \
	    --findings $(now)/findings.jsonl --commitments $(now)/commitments.jsonl $(pinned) --shards $(RUN)/shards \
	    $(standing) $(WORKERS:%=$(now)/%.update)

ifeq ($(VALIDATORS),)
$(now)/scores.jsonl: $(now)/findings.jsonl $(now)/commitments.jsonl
	$(score) -o $@ --force
else
# Each of them scores and signs, and anybody merges.
$(now)/%.scored: $(now)/findings.jsonl $(now)/commitments.jsonl | $(RUN)/%.key
	$(score) --key $(RUN)/$*.key -o $@ --force

$(now)/scores.jsonl: $(VALIDATORS:%=$(now)/%.scored)
	$(L402) score $(recipe) --consensus $^ -o $@ --force
endif

$(next)/config.json: $(now)/scores.jsonl
	$(L402) aggregate $(recipe) --model $(theta) --scores $< $(WORKERS:%=$(now)/%.update) $(outer) -o $(next) --force

# Whoever's update counted carries its state on.
$(now)/states-linked: $(next)/config.json
	for who in $(WORKERS); do \
	    if grep -F "\"worker\":\"$$who\"" $(now)/scores.jsonl | grep -q '"counts":true'; then \
	        for kind in moments feedback update; do ln -sf ../round-$(ROUND)/$$who.$$kind $(RUN)/states/$$who.$$kind; done; \
	    fi; \
	done
	if [ -e $(now)/outer.momentum ]; then ln -sf ../round-$(ROUND)/outer.momentum $(RUN)/states/outer.momentum; fi
	touch $@
