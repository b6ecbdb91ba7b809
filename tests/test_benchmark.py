"""The tool of make benchmark: measuring, storing, its page. What it measures is not tested: it differs everywhere."""

from data.sources import read_json
from tools import benchmark

PAGE = benchmark.PAGE.read_text(encoding="utf-8")


def test_page_and_results_agree():
    results = read_json(benchmark.RESULTS)
    assert benchmark.filled(PAGE, results) == PAGE
    assert {*results["figures"]} <= {*benchmark.all_tasks(results["machine"]["short numbers"])}
    assert {len(figures["seconds"]) for figures in results["figures"].values()} == {benchmark.ROUNDS}
    assert max(peak for figures in results["figures"].values() for peak in figures["memory_gb"]) < 3  # as the page says


def test_a_run_stores_all_rounds_and_shows_medians(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path / "results" / "benchmark.json")
    monkeypatch.setattr(benchmark, "PAGE", tmp_path / "performance.md")
    benchmark.PAGE.write_text(PAGE, encoding="utf-8")
    seconds = {"loading prepared": iter([3.0, 1.0, 10.0]), "network vgg16 training float32 512": iter([8.0, 4.0, 8.0])}

    def measure(task):
        if task == "machine":
            return {"processor": "a quick one", "short numbers": "float32"}
        return {"seconds": next(seconds.get(task, iter([2.0]))), "processor_seconds": 7.0, "memory_gb": 1.5}

    monkeypatch.setattr(benchmark, "measure", measure)
    benchmark.main()
    assert read_json(benchmark.RESULTS)["figures"]["loading prepared"]["seconds"] == [3.0, 1.0, 10.0]
    page = benchmark.PAGE.read_text(encoding="utf-8")
    assert "| processor | a quick one |" in page
    assert "| loading prepared | 3.00 | 1.00 to 10.00 | 7.00 | 1.50 |" in page
    assert "| VGG16, training | float32 | 64 | 8.00 | 4.00 to 8.00 | 7.00 | 1.50 |" in page
    assert "round 3/3" in capsys.readouterr().out
