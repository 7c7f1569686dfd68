# Everything a newcomer needs: `make run` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
QUICK := tests/unit tests/contract -m "not measure and not alone and not models" -k "not mysql and not redis"

.DEFAULT_GOAL := help
.PHONY: help setup run up down tls check test measure coverage screenshot hostile bench static lint lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(VENV)/.installed models/.pulled  ## make the virtual environment and pull the models

run: setup  ## set up, serve on 127.0.0.1:8081, and read a sample picture over the signed API
	@scripts/run.sh

up: setup  ## start all of it under supervisord: database, Redis, mover, two instances, Nginx on port 8080
	@scripts/up.sh

down:  ## stop what `make up` started
	@scripts/down.sh

tls:  ## HTTPS with a self-signed certificate, on port 8443; NAME=host names it
	@scripts/tls.sh $(NAME)

check: static models/.pulled  ## static checks, and the tests that need no server and no model
	@$(BIN)/pytest -n $$(nproc) --dist loadfile $(QUICK) $(ARGS)

test: setup $(VENV)/.tools $(VENV)/.browser  ## run all tests; ARGS="-k nonce" goes to pytest
	@scripts/test.sh $(BIN) $(ARGS)

measure: setup $(VENV)/.tools  ## hold times and rates to their targets, on a quiet machine
	@$(BIN)/pytest -m measure -s $(ARGS)

coverage: setup $(VENV)/.tools  ## which lines of app/ and config/ the tests run that need no server
	@$(BIN)/pytest -n $$(nproc) --dist loadfile --cov --cov-report=term:skip-covered tests/unit tests/contract tests/web -m "not measure and not alone" $(ARGS)

hostile: setup $(VENV)/.tools  ## attack a server of its own, in namespaces that nothing can leave
	@$(BIN)/python -m tests.hostile $(ARGS)

screenshot: setup $(VENV)/.tools $(VENV)/.browser  ## take the README's picture of the console anew
	@$(BIN)/pytest tests/browser -q -k "state_of_the_console and light-en and not phone"
	@cp var/screenshots/console-light-en.png docs/console.png

bench: setup  ## measure beside PaddleX serving and rapidocr_api; ARGS="--help" goes to bench/
	@$(BIN)/python -m bench $(ARGS)

lint: static  ## ruff, mypy, import-linter, pip-audit
	@scripts/audit.sh $(BIN)

static: $(VENV)/.installed $(VENV)/.tools
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lock: $(VENV)/.tools  ## pin requirements.in and requirements-dev.in anew
	@scripts/lock.sh

clean:  ## remove what the targets above made, but neither users nor records (var/)
	rm -rf $(VENV) models log/* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/.installed: requirements.txt scripts/setup.sh
	@scripts/setup.sh $(VENV)
	@touch $@

$(VENV)/.tools: requirements-dev.txt $(VENV)/.installed
	@echo "Installing the tools for tests and checks ..."
	@$(BIN)/pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

$(VENV)/.browser: scripts/browser.sh | $(VENV)/.installed
	@scripts/browser.sh
	@touch $@

models/.pulled: app/ocr/models.py $(wildcard app/ocr/ranges/*) | $(VENV)/.installed
	@$(BIN)/flask models pull
	@touch $@
