# `make demo` and `make test` need Python >= 3.11 and nothing else: each makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SOURCES := pyproject.toml README.md setup.py build_backend/backend.py $(wildcard native/*) \
	$(shell find broker cred jelly -name '*.py')
# Tests and benchmarks see the built wheel, never the checkout beside them.
export PYTHONSAFEPATH := 1
# Else each process of the tests would compile all tests and their helpers again.
unexport PYTHONDONTWRITEBYTECODE
# The helpers of the tests that are programs are modules of packages in tests/helpers.
HELPER := PYTHONPATH=$(abspath tests/helpers) $(BIN)/python -m

.PHONY: demo test docs system check vectors vocabulary hops pictures bench compare unpacked instructions calls costs profile logins topics scale attacks sim sim-bugs fuzz soak idle drains crowd field floors native compiled clean browsers

demo: $(VENV)/.installed
	@$(BIN)/python -m broker demo

# Three files of tests at a time: whoever works here has two cores at least, and some tests wait for other programs.
PYTEST := $(BIN)/pytest -n 3 --dist loadfile
# The tests of the code that has a compiled form beside the Python code, without those of jelly.
TWO_FORMS := $(addprefix tests/,broker/core broker/connection broker/defer broker/net/test_socket_source.py \
	broker/net/test_stream_base.py broker/net/test_transports.py broker/test_native.py behaviour)

# All tests run with the compiled modules, if they could be built. Then those of TWO_FORMS run in pure Python.
test: $(VENV)/.installed $(VENV)/.test $(VENV)/.check
	$(PYTEST)
	$(BIN)/python -c 'import sys, broker; sys.exit(broker.accelerated)' || BROKER_PURE=1 $(PYTEST) $(TWO_FORMS)
	@echo 'make system tests besides, as root: peers that are cut off, the documentation and the web pages of the chat in Chromium, its window, and GUIs.'

