"""The tool of make benchmark: measuring, storing, its page. What it measures is not tested: it differs everywhere."""

import pytest
from conftest import PROJECT, check_sentence

from data.sources import read_json
from tools import benchmark

PAGE = benchmark.PAGE.read_text(encoding="utf-8")


def test_page_and_results_agree():
    results = read_json(benchmark.RESULTS)
    assert benchmark.filled(PAGE, results) == PAGE
    assert len(results["figures"]) > 20
    assert {len(figures["seconds"]) for figures in results["figures"].values()} == {benchmark.ROUNDS}


def test_every_notebook_step_and_network_is_measured():
    tasks = benchmark.all_tasks("mixed_bfloat16")
    notebooks = [f"notebook {path.stem}" for path in (PROJECT / "notebooks").glob("*.ipynb")]
    assert len(set(tasks)) == len(tasks) and {"make_test", "classic knn", *notebooks} < set(tasks)
    assert "peer training float32 512" in tasks and "network vgg16 training mixed_bfloat16 512" in tasks
    assert not [task for task in benchmark.all_tasks("float32") if "bfloat16" in task]
    assert {task.split()[0] for task in tasks} == set(benchmark.PARTS) - {"machine"}


@pytest.fixture
def own_files(monkeypatch, tmp_path):
    """Results and page lie in a folder of the test's own."""
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path / "results" / "benchmark.json")
    monkeypatch.setattr(benchmark, "PAGE", tmp_path / "performance.md")
    benchmark.PAGE.write_text(PAGE, encoding="utf-8")
    return tmp_path


def test_a_run_stores_all_rounds_and_shows_medians(own_files, monkeypatch, capsys):
    seconds = {"classic knn": iter([3.0, 1.0, 10.0]), "network vgg16 training float32 512": iter([8.0, 4.0, 8.0])}

    def measure(task):
        if task == "machine":
            return {"processor": "a quick one", "short numbers": "float32"}
        return {"seconds": next(seconds.get(task, iter([2.0]))), "processor_seconds": 7.0, "memory_gb": 1.5}

    monkeypatch.setattr(benchmark, "measure", measure)
    benchmark.main()
    assert read_json(benchmark.RESULTS)["figures"]["classic knn"]["seconds"] == [3.0, 1.0, 10.0]
    page = benchmark.PAGE.read_text(encoding="utf-8")
    assert "| processor | a quick one |" in page
    assert "| nearest neighbours, 400 images among 1,600 | 3.00 | 1.00 to 10.00 | 7.00 | 1.50 |" in page
    assert "| VGG16, training | float32 | 64 | 8.00 | 4.00 to 8.00 | 7.00 | 1.50 |" in page
    assert "round 3/3" in capsys.readouterr().out


def test_a_measurement_that_fails_is_named_and_nothing_is_stored(own_files, monkeypatch):
    monkeypatch.setenv("PNEUMONIA_DATA", "no/such/folder")
    with pytest.raises(SystemExit) as caught:
        benchmark.main()
    check_sentence(caught.value.code, own_files, 'The measurement "machine" failed', "nothing was stored")
    assert not benchmark.RESULTS.exists() and benchmark.PAGE.read_text(encoding="utf-8") == PAGE


def test_without_pytorch_a_sentence_says_how_to_get_it(own_files, monkeypatch):
    monkeypatch.setattr(benchmark, "TORCH_PYTHON", own_files / "python")
    with pytest.raises(SystemExit) as caught:
        benchmark.measure("peer training float32 64")
    check_sentence(caught.value.code, own_files, "PyTorch", "make benchmark")


def test_a_tiny_measurement_gives_figures():
    figures = benchmark.measure("network cnn training float32 64")
    assert set(figures) == {"seconds", "processor_seconds", "memory_gb"} and min(figures.values()) > 0
    assert figures["memory_gb"] < 10
