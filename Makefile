# The ways in: `make help` lists them.

PREFIX     ?= /usr/local
CARGO      ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
TRIPLE     := $(shell rustc --print host-tuple)
SAMPAN     := $(TARGET_DIR)/$(TRIPLE)/release/sampan
TESTED     := $(abspath $(TARGET_DIR))/$(TRIPLE)/debug/sampan
# For those who are not root themselves.
SUDO       := $(if $(filter-out 0,$(shell id -u)),sudo --preserve-env)
# Where base images are kept, named here so that sudo does not change it.
export SAMPAN_IMAGES ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sampan/images

.PHONY: help build install setup images demo test test-vm test-oci fuzz lint bench man clean

help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## Build the program
	$(CARGO) build --release --locked --package sampan
	@echo $(SAMPAN)

install: build ## Install it below PREFIX, by default /usr/local
	install -D --mode=755 $(SAMPAN) $(DESTDIR)$(PREFIX)/bin/sampan

setup: ## Install what images and tests need and this machine lacks
	$(CARGO) xtask setup

images: build setup ## Make the base images, or just NAMES="busybox redis", and load them
	tars=$$($(CARGO) xtask images $(NAMES)) && \
	for tar in $$tars; do $(SUDO) $(SAMPAN) load --input "$$tar" || exit; done

demo: build setup ## Build an application, run it, and watch it count its visitors
	SAMPAN=$(SAMPAN) demo/run.sh

test: setup ## Run all tests, README's commands and the tutorial; as root, for they start containers
	$(CARGO) xtask images busybox python:2.7-slim redis
	$(CARGO) test --workspace $(if $(SUDO),--config 'target."cfg(unix)".runner = "$(SUDO)"')
	$(CARGO) xtask readme $(TESTED)
	$(SUDO) env SAMPAN=$(TESTED) SAMPAN_ROOT=$(abspath $(TARGET_DIR))/tutorial PORT=14000 \
		demo/run.sh

test-vm: setup ## Run tests in virtual machines: TESTS of all on cgroup v2, boots, CUTS power cuts (10), bad disks
	$(CARGO) xtask images busybox machine:trixie
	$(CARGO) test --package sampan --test e2e --no-run
	$(if $(TESTS),SAMPAN_E2E="$(TESTS)") SAMPAN_CUTS=$(or $(CUTS),10) $(CARGO) test --package sampan --test vm \
		$(if $(SUDO),--config 'target."cfg(unix)".runner = "$(SUDO)"') -- --nocapture

test-oci: ## Run the suites of OCI runtimes, SUITES of all, from Debian's sources, with runc and with sampan
	$(SUDO) env HOME=$(HOME) bench/oci

fuzz: ## Search for bytes of strangers that break one of the parsers, for SECONDS each
	SAMPAN_FUZZ_SECONDS=$(or $(SECONDS),300) $(CARGO) test --workspace --lib -- nobody_would_write

lint: ## Check format, lints, and arrows between crates
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path examples/friendlyhello/rust/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	$(CARGO) xtask arrows
	$(CARGO) xtask lints
	for script in .ci/run demo/run.sh $(filter-out %.go,$(wildcard bench/*)); do sh -n $$script || exit; done

bench: build ## Measure what people wait for
	bench/run

man: build ## Write the manual pages to target/man
	$(SAMPAN) system man $(TARGET_DIR)/man

clean: ## Remove what was built; base images stay
	$(CARGO) clean
	$(CARGO) clean --manifest-path examples/friendlyhello/rust/Cargo.toml --target-dir examples/friendlyhello/rust/target
