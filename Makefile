# The front door. `make` alone prints what there is; every target sets up what it needs by itself.
# Paths are relative throughout, so that the folder's own name may hold spaces.

SHELL := /bin/sh
PYTHON ?= python3
ARGS ?=
# Where the environment forbids Python to keep what it has compiled, every process would compile all libraries again, and a
# platform take twice as long to start; what is kept stays in this folder.
unexport PYTHONDONTWRITEBYTECODE

py := .venv/bin/python
# Named after the folder as well: a copied or moved checkout sets itself up again.
ready := .venv/.ready-$(shell pwd | cksum | cut -d ' ' -f 1)

.DEFAULT_GOAL := help
.PHONY: help demo up test check format bench soak drill audit fuzz simulate screenshots generate baseline vendor relock clean

help: ## print this list
	@echo 'Pullarm: make TARGET [ARGS="..."]'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1 \2/p' Makefile | while read -r name text; do \
		printf '  %-10s %s\n' "$$name" "$$text"; done

$(ready): requirements/uv.lock requirements/dev.lock pyproject.toml tools/bootstrap.py tools/vendor.py web/package-lock.json
	@$(PYTHON) tools/bootstrap.py
	@touch $@

demo: $(ready) ## start everything and drive it with simulated visits (ARGS="--decisions 5000 --exit")
	@$(py) -m cli demo $(ARGS)

up: $(ready) ## start PostgreSQL, Valkey, serving, control and worker, until Ctrl-C
	@$(py) -m cli up $(ARGS)

# A file's tests stay in one process, with what they share; the first files, which run whole platforms, take longest.
everything := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(ready) ## run every test, a process for each core; or some, one after another (ARGS="tests/unit -k draw")
	@$(py) -m pytest $(or $(ARGS),$(everything))

check: $(ready) ## format, lint, types, import walls, proto rules, generated code
	$(py) -m ruff format --check .
	$(py) -m ruff check .
	$(py) -m tools.prettier --check
	$(py) -m mypy
	$(py) -m tools.walls
	$(py) -m tools.buf lint
	$(py) -m tools.buf format --diff --exit-code
	$(py) -m tools.buf breaking --against proto/baseline.binpb
	$(py) -m tools.generate --check

format: $(ready) ## rewrite Python, proto and web files in the house format
	$(py) -m ruff format .
	$(py) -m ruff check --fix .
	$(py) -m tools.prettier --write
	$(py) -m tools.buf format --write

bench: $(ready) ## measure what the project promises (ARGS="--only mix --duration 60")
	@$(py) -m cli bench $(ARGS)

soak: $(ready) ## kill every part under load, again and again, and account for it (ARGS="--minutes 30")
	@$(py) -m cli soak $(ARGS)

drill: $(ready) ## rehearse an upgrade or a disaster (ARGS="upgrade", ARGS="disaster")
	@$(py) -m cli drill $(ARGS)

audit: $(ready) ## what is installed is what the hashed lock says, file by file; needs no network
	@$(py) -m tools.audit

fuzz: $(ready) ## a million forged decision ids over a socket, and readers on damaged input (ARGS="--forged 100000")
	@$(py) -m tests.fuzz $(ARGS)

simulate: $(ready) ## the statistical figures at full size, for an hour (ARGS="drops loop" for some)
	@$(py) -m tests.statistics.long_run $(ARGS)

screenshots: $(ready) ## pictures of every page of the dashboard into build/screenshots (ARGS="--keep": the README's too)
	@$(py) -m tests.browser.screenshots $(ARGS)

generate: $(ready) ## generate pullarm/v1 from proto/
	@$(py) -m tools.generate

baseline: $(ready) ## accept today's proto as the contract `make check` compares with
	$(py) -m tools.buf build --exclude-source-info --output proto/baseline.binpb

vendor: $(ready) ## fetch the dashboard's libraries again (ARGS="--lock" after a change of web/package.json)
	@$(py) -m tools.vendor $(ARGS)

relock: $(ready) ## resolve the dependencies anew (ARGS="--upgrade" for newer ones)
	@$(py) -m tools.relock $(ARGS)

clean: ## remove .venv, .tools, caches and .pullarm with all its data
	@$(PYTHON) tools/clean.py
