"""The tools of make benchmark: counting, collecting, tables. What they measure is not tested: it differs everywhere."""

import copy
import json
import math
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import PROJECT, check_sentence

from tools import benchmark, benchmark_page, benchmark_parts, run

MACHINE = {
    "processor": "A processor",
    "cores": 2,
    "total_memory_gb": 8.1,
    "system": "Linux",
    "python": "3.12.1",
    "packages": {"keras": "3.15.1"},
    "reduced": "mixed_bfloat16",
    "images": "simulated images",
    "date": "2026-01-02",
    "load_before": 0.0,
}


def made_figures(task):
    """What a measurement of this name gives; curves grow in proportion."""
    if task.startswith("curve_by_images"):
        return {"500": 1.0, "1000": 2.0, "memory_gb": 0.5}
    if task.startswith("curve_by_pixels"):
        return {"32": 0.5, "64": 2.0, "memory_gb": 0.5}
    return {"seconds": 4.0, "images_per_second": 20.0, "gflop_per_second": 50.0, "memory_gb": 1.5}


@pytest.fixture
def measured():
    """Results as the benchmark stores them, with easy figures."""
    tasks = benchmark.all_tasks("mixed_bfloat16")
    rounds = {task: {name: [value] * 3 for name, value in made_figures(task).items()} for task in tasks}
    return {"machine": MACHINE, "figures": rounds}


# --- counting ---------------------------------------------------------------------------------------------------------


def test_multiplications_of_vgg16_are_those_that_everyone_quotes():
    trunk = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    assert sum(benchmark_parts.multiply_adds(trunk)) == pytest.approx(15.35e9, rel=0.001)


def test_multiplications_of_a_small_network_are_those_counted_by_hand():
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, padding="same")])
    rest = [keras.layers.MaxPooling2D(2), keras.layers.Flatten(), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((8, 8, 3)), inner, *rest, keras.layers.Dense(5)])
    first, last = 8 * 8 * 3 * 3 * 3 * 4, 4 * 4 * 4 * 5
    assert benchmark_parts.multiply_adds(model) == [first, last]
    model.compile("sgd", "sparse_categorical_crossentropy")
    images, labels = np.zeros((64, 8, 8, 3)), np.zeros(64)
    assert benchmark_parts.inference(model, images)["gflop_per_image"] == 2 * (first + last) / 1e9
    back_too = benchmark_parts.training(model, images, labels)  # without the gradients of the images themselves
    assert back_too["gflop_per_image"] == pytest.approx(2 * (2 * first + 3 * last) / 1e9)
    forward = benchmark_parts.throughput(1e9, count=10, seconds=2)
    assert forward["images_per_second"] == 5
    assert (forward["gflop_per_image"], forward["gflop_per_second"]) == (2, 10)


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
def test_the_exponent_of_a_power_is_found(power):
    sizes = np.array([500, 1000, 2000, 5000])
    assert benchmark_page.exponent(sizes, 3 * sizes**power) == pytest.approx(power)


def test_pixels_of_a_curve_are_those_of_the_whole_image(measured):
    sizes, seconds = benchmark_page.curve(measured, "pixels", "knn")
    assert (list(sizes), list(seconds)) == ([32**2, 64**2], [0.5, 2])
    assert benchmark_page.exponent(sizes, seconds) == pytest.approx(1)


def test_images_are_repeated_and_of_both_classes(drawn, cache):
    images, labels = benchmark_parts.images_of(3000, 32)
    assert images.shape == (3000, 32, 32) and images.dtype == np.float32 and 0 <= images.min() < images.max() <= 1
    assert np.array_equal(images[:200], images[2800:]) and set(labels[:20]) == {0, 1}


@pytest.mark.parametrize("cost", [benchmark_parts.knn_cost, benchmark_parts.logistic_regression_cost])
def test_a_cost_is_in_seconds(drawn, cache, cost):
    assert 0 < cost(40, 32) < 60


# --- collecting -------------------------------------------------------------------------------------------------------


def test_every_measurement_has_its_function():
    parts = {part.__name__ for part in benchmark_parts.PARTS}
    torch_code = (PROJECT / "tools" / "benchmark_torch.py").read_text(encoding="utf-8")
    for task in [*benchmark.all_tasks("mixed_bfloat16"), "machine"]:
        name, *arguments = task.split()
        assert f"def {name}(" in torch_code if name.startswith("torch") else name in parts
        assert not name.startswith("curve") or arguments[0] in benchmark_parts.CURVES


def test_without_a_short_format_float32_is_measured_once():
    tasks = benchmark.all_tasks("float32")
    assert len(tasks) == len(set(tasks)) and "bfloat16" not in " ".join(tasks)


