# make chat and make test need nothing but Python 3.11 or newer; both install into .venv first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
INSTALL = $(PIP) install -qq --constraint constraints.txt
RUN = $(VENV)/bin/python -m

.PHONY: chat test check fix clean starter characters constraints demo-telegram
.DELETE_ON_ERROR:

## Talk with the bot.
chat: $(VENV)/.chat-installed
	@$(VENV)/bin/banter chat

## The bot on Telegram without a token: on a Bot API server of our own, killed in between.
demo-telegram: $(VENV)/.dev-installed
	@$(RUN) tests.bots.telegram.demo

## All tests.
test: $(VENV)/.dev-installed
	$(RUN) pytest -q

## Style, types, who may import whom, architecture.
check: $(VENV)/.dev-installed
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports
	$(RUN) pytest -q tests/test_architecture.py

## Repair what can be repaired by itself.
fix: $(VENV)/.dev-installed
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

## Train the starter again from ./corpora, as its model card tells; about two hours on two cores. Killed, it goes on.
# The variables keep large allocations from going back to the system and idle threads from spinning.
starter: export OMP_WAIT_POLICY = PASSIVE
starter: export MALLOC_MMAP_MAX_ = 0
starter: export MALLOC_TRIM_THRESHOLD_ = 8000000000
starter: export THP_MEM_ALLOC_ENABLE = 1
starter: $(VENV)/.chat-installed
	@test -d corpora || { echo "Put the corpora that brain/starter/README.md names into ./corpora first." >&2; exit 2; }
	$(VENV)/bin/banter finetune --scratch brain/starter/forward.toml --resume
	$(VENV)/bin/banter finetune --recipe brain/starter/reverse.toml --resume
	$(RUN) brain.finetune.pair runs/forward/model runs/reverse/model brain/starter

## Train the two characters in the box again, as LoRA weights over the starter; a few minutes each on two cores.
# General talk to measure forgetting by is optional: corpora that brain/starter/README.md names, in ./corpora.
GENERAL = $(wildcard $(foreach part,self_dialogue topical_chat personachat_valid,corpora/$(part).dev.jsonl.gz))
characters: export OMP_WAIT_POLICY = PASSIVE
characters: $(VENV)/.dev-installed
	rm -rf runs/brisk runs/lighthouse
	$(MAKE) runs/brisk/memorisation.json SPEAKER=Brisk
	$(MAKE) runs/lighthouse/memorisation.json SPEAKER=Odile
	$(RUN) brain.finetune.slim runs/brisk persona_data/brisk/lora
	$(RUN) brain.finetune.slim runs/lighthouse persona_data/lighthouse/lora

runs/%/memorisation.json:
	$(VENV)/bin/banter finetune --preset laptop --base starter --data persona_data/$*/transcript.jsonl \
		--speaker $(SPEAKER) $(addprefix --general ,$(GENERAL)) --out runs/$*

## Write constraints.txt anew from the environment, after an upgrade.
constraints: $(VENV)/.dev-installed
	@$(INSTALL) --editable '.[dev,bench]' </dev/null >&2
	{ head -1 constraints.txt; $(PIP) freeze --all --exclude-editable --exclude pip | sed 's/+[a-z0-9]*$$//'; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find bots brain tests -name __pycache__ -prune -exec rm -rf {} +

# Stamps are written last, so an interrupted installation is taken up again. What pip has to say goes to stderr,
# and it does not read what was meant for the bot.

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; or name it: make PYTHON=..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' </dev/null \
		|| { echo "$(PYTHON) is older than 3.11; name another: make PYTHON=..." >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) </dev/null >&2
	@touch $@

$(VENV)/.chat-installed: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing into $(VENV), a minute or two ..." >&2
	@$(INSTALL) --editable . </dev/null >&2
	@touch $@

$(VENV)/.dev-installed: $(VENV)/.chat-installed
	@$(INSTALL) --editable '.[dev]' </dev/null >&2
	@touch $@