# What needs root, programs of the system, and its libraries (for Qt and Tk); Debian's packages of the programs are
# installed.
system: $(VENV)/.installed $(VENV)/.test $(VENV)/.gui $(VENV)/.docs
	$(HELPER) project.system_programs
	$(BIN)/pytest $(wildcard tests/system/*.py)

check: $(VENV)/.installed $(VENV)/.check
	$(BIN)/ruff check broker cred jelly tests examples
	$(BIN)/ruff format --check broker cred jelly tests examples
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation as a site, in build/docs/out; ARGS='--serve 8000' shows it at that port.
docs: $(VENV)/.docs
	$(HELPER) website.build $(ARGS)

vectors: $(VENV)/.installed $(VENV)/.test
	$(HELPER) vectors.record

vocabulary: $(VENV)/.installed $(VENV)/.test
	$(HELPER) vocabulary.write

hops: $(VENV)/.installed $(VENV)/.test
	$(HELPER) project.hops $(ARGS)

# The pictures of the chat in the tutorial.
pictures: $(VENV)/.installed $(VENV)/.test
	$(HELPER) project.system_programs
	$(HELPER) project.chat_pictures

# With a C compiler, what is measured is a wheel with both kinds of compiled modules, in an environment of its own
# below build/bench.
bench: $(VENV)/.installed $(VENV)/.bench
	$(HELPER) bench.compiled $(ARGS)

# VARIANTS of the code against each other, such as base=../other,new=.; W: workloads; ROUNDS: starts of each.
MEASURED = $(if $(VARIANTS),--variants '$(VARIANTS)') $(if $(W),--workloads '$(W)') $(ARGS)

compare: $(VENV)/.installed $(VENV)/.bench
	$(HELPER) bench.compare $(MEASURED) $(if $(ROUNDS),--rounds $(ROUNDS))

# A folder with all compiled modules, as a variant: CHECKOUT/build/unpacked.
unpacked: $(VENV)/.test $(VENV)/.check
	$(HELPER) bench.unpacked $(CHECKOUT)

instructions: $(VENV)/.installed $(VENV)/.bench
	$(HELPER) bench.instructions $(MEASURED)

calls: $(VENV)/.installed $(VENV)/.bench
	$(HELPER) bench.calls $(MEASURED)

# The tables of docs/explanation/where-the-time-goes.md; PARTS of calls, instructions and bare, or all.
costs: $(VENV)/.installed $(VENV)/.bench
	$(HELPER) bench.costs $(PARTS) $(ARGS)

logins: $(VENV)/.installed $(VENV)/.bench
	$(HELPER) bench.logins $(ARGS)

# Topics over one node and three, beside nats-py alone; nothing else should run on the machine.
topics: $(VENV)/.installed $(VENV)/.test
	$(HELPER) bench.topics $(ARGS)

# The tables of docs/explanation/scale.md; ARGS=--measure takes what one operation costs on this machine.
scale: $(VENV)/.installed $(VENV)/.test
	$(HELPER) scale.model $(ARGS)

# Needs Chromium; nothing else should run on the machine.
browsers: $(VENV)/.installed $(VENV)/.test
	$(HELPER) bench.browsers $(ARGS)

attacks: $(VENV)/.installed $(VENV)/.test
	$(HELPER) attacks.comparison.compare $(ARGS)

profile: $(VENV)/.installed $(VENV)/.bench
	$(HELPER) bench.profile_sides '$(W)' $(ARGS)

# SEEDS, FIRST and JOBS of a run, SEED to see one again; RECORD=1 writes the run down.
sim: $(VENV)/.installed $(VENV)/.test
	$(HELPER) simulation.simulate $(if $(SEED),--seed=$(SEED),--seeds=$(or $(SEEDS),1000)) \
		$(if $(FIRST),--first=$(FIRST)) $(if $(JOBS),--jobs=$(JOBS)) $(if $(RECORD),--record)

sim-bugs: $(VENV)/.installed $(VENV)/.test
	$(HELPER) simulation.find_bugs $(if $(ONLY),--only=$(ONLY)) \
		$(if $(JOBS),--jobs=$(JOBS)) $(if $(RECORD),--record)

MINUTES ?= 10
FUZZ_ARGS = --minutes $(MINUTES) $(addprefix --target ,$(TARGET)) $(addprefix --seed ,$(SEED)) $(ARGS)
export FUZZ_COMMAND = MINUTES=$(MINUTES) $(if $(TARGET),TARGET='$(TARGET)') $(addprefix SEED=,$(SEED)) $(ARGS)

fuzz: $(VENV)/.installed $(VENV)/.test
	$(HELPER) fuzz.run $(FUZZ_ARGS)

# Every block is the C library's, which gives back each free page; Python's own allocator keeps a MiB for one object.
# Those of 16 KiB and more are the system's, and leave no holes among the others.
soak: export PYTHONMALLOC := malloc
soak: export MALLOC_ARENA_MAX := 1
soak: export MALLOC_MMAP_THRESHOLD_ := 16384
soak: $(VENV)/.installed $(VENV)/.test
	$(HELPER) soak.run soak --minutes $(MINUTES) $(addprefix --seed ,$(SEED))

idle: $(VENV)/.installed $(VENV)/.test
	$(HELPER) soak.run idle

drains: $(VENV)/.installed $(VENV)/.test
	$(HELPER) soak.run drains

# 500 clients of the chat; nothing else should run on the machine.
crowd: $(VENV)/.installed $(VENV)/.test
	$(HELPER) chat_crowd.run $(ARGS)

# Each program has a virtual environment of its own below build/field, which is kept.
field: $(VENV)/.installed
	$(HELPER) field.run $(addprefix --only=,$(ONLY)) $(if $(RECORD),--record)

# The lowest versions that pyproject.toml allows, in an environment of their own, with the newest Twisted that
# takes them. Left out is what they are not to blame for: what takes long, the names of the newest Twisted, and
# that older ones of pyOpenSSL load more and warn about what Twisted uses.
FLOORS := .venv-floors
floors:
	mkdir -p $(FLOORS)
	$(PYTHON) tests/helpers/project/floors.py > $(FLOORS)/constraints.txt
	PIP_CONSTRAINT=$(abspath $(FLOORS))/constraints.txt $(MAKE) VENV=$(FLOORS) \
		$(FLOORS)/.installed $(FLOORS)/.test $(FLOORS)/.check
	$(FLOORS)/bin/pytest -n 2 --dist loadfile -W 'ignore:CSR support:DeprecationWarning' \
		$(addprefix --ignore=tests/,bench fuzz simulation soak test_vocabulary.py) \
		--deselect=tests/broker/test_init.py::test_a_client_loads_no_reader_of_keys_and_no_metadata

# The module in C beside the Python code of this checkout, where `make compare` and others find it. As long as it is
# there, it must be built again after each change of the C code.
native: $(VENV)/.test
	$(BIN)/python setup.py --quiet build_ext --inplace --force

# The compiled form in an environment of its own, below build/compiled: its tests, and its speed. It needs gcc.
compiled: $(VENV)/.test $(VENV)/.check
	$(HELPER) project.compiled $(ARGS)

clean:
	rm -rf $(VENV) $(FLOORS) build dist *.egg-info

$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip
	@touch $@

$(VENV)/.installed: $(VENV)/.pip $(SOURCES)
	@rm -rf build/lib* build/bdist.* build/temp.*
	$(PIP) install '.[cli]'
	@touch $@

$(VENV)/.test $(VENV)/.check $(VENV)/.bench $(VENV)/.gui $(VENV)/.docs: $(VENV)/.%: $(VENV)/.pip pyproject.toml
	$(PIP) install --group $*
	@touch $@