def test_all_rounds_are_kept_and_the_median_is_shown(monkeypatch, capsys):
    seconds = iter([3.0, 1.0, 10.0])
    monkeypatch.setattr(benchmark, "REPEATS", 3)
    monkeypatch.setattr(benchmark, "measure", lambda task: {"seconds": next(seconds)})
    figures = benchmark.measure_all(["knn"])
    assert figures == {"knn": {"seconds": [3.0, 1.0, 10.0]}}
    assert benchmark_page.median({"figures": figures}, "knn", "seconds") == 3
    assert len(re.findall(r"^round \d/3  1/1  knn: \d+ s$", capsys.readouterr().out, flags=re.MULTILINE)) == 3


def refusal(action, *arguments):
    with pytest.raises(SystemExit) as caught:
        action(*arguments)
    return caught.value.code


def test_a_measurement_that_fails_is_named(monkeypatch, tmp_path):
    failing = [sys.executable, "-c", "import sys; sys.exit('first\\nThere are no images.')"]
    monkeypatch.setattr(benchmark, "command", lambda task: failing)
    check_sentence(refusal(benchmark.measure, "knn"), tmp_path, "knn", "There are no images")


def test_without_pytorch_a_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "TORCH_PYTHON", tmp_path / "python")
    check_sentence(refusal(benchmark.measure, "torch_matmul float32"), tmp_path, "PyTorch", "make benchmark")


def test_a_measurement_runs_in_full_on_the_chosen_images(monkeypatch):
    show = "import json, os; print(json.dumps([os.environ.get('QUICK'), os.environ['PNEUMONIA_DATA']]))"
    monkeypatch.setattr(benchmark, "command", lambda task: [sys.executable, "-c", show])
    monkeypatch.setenv("QUICK", "1")
    for chosen, used in [("", "phantoms"), ("some/folder", "some/folder")]:
        monkeypatch.setenv("PNEUMONIA_DATA", chosen)
        assert benchmark.measure("knn") == [None, used]


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", "{}", '{"machine": {}, "figures": {}}', '{"machine": {"cores": 2}}']
)
def test_missing_or_damaged_results_are_named(tmp_path, text):
    path = tmp_path / "benchmark.json"
    if text is not None:
        path.write_text(text)
    words = ("benchmark.json", "make benchmark", "missing" if text is None else "damaged")
    check_sentence(refusal(benchmark.load, path), tmp_path, *words)


def test_results_are_stored_whole(tmp_path, measured):
    path = tmp_path / "results" / "benchmark.json"
    benchmark.store(measured, path)
    before = path.read_bytes()
    assert benchmark.load(path) == measured
    with pytest.raises(TypeError):
        benchmark.store({"machine": path}, path)
    assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == [path.name]


def test_one_run_measures_everything_and_stores_it(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path / "benchmark.json")
    machine = copy.deepcopy(MACHINE)
    monkeypatch.setattr(benchmark, "measure", lambda task: machine if task == "machine" else made_figures(task))
    benchmark.main()
    measured = benchmark.load(benchmark.RESULTS)
    assert set(measured["figures"]) == set(benchmark.all_tasks("mixed_bfloat16"))
    assert {"knn", "make_test", "notebook 01_metadata", "notebook 07_going_further"} < set(measured["figures"])
    assert measured["figures"]["notebook 01_metadata"]["seconds"] == [4.0] * benchmark.REPEATS


def test_notebooks_are_measured_as_a_reader_of_a_fresh_copy_runs_them(monkeypatch):
    monkeypatch.setenv("PNEUMONIA_DATA", "path/to/chest_xray")
    monkeypatch.setattr(run, "execute", lambda path: (path, os.environ["PNEUMONIA_DATA"], None))
    assert benchmark_parts.notebook("01_metadata") == {"seconds": "phantoms"}


# --- page and picture -------------------------------------------------------------------------------------------------

PAGE = benchmark_page.PAGE.read_text(encoding="utf-8")


