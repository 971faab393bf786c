# `make demo` and `make test` need python3 (3.11 or newer, with its venv module) and nothing else installed.
.PHONY: demo path test test-all test-rest test-media players stores media model boot check lint docs bench faults lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Files stay together, and with them what their tests share, until a process has nothing left to do.
SPREAD := -n auto --dist worksteal
UNHURRIED := --timeout 7200 -o faulthandler_timeout=7500

# One file is taken as it is called; of several, names with blanks or quotes are quoted once more, as for the shell:
# make demo FILES="'my clip.mov' other.mp4"
CLIP := demo/clip.mp4

demo: $(READY) $(if $(FILES),,$(CLIP))
	@if [ -e "$$FILES" ]; then set -- "$$FILES"; else eval "set -- $${FILES:-$(CLIP)}"; fi; \
		$(BIN)/ffspool run "$$@" -p h264-480p -p thumbnail-sheet -o demo/out --overwrite
	@$(MAKE) --no-print-directory --silent path

# What makes `ffspool` a command of the shell that says this.
path:
	@echo 'To have `ffspool` as a command in this shell:  export PATH="$(CURDIR)/$(BIN):$$PATH"'

$(CLIP): $(READY)
	@mkdir -p demo
	"$$($(BIN)/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')" -v error -y \
		-f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 -t 8 -pix_fmt yuv420p $@

# A selection that holds every promise by at least one case.
test: $(READY) lint
	$(BIN)/pytest $(SPREAD) -m "not thorough"

test-all: $(READY) lint
	$(BIN)/pytest $(SPREAD)

# What `make test` leaves out of it.
test-rest: $(READY)
	$(BIN)/pytest $(SPREAD) -m thorough

# The players that ladders are tried in, as npm has them, for `make test-rest`.
players:
	@mkdir -p .players
	cd .players && npm pack --silent --prefer-offline $$(sed -E 's/.*  (.*)-([0-9.]+)\.tgz/\1@\2/' $(CURDIR)/tests/js/players.sha256)
	cd .players && sha256sum --check --quiet $(CURDIR)/tests/js/players.sha256

# A store that speaks Azure's words, as npm has it, for `make test-rest`.
stores:
	npm install --prefix .stores --no-save --no-audit --no-fund --ignore-scripts --omit=optional --prefer-offline --silent azurite@3.37.0

# The tests of files that are no part of the project: MEDIA=FOLDER make test-media
test-media: $(READY)
	$(BIN)/pytest $(SPREAD) -m outside

# Every test file by every preset, looked at by an independent reader; prints a table. It takes a while.
media: $(READY)
	$(BIN)/pytest $(SPREAD) tests/test_outputs.py tests/test_mixtures.py --every-preset $(UNHURRIED)

# Random walks through the verbs against the model of the contract, many more than in `make test`.
model: $(READY)
	MODEL_EXAMPLES=250 $(BIN)/pytest -s tests/test_contract_model.py -m thorough $(UNHURRIED)

# Every attack on the daemon's promises; `make test` runs a short selection. As root it mounts small file systems too.
faults: $(READY)
	cd tests && ../$(BIN)/python -m faults.hostile 2000
	$(BIN)/pytest tests/faults -n 2 --all-faults $(UNHURRIED)

# The systemd unit in a real systemd, in namespaces of its own. Needs root, systemd and cgroups of version 2.
boot: $(READY)
	$(BIN)/pytest tests/test_boot.py --boot -rs

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The tables of the pages and the man page, from what the code says.
docs: $(READY)
	$(BIN)/python -m docs.reference

bench: $(READY)
	$(BIN)/python -m bench

screenshots: $(READY)
	$(BIN)/python tests/screenshots.py screenshots

# The lock has hashes but no addresses: packages come from whatever registry pip is set up with.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock: $(READY)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--upgrade --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet -o requirements.lock

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache
