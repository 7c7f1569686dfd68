# Development and operation of a checkout. `make` lists the targets.
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
QUICK := tests/unit tests/contract -m "not measure and not alone and not models" -k "not mysql and not redis"

.DEFAULT_GOAL := help
.PHONY: help setup run up down tls check test measure coverage screenshot hostile bench static lint lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 19

setup: $(VENV)/.installed models/.pulled  ## create the virtual environment and install the models

run: setup  ## serve on 127.0.0.1:8081 and read a sample picture through the signed API
	@scripts/run.sh

up: setup  ## start the whole stack: database, Redis, mover, two instances, Nginx on port 8080
	@scripts/up.sh

down:  ## stop the stack that `make up` started
	@scripts/down.sh

tls:  ## serve HTTPS on port 8443 with a self-signed certificate for NAME=host
	@scripts/tls.sh $(NAME)

check: static models/.pulled  ## run static checks and the tests that need no server and no model
	@$(BIN)/pytest -n $$(nproc) --dist loadfile $(QUICK) $(ARGS)

test: setup $(VENV)/.tools $(VENV)/.browser  ## run all tests; ARGS="-k nonce" passes options to pytest
	@scripts/test.sh $(BIN) $(ARGS)

measure: setup $(VENV)/.tools  ## run the timing tests; needs an idle machine
	@$(BIN)/pytest -m measure -s $(ARGS)

coverage: setup $(VENV)/.tools  ## measure line coverage of the tests that need no server
	@$(BIN)/pytest -n $$(nproc) --dist loadfile --cov --cov-report=term:skip-covered tests/unit tests/contract tests/web -m "not measure and not alone" $(ARGS)

hostile: setup $(VENV)/.tools  ## run security tests against a server in isolated namespaces
	@$(BIN)/python -m tests.hostile $(ARGS)

screenshot: setup $(VENV)/.tools $(VENV)/.browser  ## update the README's screenshot of the console
	@$(BIN)/pytest tests/browser -q -k "state_of_the_console and light-en and not phone"
	@cp var/screenshots/console-light-en.png docs/console.png

bench: setup $(VENV)/.tools  ## compare speed and accuracy with PaddleX serving and rapidocr_api; ARGS="--help" lists options
	@$(BIN)/python -m bench $(ARGS)

lint: static  ## run ruff, mypy, import-linter, shellcheck, biome and pip-audit
	@scripts/audit.sh $(BIN)

static: $(VENV)/.installed $(VENV)/.tools
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/shellcheck .ci/run scripts/*.sh clients/shell/*.sh
	@scripts/biome.sh

lock: $(VENV)/.tools  ## update the pinned requirements from requirements.in and requirements-dev.in
	@scripts/lock.sh

clean:  ## remove all generated files except users and records in var/
	rm -rf $(VENV) scripts/lint/node_modules models log/* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/.installed: requirements.txt scripts/setup.sh
	@scripts/setup.sh $(VENV)
	@touch $@

$(VENV)/.tools: requirements-dev.txt $(VENV)/.installed
	@echo "Installing the development tools ..."
	@$(BIN)/pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

$(VENV)/.browser: scripts/browser.sh | $(VENV)/.installed
	@scripts/browser.sh
	@touch $@

models/.pulled: app/ocr/models.py $(wildcard app/ocr/ranges/*) | $(VENV)/.installed
	@$(BIN)/flask models pull
	@touch $@
