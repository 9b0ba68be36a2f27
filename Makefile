# Set-up, run and gate. `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

SCENARIO := quickstart
ARGS :=

UV_VERSION := 0.13.9
# ryu does not build with what comes after
PYTHONS := >=3.11,<3.14
# program:package, Debian's names
PROGRAMS := ovs-vswitchd:openvswitch-switch mnexec:mininet ip:iproute2 ethtool:ethtool ifconfig:net-tools tcpdump:tcpdump
BENCH_PROGRAMS := iperf3:iperf3

# users other than root may not have the daemons on their path
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
export UV_PYTHON_INSTALL_DIR := $(CURDIR)/.uv/python
export UV_NO_PROGRESS := 1
PYTHON := .venv/bin/python
UV := .uv/bin/uv
UV_INSTALLED := .uv/installed-$(UV_VERSION)
LOCKED := $(shell cat requirements.lock build-constraints.txt pyproject.toml | sha256sum | cut -c1-16)
INSTALLED := .venv/installed-$(LOCKED)
COMPILE := pip compile -q --universal --all-extras --generate-hashes --no-annotate \
	--custom-compile-command 'make lock' --build-constraints build-constraints.txt pyproject.toml

# a worker for every core; whoever is done takes over what others have left
SPREAD := -n auto --dist worksteal

# what root leaves in the checkout belongs to the checkout's owner
OWN := trap 'test "$$EUID" != 0 || test -O . || chown -hR --reference=. .' EXIT

.NOTPARALLEL:
.PHONY: help setup run test fast explore bench lint check lock programs bench-programs

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16
	echo '  SCENARIO=FILE  ARGS="--engine simulate --set workload.agents=20" go with `make run`'

setup: programs $(INSTALLED) ## Debian packages (as root) and .venv; done by the others too

run: setup ## run SCENARIO with ARGS (as root: it builds networks)
	@$(OWN)
	$(PYTHON) -m scenarios.run $(SCENARIO) $(ARGS)

test: setup lint ## lint, then all tests; without root, those that need none
	@$(OWN)
	$(PYTHON) -m pytest $(SPREAD) -m "not network and not benchmark"
	$(PYTHON) -m pytest -m network

fast: $(INSTALLED) ## the tests that need neither root nor half a minute; fewer examples each
	@$(OWN)
	$(PYTHON) -m pytest $(SPREAD) --hypothesis-profile=fast -m "not network and not benchmark and not slow"

explore: $(INSTALLED) ## properties on new examples, ten times as many; prints how to try one again
	@$(OWN)
	$(PYTHON) -m pytest $(SPREAD) --hypothesis-profile=explore --timeout 0 -m "hypothesis and not network" $(ARGS)

bench: bench-programs setup ## measure against references; prints ratios (as root)
	@$(OWN)
	$(PYTHON) -m pytest -m benchmark -s

lint: $(INSTALLED) ## ruff, mypy, and whether the lock is fresh
	@$(OWN)
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	cp requirements.lock .uv/fresh.lock
	if ! $(UV) $(COMPILE) -o .uv/fresh.lock; then
		echo 'lock not checked: the package index gave no answer'
	elif ! diff <(grep == requirements.lock) <(grep == .uv/fresh.lock); then
		echo 'error: requirements.lock is not what pyproject.toml asks for: make lock'
		exit 1
	fi

check: $(INSTALLED) ## say what this machine lacks
	@$(PYTHON) -m scenarios.run --check

lock: $(UV_INSTALLED) ## write requirements.lock anew from pyproject.toml
	@$(UV) $(COMPILE) -o requirements.lock

programs bench-programs:
	@packages=
	for entry in $(PROGRAMS) $(if $(filter bench%,$@),$(BENCH_PROGRAMS)); do
		command -v "$${entry%%:*}" >/dev/null || packages+=" $${entry##*:}"
	done
	python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=' python3-venv'
	test -n "$$packages" || exit 0
	if test "$$EUID" != 0 || ! command -v apt-get >/dev/null; then
		echo "not installed:$$packages (as root on Debian or Ubuntu, make installs them)"
		exit 0
	fi
	# our Open vSwitch runs in a sandbox: the package's own service is not for us to start
	ours=$$(command -v ovs-vswitchd || true)
	if test -z "$$ours" && ! test -e /usr/sbin/policy-rc.d; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
	fi
	export DEBIAN_FRONTEND=noninteractive
	install() { apt-get install -qq -y --no-install-recommends $$packages; }
	install || { apt-get update -qq; install; }
	if test -z "$$ours" && command -v systemctl >/dev/null; then
		systemctl disable -q openvswitch-switch.service
	fi

$(UV_INSTALLED):
	@python3 -m venv --clear .uv
	.uv/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	touch $@

$(PYTHON): | $(UV_INSTALLED)
	@$(UV) venv -q --clear --python-preference system --python '$(PYTHONS)' .venv

$(INSTALLED): $(PYTHON)
	@$(OWN)
	export VIRTUAL_ENV=$(CURDIR)/.venv
	$(UV) pip sync -q --require-hashes --build-constraints build-constraints.txt requirements.lock
	$(UV) pip install -q --no-deps --no-build-isolation --editable .
	rm -f .venv/installed-*
	touch $@