def cells(table, start):
    """The cells of the row that begins so."""
    row = next(line for line in table.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_page_has_a_place_for_every_table_and_takes_them(measured):
    page = benchmark_page.filled(PAGE, measured)
    for name, text_of in benchmark_page.TABLES.items():
        start, end = f"<!-- {name}: python tools/benchmark_page.py -->\n", f"\n<!-- end of {name} -->"
        assert page.split(start)[1].split(end)[0] == text_of(measured)
    assert benchmark_page.filled(page, measured) == page
    assert re.sub(r"(?s)(<!-- (\w+): .*? -->\n).*?(<!-- end of \2 -->)", r"\1\3", page) == re.sub(
        r"(?s)(<!-- (\w+): .*? -->\n).*?(<!-- end of \2 -->)", r"\1\3", PAGE
    )


def test_tables_hold_the_figures(measured):
    figures = measured["figures"]
    figures["knn"]["seconds"] = [0.5, 9.0, 0.25]
    figures["vgg16_training float32"] |= {"images_per_second": [20.0, 24.0, 29.0], "gflop_per_second": [150.0] * 3}
    figures["torch_matmul float32"]["gflop_per_second"] = [200.0, 900.0, 900.0]
    figures["torch_inference mixed_bfloat16 channels_last"]["images_per_second"] = [77.0] * 3
    nearest = cells(benchmark_page.parts_table(measured), benchmark_page.PARTS["knn"])
    assert nearest[1:] == ["0.50", "0.25 to 9.00", "1.50"]
    row = "VGG16 | training | float32"
    assert cells(benchmark_page.networks_table(measured), row)[3:] == ["24", "20 to 29", "150", "17%", "1.50"]
    assert cells(benchmark_page.peer_table(measured), "this course | float32")[2:] == ["24", "20"]
    row = "PyTorch, channels last | mixed_bfloat16"
    assert cells(benchmark_page.peer_table(measured), row)[2:] == ["20", "77"]
    assert cells(benchmark_page.peaks_table(measured), "fastest matrix multiplication, GFLOP/s")[1:] == ["900", "50"]
    row = cells(benchmark_page.curves_table(measured), "nearest neighbours")
    assert row[1:] == ["1.00", "1.00 to 2.00", "1.00", "0.50 to 2.00"]
    assert "A processor, 2 cores, 8 GB" in benchmark_page.machine_words(measured)
    assert cells(benchmark_page.notebooks_table(measured), "`make test`")[1] == "4.00"


def set_all(measured, start, quantity, value):
    for task in measured["figures"]:
        if task.startswith(start):
            measured["figures"][task][quantity] = [value] * 3


@pytest.mark.parametrize(
    ("start", "quantity", "good", "bad", "row"),
    [
        ("vgg16_training", "images_per_second", 19.0, 18.9, 0),
        ("vgg16_inference", "images_per_second", 20.0, 19.9, 1),
        ("notebook", "seconds", 85.7, 85.8, 2),
        ("make_test", "seconds", 360.0, 360.1, 3),
        ("notebook", "memory_gb", 2.99, 3.0, 4),
    ],
)
def test_targets_are_met_or_not(measured, start, quantity, good, bad, row):
    for value, met in [(good, True), (bad, False)]:
        set_all(measured, start, quantity, value)
        assert [target[3] for target in benchmark_page.targets(measured)] == [
            met if n == row else True for n in range(5)
        ]


def test_pytorch_counts_with_its_best_layout_and_format_but_not_its_memory(measured):
    set_all(measured, "torch_training mixed_bfloat16 channels_last", "images_per_second", 40.0)
    set_all(measured, "torch", "memory_gb", 100.0)
    training, *_, memory = benchmark_page.targets(measured)
    assert training[2:] == ("0.50", False) and memory[3]


def test_the_picture_keeps_what_it_shows(measured, tmp_path):
    curves = benchmark_page.drawn_curves(measured)
    benchmark_page.save(curves, tmp_path / "performance.png")
    assert benchmark_page.curves_in_picture(tmp_path / "performance.png") == curves
    assert curves["images"]["knn"] == [[500.0, 1000.0], [1.0, 2.0]]


def test_page_and_picture_are_those_of_the_results():
    if not benchmark.RESULTS.exists():
        empty = re.findall(
            r"<!-- (\w+): python tools/benchmark_page\.py -->\nNot measured yet\.\n<!-- end of \1 -->", PAGE
        )
        assert empty == re.findall(r"<!-- end of (\w+) -->", PAGE)  # no figure without a measurement
        return
    results = benchmark.load(benchmark.RESULTS)
    assert benchmark_page.filled(PAGE, results) == PAGE
    assert benchmark_page.curves_in_picture(benchmark_page.PICTURE) == benchmark_page.drawn_curves(results)
    rounds = [len(values) for figures in results["figures"].values() for values in figures.values()]
    assert min(rounds) >= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", ["start_up", "curve_by_images knn", "vgg16_training float32", "curve_by_pixels cnn_training"]
)
def test_a_tiny_measurement_gives_figures(task):
    line = [sys.executable, "tools/benchmark_parts.py", *task.split()]
    done = subprocess.run(line, cwd=PROJECT, env=os.environ | {"BENCHMARK_TINY": "1"}, capture_output=True, text=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert "memory_gb" in figures and len(figures) > 1
    assert all(math.isfinite(value) and value > 0 for value in figures.values())
