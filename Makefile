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
PROGRAMS := ovs-vswitchd:openvswitch-switch mnexec:mininet ip:iproute2 ifconfig:net-tools tcpdump:tcpdump
BENCH_PROGRAMS := iperf3:iperf3

AS_ROOT := $(filter 0,$(shell /usr/bin/id -u))
# root takes programs only from directories that are its own and not everybody's to write to
ROOT_PATH = $(shell IFS=:; for d in $$PATH; do \
	[[ $$d == /* && "$$(/usr/bin/stat -Lc '%u %A' "$$d" 2>&1)" =~ ^0\ d.{7}[^w] ]] && printf %s: "$$d"; done; true)
# users other than root may not have the daemons on their path
export PATH := $(if $(AS_ROOT),$(ROOT_PATH),$(PATH):)/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
export UV_PYTHON_INSTALL_DIR := $(CURDIR)/.uv/python
export UV_NO_PROGRESS := 1
PYTHON := .venv/bin/python
UV := .uv/bin/uv
UV_INSTALLED := .uv/installed-$(UV_VERSION)
# $(shell) itself may have the PATH of before
LOCKED := $(shell PATH='$(PATH)'; cat requirements.lock build-constraints.txt pyproject.toml | sha256sum | cut -c1-16)
INSTALLED := .venv/installed-$(LOCKED)
COMPILE := pip compile -q --universal --all-extras --generate-hashes --no-annotate \
	--custom-compile-command 'make lock' --build-constraints build-constraints.txt pyproject.toml

# a worker for every core; whoever is done takes over what others have left
SPREAD := -n auto --dist worksteal

# in another user's checkout root leaves nothing behind: what takes no root its owner does, and
# what does writes no caches and no compiled files; the command itself sees to the runs
OWNER := $(shell /usr/bin/stat -c %u .)
GROUP := $(shell /usr/bin/stat -c %g .)
FOREIGN := $(and $(AS_ROOT),$(filter-out 0,$(OWNER)))
OWNERS_HOME = $(or $(shell /usr/bin/getent passwd $(OWNER) | /usr/bin/cut -d: -f6),$(CURDIR)/.uv)
AS_OWNER := $(if $(FOREIGN),setpriv --reuid=$(OWNER) --regid=$(GROUP) --clear-groups \
	env -u USER -u LOGNAME -u SUDO_UID -u SUDO_GID HOME=$(OWNERS_HOME))
# no modules from the working directory or the environment
ISOLATED := -I $(if $(FOREIGN),-B)
PYTEST := $(PYTHON) $(ISOLATED) -m pytest $(if $(FOREIGN),-p no:cacheprovider)
ifneq ($(FOREIGN),)
export PYTHONDONTWRITEBYTECODE := 1
export HYPOTHESIS_STORAGE_DIRECTORY := /root/.cache/dualpath-testbed/hypothesis
endif

.NOTPARALLEL:
.PHONY: help setup run test fast explore compiled bench lint check lock programs bench-programs

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16
	echo '  SCENARIO=FILE  ARGS="--engine simulate --set workload.agents=20" go with `make run`'

setup: programs $(INSTALLED) ## Debian packages (as root) and .venv; done by the others too

run: setup ## run SCENARIO with ARGS (as root: it builds networks)
	@$(PYTHON) $(ISOLATED) -m scenarios.run $(SCENARIO) $(ARGS)

test: setup lint ## lint, then all tests; without root, those that need none
	@$(PYTEST) $(SPREAD) -m "not network and not benchmark"
	$(PYTEST) -m "network and not benchmark"

fast: $(INSTALLED) ## the tests that need neither root nor half a minute; fewer examples each
	@$(AS_OWNER) $(PYTHON) -I -m pytest $(SPREAD) --hypothesis-profile=fast -m "not network and not benchmark and not slow"

explore: $(INSTALLED) ## properties on new examples, ten times as many; prints how to try one again
	@$(AS_OWNER) $(PYTHON) -I -m pytest $(SPREAD) --hypothesis-profile=explore --timeout 0 -m "hypothesis and not network and not benchmark" $(ARGS)

compiled: $(INSTALLED) ## compile the core of simulated runs, a minute or two (needs a C compiler)
	@$(AS_OWNER) $(PYTHON) -I -m scenarios.compile

bench: bench-programs setup ## measure against references; prints ratios (as root)
	@$(AS_OWNER) mkdir -p runs/benchmarks
	$(PYTEST) -m benchmark -s

lint: $(INSTALLED) ## ruff, mypy, and whether the lock is fresh
	@$(AS_OWNER) $(PYTHON) -I -m ruff check
	$(AS_OWNER) $(PYTHON) -I -m ruff format --check
	$(AS_OWNER) $(PYTHON) -I -m mypy
	$(AS_OWNER) cp requirements.lock .uv/fresh.lock
	if ! $(AS_OWNER) $(UV) $(COMPILE) -o .uv/fresh.lock; then
		echo 'lock not checked: the package index gave no answer'
	elif ! diff <(grep == requirements.lock) <(grep == .uv/fresh.lock); then
		echo 'error: requirements.lock is not what pyproject.toml asks for: make lock'
		exit 1
	fi

check: $(INSTALLED) ## say what this machine lacks
	@$(PYTHON) $(ISOLATED) -m scenarios.run --check

lock: $(UV_INSTALLED) ## write requirements.lock anew from pyproject.toml
	@$(AS_OWNER) $(UV) $(COMPILE) -o requirements.lock

programs bench-programs:
	@packages=
	for entry in $(PROGRAMS) $(if $(filter bench%,$@),$(BENCH_PROGRAMS)); do
		command -v "$${entry%%:*}" >/dev/null || packages+=" $${entry##*:}"
	done
	python3 -I -c 'import ensurepip, venv' 2>/dev/null || packages+=' python3-venv'
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
	@$(AS_OWNER) python3 -I -m venv --clear .uv
	$(AS_OWNER) .uv/bin/python -I -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	$(AS_OWNER) touch $@

$(PYTHON): | $(UV_INSTALLED)
	@$(AS_OWNER) $(UV) venv -q --clear --python-preference system --python '$(PYTHONS)' .venv

$(INSTALLED): $(PYTHON)
	@export VIRTUAL_ENV=$(CURDIR)/.venv
	$(AS_OWNER) $(UV) pip sync -q --require-hashes --build-constraints build-constraints.txt requirements.lock
	$(AS_OWNER) $(UV) pip install -q --no-deps --no-build-isolation --editable .
	$(AS_OWNER) rm -f .venv/installed-*
	$(AS_OWNER) touch $@
