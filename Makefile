# make run       execute the notebooks into build/notebooks
# make test      style, unit tests, and every notebook and solution against its stored outputs
# make test-slow the tests that take more than about 3 seconds each: real waits, killed processes, a thousand damaged files
# make test-real the notebooks on the real X-rays against their stored outputs: make test-real PNEUMONIA_DATA=path/to/chest_xray
# make test-colab the notebooks with the packages that Colab has installed; needs Python 3.13: make test-colab COLAB_PYTHON=...
# make test-machines training in several processes that stand for several machines, some of them killed; needs JAX
# make refresh   execute on the real X-rays and store the outputs: make refresh PNEUMONIA_DATA=path/to/chest_xray
# make benchmark measure time and memory into results/benchmark.json and docs/performance.md: make benchmark PNEUMONIA_DATA=...
# make soak      the whole series ten times in a row: same outputs, no growth, nothing left behind (hours)
# make lock      write requirements.lock anew after a change of requirements.txt
# make slides    a deck of slides for each notebook into build/slides, from the stored outputs
# make site      the course as a site into build/site, from the stored outputs
# make check-site  open every slide and every page in Chromium and look for faults
# PYTHON=python3.12 picks a Python, QUICK=1 trains less, PNEUMONIA_DATA=... chooses the images (see data/README.md)

PYTHON ?= python3
COLAB_PYTHON ?= python3.13
VENV_PYTHON = $(PYTHON)
BIN := .venv/bin
export QUICK PNEUMONIA_DATA

.PHONY: run test test-slow test-real test-colab test-machines refresh benchmark soak lock slides site check-site clean

run: .venv/ready
	@$(BIN)/python tools/run.py

refresh: .venv/ready
	@$(BIN)/python tools/run.py --refresh

test: export QUICK := $(or $(QUICK),1)
test: export PNEUMONIA_DATA := $(or $(PNEUMONIA_DATA),phantoms)
test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadscope --nbval --nbval-current-env tests notebooks

test-slow: export PNEUMONIA_DATA := phantoms
test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow tests

test-real: .venv/ready
	$(BIN)/python -m pytest --nbval --nbval-current-env notebooks

test-colab: export QUICK := 1
test-colab: export PNEUMONIA_DATA := phantoms
test-colab: build/colab-venv/ready
	build/colab-venv/bin/python -m pytest --nbval --nbval-current-env notebooks

test-machines: export PNEUMONIA_DATA := phantoms
test-machines: build/machines-venv/ready
	build/machines-venv/bin/python -m pytest tests/several_machines.py

benchmark: .venv/ready build/benchmark-venv/ready
	@$(BIN)/python tools/benchmark.py
	@$(BIN)/python tools/benchmark_page.py

slides: build/docs-venv/ready build/npm/ready
	@build/docs-venv/bin/python tools/slides.py

site: build/docs-venv/ready build/npm/ready
	@build/docs-venv/bin/python tools/make_site.py

check-site: slides site
	build/docs-venv/bin/python tools/check_slides.py
	build/docs-venv/bin/python tools/check_site.py

# npm ci compares every package with the checksum in docs/package-lock.json
build/npm/ready: docs/package.json docs/package-lock.json
	@command -v npm > /dev/null || { echo "Slides and site need npm, which comes with Node.js: install it first." >&2; exit 1; }
	@mkdir -p build/npm
	@cp docs/package.json docs/package-lock.json build/npm
	@cd build/npm && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# environments beside the course's own, each from its own file of requirements
build/colab-venv/ready: tests/colab-requirements.txt
build/machines-venv/ready: tools/several-machines-requirements.txt
build/benchmark-venv/ready: tools/benchmark-requirements.txt
build/docs-venv/ready: docs/requirements.txt
build/colab-venv/ready: VENV_PYTHON = $(COLAB_PYTHON)
build/colab-venv/ready build/machines-venv/ready build/benchmark-venv/ready build/docs-venv/ready:
	@echo "Making $(@D) with the packages of $<; this takes a few minutes, once."
	@$(VENV_PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else \
		"The course needs Python 3.11, 3.12 or 3.13; name one of them: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@echo "Making .venv with the packages of requirements.lock; this takes a few minutes, once."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

soak: .venv/ready
	@$(BIN)/python tools/soak.py 10

# all packages, for every system and Python, with the sums of their files
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	UV_CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/uv pip compile --quiet --no-config --universal \
		--python-version 3.11 --generate-hashes --output-file requirements.lock requirements.txt

clean:
	rm -rf build data/cache
