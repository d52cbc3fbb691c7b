# Everything a fresh machine needs is made by `make setup`: Python 3.11-3.13 and make are enough.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	$$p -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
RUN := .venv/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 2
export TF_ENABLE_ONEDNN_OPTS ?= 1
# TensorFlow sees an NVIDIA GPU only together with its CUDA libraries. requirements-gpu.txt adds them where there is a driver, on
# the only system whose TensorFlow is published with CUDA. `make setup GPU=` does without, `make setup GPU=-gpu` always adds them.
GPU := $(shell test "$$(uname -sm)" = "Linux x86_64" && nvidia-smi >/dev/null 2>&1 && echo -gpu)

.PHONY: setup quickstart lint test test-slow zoo torture dusk bench bench-train bench-input bench-prepare bench-export docs format requirements clean

setup: .venv/installed$(GPU)

.venv/installed$(GPU): requirements$(GPU).txt
	@test -n "$(PYTHON)" || { echo "Expected Python 3.11, 3.12 or 3.13 on the PATH. Install one, or name it: make setup PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements$(GPU).txt
	touch $@

quickstart: setup
	$(RUN) main.py --flagfile=configs/quickstart.flags
	$(RUN) main.py --mode=predict --workdir=runs/quickstart --output_dir=runs/quickstart/predictions --overwrite
	$(RUN) export.py --workdir=runs/quickstart --output_dir=runs/quickstart/saved_model --overwrite
	$(RUN) main.py --mode=evaluate --workdir=runs/quickstart
	$(RUN) main.py --mode=predict --init_from=zoo:camvid_unet_lite0 --images=docs/pictures/street.png \
		--output_dir=runs/quickstart/zoo --overwrite
	@echo "Zoo:         runs/quickstart/zoo/overlays (a network trained on photographs, and a street that it has never seen)"
	@echo "SavedModel:  runs/quickstart/saved_model"
	@echo "Overlays:    runs/quickstart/predictions/overlays (labels and colours beside them)"
	@echo "TensorBoard: .venv/bin/tensorboard --logdir=runs/quickstart"

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

# Each process of pytest gives TensorFlow one thread (tests/conftest.py): one process a core.
PROCESSES ?= 2

test: lint
	$(RUN) -m pytest -n $(PROCESSES) --dist worksteal

test-slow: setup
	$(RUN) -m pytest -n $(PROCESSES) --dist worksteal -m slow

# The documentation site, into site/. It needs a network once, for pip.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet
	@echo "Documentation: site/index.html"

.venv/installed-docs: requirements-docs.txt | setup
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	touch $@

# docs/models.md: every architecture, measured here and from its module; docs/choosing.md: those with a published score.
zoo: setup
	$(RUN) -m benchmarks.zoo
	$(RUN) -m benchmarks.choosing

# The latencies in docs/choosing.md. Only on a machine that does nothing else: make latency DEVICE="one H200"
latency: setup
	test -n "$(DEVICE)" # the name of this device
	$(RUN) -m benchmarks.choosing "$(DEVICE)"

# 50 kills at random moments, and the same weights in the end: took 26 minutes on two busy cores.
torture: setup
	$(RUN) -m benchmarks.torture

# The table of docs/few_labels.md: networks trained by day, at dusk.
dusk: setup
	$(RUN) -m benchmarks.dusk --data_dir=$(CAMVID) --workdir=runs/dusk

bench: bench-train bench-input bench-prepare bench-export

bench-train: setup
	$(RUN) -m benchmarks.train_step

# The DataLoader takes part where TORCH_PYTHON has torch and albumentations.
CAMVID ?= ../shared/data/camvid
TORCH_PYTHON ?= $(RUN)
bench-input: setup
	$(RUN) -m benchmarks.input --camvid=$(CAMVID) --torch_python=$(TORCH_PYTHON)

bench-prepare: setup
	$(RUN) -m benchmarks.prepare_memory

# PyTorch takes part where TORCH_PYTHON has torch and segmentation_models_pytorch.
bench-export: setup
	$(RUN) -m benchmarks.export --torch_python=$(TORCH_PYTHON)

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Pins every dependency for Python 3.11-3.13 without naming a registry. The other files have the first one's versions.
COMPILE = .venv/bin/uv pip compile --universal --python-version 3.11 --extra test --no-emit-index-url --no-header --no-annotate --quiet

requirements: setup
	$(RUN) -m pip install --quiet uv
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) --extra gpu --constraint requirements.txt pyproject.toml -o requirements-gpu.txt
	$(COMPILE) --extra docs --constraint requirements.txt pyproject.toml -o requirements-docs.txt

clean:
	rm -rf .venv runs site build dist .pytest_cache .ruff_cache
