# Everything a newcomer types. `make demo` and `make test` install what is missing first.

CARGO ?= cargo
# Where cargo builds, here or elsewhere.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
# What a target needs of the whole, built with the features that the whole has.
RELEASE = $(CARGO) build --locked --release --workspace
export PATH := $(HOME)/.cargo/bin:$(PATH)
SHELL := /bin/bash
.DELETE_ON_ERROR:

.PHONY: help build release demo test check noise walkthrough torture boot-test bench bench-history bench-rules bench-decode fuzz deps deps-test deps-bench clean

help:
	@echo 'make demo          see it work on this host (DEMO_SECONDS=n ends it by itself)'
	@echo 'make test          all tests'
	@echo 'make check         format, clippy, docs, licences'
	@echo 'make noise         what the rules raise over everyday lines'
	@echo 'make walkthrough   an attack on real servers of this host, and its alerts (root)'
	@echo 'make torture       the long fault tests'
	@echo 'make fuzz          the fuzz targets (FUZZ_SECONDS=n each)'
	@echo 'make boot-test     both services under a real systemd (root)'
	@echo 'make bench         measurements'
	@echo 'make bench-history those of history alone (HISTORY_BENCH=--quick for short ones)'
	@echo 'make bench-rules   those of the rules alone (RULES_BENCH=--quick for short ones)'
	@echo 'make bench-decode  lines a second of each decoder'
	@echo 'make build         both binaries, for development'
	@echo 'make release       both binaries, as shipped'

deps:
	@./packaging/install-deps.sh build

deps-test: deps
	@./packaging/install-deps.sh test

deps-bench: deps
	@./packaging/install-deps.sh bench

build: deps
	$(CARGO) build --locked --workspace --bins

release: deps
	$(RELEASE) --bins

demo: deps
	$(RELEASE) --bin hengwei-agent --bin hengwei-collector --bin hengwei-demo
	@$(TARGET)/release/hengwei-demo

# nextest runs each test in a process of its own and is faster; cargo test does where it is missing.
test: deps-test
	$(CARGO) build --locked --workspace --bins
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --locked --workspace --no-fail-fast; \
	else \
		$(CARGO) test --locked --workspace --no-fail-fast --lib --bins --tests; \
	fi
	$(TARGET)/debug/hengwei-collector rules test --rules rules/library

check: deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps
	./packaging/check-licences.sh

# What the rules raise over lines that are everyday life, each alert with its line; docs/noise.md says why
# those that remain are right. Real logs and the public rules are those below CORPORA.
noise: deps
	$(RELEASE) --bin hengwei-noise
	$(TARGET)/release/hengwei-noise $(NOISE)

# sshd, nginx behind ModSecurity and PostgreSQL attacked on loopback, and the alerts in order; as root.
walkthrough: deps
	@./packaging/install-deps.sh walkthrough
	$(RELEASE) --bin hengwei-agent --bin hengwei-collector --bin hengwei-walkthrough
	$(TARGET)/release/hengwei-walkthrough

# Kills, power cuts, full and failing disks, flipped bits; as root. HENGWEI_SEED=n repeats a run.
torture: deps-test release
	HENGWEI_BIN=$(TARGET)/release HENGWEI_TORTURE=1 $(CARGO) test --locked -p hengwei-tests --test exactly_once --test faults -- --nocapture --test-threads=1

# Rule text, events and patterns, FUZZ_SECONDS each, by cargo-fuzz (`cargo install cargo-fuzz`). A stable
# compiler will do without sanitizers, which safe Rust needs least. What is found belongs in fuzz/seeds/.
FUZZ_SECONDS ?= 300
fuzz: deps
	@set -e; for target in rule_text events patterns; do \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096; \
	done

# Both services under a real systemd; as root.
boot-test: build
	HENGWEI_BIN=$${HENGWEI_BIN:-$(TARGET)/debug} ./tests/boot.sh

# What history costs and how fast it answers, beside zstd, zstdgrep and grep. Takes the real logs below
# CORPORA into account; room for the largest size is needed below TMPDIR (14 GB), or it is skipped.
bench-history: deps-bench
	$(RELEASE) --bin hengwei-history-bench
	$(TARGET)/release/hengwei-history-bench $(HISTORY_BENCH)

# How many events a second the rules take, beside rsigma-eval. Real rules and events are those below CORPORA.
bench-rules: deps-bench
	$(RELEASE) --bin hengwei-rules-bench
	$(TARGET)/release/hengwei-rules-bench $(RULES_BENCH)

# Lines a second of one core, for each decoder over its examples and for a mixed stream.
bench-decode: deps
	$(RELEASE) --bin hengwei-decode-bench
	$(TARGET)/release/hengwei-decode-bench

bench: release bench-history bench-rules bench-decode
	HENGWEI_BIN=$(TARGET)/release $(CARGO) test --locked -p hengwei-tests --test measure -- --ignored --nocapture --test-threads=1
	$(CARGO) test --locked -p hengwei-agent --lib cost_of -- --ignored --nocapture --test-threads=1
	$(CARGO) test --locked -p hengwei-collector --lib commit_speed -- --ignored --nocapture

clean:
	$(CARGO) clean
