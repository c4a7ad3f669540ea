# Two commands do all set-up themselves: `make demo` shows Pontoon at work, `make test` runs every test.
# Both need root (network namespaces) and a Debian or Ubuntu machine.

.PHONY: help demo test vm vm-bench bench fuzz fix build deny setup

help:
	@echo "make demo    a lab of three hosts, the walkthrough, a ping across hosts"
	@echo "make test    formatting, lints and every test; writes nothing to the tree"
	@echo "make vm      the tests of what this kernel may lack, in a virtual machine that has it (Debian, some minutes)"
	@echo "make vm-bench  there, services against Docker's with its IPVS, as ratios (a quarter of an hour; wants a quiet machine)"
	@echo "make bench   Pontoon, Docker and podman side by side in one lab, as ratios; services by the thousand (half an hour)"
	@echo "make fuzz    every fuzz target for SECONDS=20 (needs cargo-fuzz and a nightly toolchain)"
	@echo "make fix     formats and applies what clippy can mend"
	@echo "make deny    licences and duplicate dependencies (needs cargo-deny)"

build: setup
	cargo build --release -p pontoon

setup:
	@scripts/setup

demo: build
	scripts/demo target/release/pontoon

test:
	@scripts/setup test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo nextest run --workspace --no-fail-fast

vm: build
	@scripts/setup vm
	scripts/test-vm

vm-bench: build
	@scripts/setup vm
	cargo build --quiet --release -p bench
	# Those among a hundred services are left out: a task of Docker's takes many seconds to start there.
	MEMORY=6G SECONDS_MAX=3600 scripts/vm target/release/bench target/release/pontoon --only 'address, against IPVS' --only 'mesh, against IPVS'

bench: build
	@scripts/setup bench
	scripts/bench target/release/pontoon
	cargo bench --quiet -p netstate --bench services
	cargo bench --quiet -p drivers --bench mesh

# Findings of a run go to target/fuzz, so that the committed corpus stays as small as it is. Without a sanitizer: our own
# code is safe but for a few system calls, and panics and overflows are found all the same.
SECONDS ?= 20
fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked"; exit 1; }
	@cargo +nightly --version >/dev/null 2>&1 || { echo "a nightly toolchain is missing: rustup toolchain install nightly"; exit 1; }
	cargo +nightly fuzz build --sanitizer none
	@for target in $$(cargo +nightly fuzz list); do \
		echo "fuzzing $$target for $(SECONDS) seconds"; \
		mkdir -p target/fuzz/$$target; \
		cargo +nightly fuzz run --sanitizer none $$target target/fuzz/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=4096 -verbosity=0 || exit 1; \
	done

fix:
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

deny:
	cargo deny check bans licenses sources
