# Two commands do all set-up themselves: `make demo` shows Pontoon at work, `make test` runs every test.
# Both need root (network namespaces) and a Debian or Ubuntu machine.

.PHONY: help demo test bench fix build deny setup

help:
	@echo "make demo    a lab of three hosts, the walkthrough, a ping across hosts"
	@echo "make test    formatting, lints and every test; writes nothing to the tree"
	@echo "make bench   Pontoon and Docker side by side in one lab, as ratios"
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

bench: build
	scripts/bench target/release/pontoon

fix:
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

deny:
	cargo deny check bans licenses sources
