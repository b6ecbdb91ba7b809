"""README, Makefile and requirements agree with the project."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from conftest import PROJECT
from nbclient.exceptions import DeadKernelError

import helpers
from tools import opening, results_picture, results_table, run

README = (PROJECT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


def test_every_make_target_that_the_readme_names_exists():
    named = set(re.findall(r"`?make ([a-z-]+)", README))
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    assert {"run", "test", "refresh"} <= named <= targets


def test_every_path_that_the_readme_names_exists():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    folders = re.findall(r"^\| `([^`]+)` \|", README[README.index("## What lies where") :], flags=re.MULTILINE)
    commands = re.findall(r"python (tools/\S+\.py)", README)
    assert links and folders and commands
    assert [path for path in links + folders + commands if not (PROJECT / path).exists()] == []


def test_readme_lists_every_notebook_with_its_badge():
    for path in NOTEBOOKS:
        assert f"notebooks/{path.name})" in README
        assert opening.badge(path.name) in README


def test_readme_and_data_card_name_every_source():
    import sources

    card = (PROJECT / "data" / "README.md").read_text(encoding="utf-8")
    for source in sources.SOURCES:
        assert f"`{source}`" in README and f"`{source}`" in card


def test_data_card_quotes_the_measured_figures_of_the_phantoms():
    card = (PROJECT / "data" / "README.md").read_text(encoding="utf-8")
    measured = json.loads((PROJECT / "results" / "phantom_realism.json").read_text(encoding="utf-8"))
    for model, title in [("knn", "nearest"), ("logistic_regression", "logistic"), ("cnn", "convolutional")]:
        row = re.search(rf"^\| {title}.*$", card, flags=re.MULTILINE)[0]
        figures = [
            measured[f"{split}_accuracy"][side][model] for side in ("phantom", "real") for split in ("val", "test")
        ]
        assert row.endswith("| " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")
    singles = [
        *measured["auc_on_real_test_after_training_on_phantoms"].values(),
        *measured["border_val_accuracy"].values(),
    ]
    for figure in singles:
        assert f"{figure:.3f}" in card


def test_results_table_in_readme_is_not_stale():
    table = results_table.results_table()
    assert results_table.with_table(README, results_table.RESULTS, table) == README


def test_table_in_model_card_is_not_stale(monkeypatch):
    monkeypatch.setenv("PNEUMONIA_DATA", "phantoms")
    card = results_table.MODEL_CARD.read_text(encoding="utf-8")
    assert results_table.with_table(card, results_table.CARD, results_table.model_card_table()) == card


def test_picture_of_results_is_not_stale_and_has_alternative_text():
    assert results_picture.drawn_figures() == results_picture.figures()
    alt = re.search(r"!\[([^\]]+)\]\(docs/results\.png\)", README)[1]
    assert len(alt.split()) > 20 and alt.endswith(".")
    assert all(split in alt for splits in results_picture.figures().values() for split in splits)


def test_readme_names_ten_errors_and_these_are_the_messages(monkeypatch, tmp_path):
    section = README[README.index("## When something fails") : README.index("## The images")]
    assert re.findall(r"^(\d+)\. `", section, flags=re.MULTILINE) == [str(number) for number in range(1, 11)]
    text = " ".join(section.split())

    def message(setting):
        monkeypatch.setenv("PNEUMONIA_DATA", str(setting))
        with pytest.raises(helpers.sources.DataError) as caught:
            helpers.get_train_data()
        return str(caught.value)

    (tmp_path / "chest").mkdir()
    for setting in ("kermani", tmp_path / "chest"):
        quoted = re.split(r"[;:]", message(setting))[0]
        assert f"`{quoted}`" in text
    assert "The course needs Python 3.11, 3.12 or 3.13; name one of them: make $(MAKECMDGOALS) PYTHON" in MAKEFILE
    assert f"`{run.explain(DeadKernelError('Kernel died'))}`" in text
    done = subprocess.run([sys.executable, "-c", "import helpers"], cwd=tmp_path, capture_output=True, text=True)
    assert f"`{done.stderr.splitlines()[-1]}`" in text


def test_readme_names_the_message_of_a_download_that_fails(cache):
    section = " ".join(README.split())
    with pytest.raises(helpers.sources.DataError) as caught:
        helpers.sources.download("pneumoniamnist_64.npz")
    assert f"`{str(caught.value).split(':')[0]}`" in section


def test_results_hold_every_model_split_and_seed():
    for images in ("kermany", "phantoms"):
        results = json.loads((PROJECT / "results" / f"{images}.json").read_text(encoding="utf-8"))
        keys = {
            "model",
            "split",
            "seed",
            "accuracy",
            "auc",
            "sensitivity",
            "specificity",
            "seconds",
            "weights",
            "notebook",
        }
        assert all(set(result) == keys for result in results)
        runs = {(result["model"], result["split"], result["seed"]) for result in results}
        models = {result["model"] for result in results}
        assert models == set(results_table.MODELS) == set(helpers.MODELS)
        splits = ("validation", "test", "field")
        assert runs == {(model, split, seed) for model in models for split in splits for seed in (0, 1, 2)}


def test_stored_predictions_give_the_stored_scores():
    for images in ("kermany", "phantoms"):
        results = json.loads((PROJECT / "results" / f"{images}.json").read_text(encoding="utf-8"))
        predictions = pd.read_csv(PROJECT / "results" / f"{images}_predictions.csv")
        for result in [result for result in results if result["seed"] == 0]:
            rows = predictions[(predictions["model"] == result["model"]) & (predictions["split"] == result["split"])]
            scores = helpers.score(rows["label"], rows["probability"])
            assert len(rows) == 400
            assert all(abs(scores[name] - result[name]) < 0.003 for name in scores)


def test_bands_hold_the_stored_results():
    bands = json.loads((PROJECT / "results" / "bands.json").read_text(encoding="utf-8"))
    assert set(bands) == {"kermany", "kermany_quick", "phantoms", "phantoms_quick"}
    for images in ("kermany", "phantoms"):
        for result in json.loads((PROJECT / "results" / f"{images}.json").read_text(encoding="utf-8")):
            lowest, highest = bands[images][f"{result['model']} {result['split']}"]
            assert 0.5 < lowest < result["auc"] < highest <= 1
            assert highest - lowest < 0.2


@pytest.mark.parametrize(
    ("results", "notebook"), [("tinkering", NOTEBOOKS[2]), ("transfer", NOTEBOOKS[3]), ("ablation", NOTEBOOKS[5])]
)
def test_a_notebook_quotes_the_measured_changes(results, notebook):
    measured = json.loads((PROJECT / "results" / f"{results}.json").read_text(encoding="utf-8"))
    text = notebook.read_text(encoding="utf-8")
    for change, auc in measured.items():
        assert f"| {change} | {auc:.3f} |" in text


@pytest.mark.parametrize("results", ["ingredients", "recipes"])
def test_notebook_7_quotes_what_was_measured(results):
    measured = json.loads((PROJECT / "results" / f"{results}.json").read_text(encoding="utf-8"))
    text = NOTEBOOKS[6].read_text(encoding="utf-8")
    for name, scores in measured.items():
        kinds = [scores[kind] for kind in ("as they are", "disturbed")]
        figures = [f"{kind[what]:.3f}" for kind in kinds for what in ("auc", "accuracy")]
        assert f"| {name} | {' | '.join(figures)} |" in text


def test_notebook_7_and_readme_quote_the_stored_exam():
    runs = json.loads((PROJECT / "results" / "further.json").read_text(encoding="utf-8"))
    runs = [run for run in runs if run["split"] == "test, all images"]
    text = " ".join(" ".join(cell.source for cell in nbformat.read(NOTEBOOKS[6], as_version=4).cells).split())
    names = ("accuracy", "auc", "sensitivity", "specificity")
    exams = {run.get("seed", run["model"]): [f"{run[name]:.3f}"[1:] for name in names] for run in runs}
    for seed, figures in exams.items():
        assert f"| {seed} | {' | '.join(figures)} |" in text
    first, second, third, mean = (figures[:2] for figures in exams.values())
    assert f"| 128 | {' | '.join(first)} |" in text
    assert f"accuracy {' and AUC '.join(first)} on all 624 images" in README
    second, third, mean = (" and ".join(figures) for figures in (second, third, mean))
    assert f"two other seeds {second}, {third}, as the mean of all three {mean}." in README
    ends = [[f"{end:.3f}"[1:] for end in runs[-1]["intervals"][name]] for name in ("accuracy", "auc")]
    assert "intervals of {} to {} for the accuracy and {} to {} for the AUC".format(*ends[0], *ends[1]) in text


def test_requirements_are_pinned_and_have_a_reason():
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for line in filter(None, lines):
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[\d.]+ +# .+", line), line


def test_times_of_all_notebooks_are_stored():
    times = json.loads((PROJECT / "results" / "times.json").read_text(encoding="utf-8"))
    assert set(times) == {path.stem for path in opening.find_notebooks()}
    simulated = json.loads((PROJECT / "results" / "times_simulated.json").read_text(encoding="utf-8"))
    assert set(simulated) == {path.stem for path in NOTEBOOKS}


def test_every_notebook_needs_less_than_4_gib():
    peaks = json.loads((PROJECT / "results" / "memory.json").read_text(encoding="utf-8"))
    assert set(peaks) == {path.stem for path in opening.find_notebooks()}
    assert all(0.1 < peak < 4 for peak in peaks.values())


@pytest.fixture
def small_project(tmp_path, monkeypatch):
    """A project with one small notebook, which prints the answer, and no results."""
    (tmp_path / "notebooks").mkdir()
    for name, folder in [("NOTEBOOKS", "notebooks"), ("BUILD", "build"), ("OWN_RESULTS", "own")]:
        monkeypatch.setattr(run, name, tmp_path / folder)
    monkeypatch.setattr(run, "PROJECT", tmp_path)
    monkeypatch.setattr(run, "TIMES", tmp_path / "times.json")
    monkeypatch.setattr(run, "SIMULATED_TIMES", tmp_path / "times_simulated.json")
    monkeypatch.setattr(opening, "SETUP", "1 + 1")

    def write(source):
        setup = nbformat.v4.new_code_cell("", metadata={"tags": ["setup"]})
        cells = [nbformat.v4.new_markdown_cell("# 1. Small"), setup, nbformat.v4.new_code_cell(source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "01_small.ipynb")
        return tmp_path

    return write


def test_run_executes_into_build_and_leaves_the_notebook_alone(small_project, monkeypatch, capsys):
    folder = small_project("print(6 * 7)")
    before = (folder / "notebooks" / "01_small.ipynb").read_bytes()
    monkeypatch.setattr(sys, "argv", ["run.py"])
    run.main()
    executed = nbformat.read(folder / "build" / "01_small.ipynb", as_version=4)
    assert executed.cells[2].outputs[0].text == "42\n"
    assert (folder / "notebooks" / "01_small.ipynb").read_bytes() == before
    assert re.search(r"1/1  01_small \.\.\. \d+ s", capsys.readouterr().out)


@pytest.mark.parametrize(
    "source, texts",
    [
        ("for share in (10, 99): print(f'\\r{share} %', end='')\nprint('\\r    \\r', end='')", []),
        ("print('\\r10 %\\r    \\rdone')", ["done\n"]),
        (
            "import time\nprint('\\r99 %', end='', flush=True)\ntime.sleep(1)\nprint('\\r    \\rdone', flush=True)",
            ["done\n"],
        ),
    ],
)
def test_stored_outputs_hold_no_remains_of_a_progress_bar(small_project, source, texts):
    path = small_project(source) / "notebooks" / "01_small.ipynb"
    notebook, _, _ = run.execute(path)
    assert [output.text for output in notebook.cells[2].outputs] == texts


def test_run_trains_from_the_beginning_after_an_interruption(small_project):
    folder = small_project("print(6 * 7)")
    weights = folder / "build" / "weights"
    (weights / "cnn.weights.backup").mkdir(parents=True)
    (weights / "cnn.weights.h5").touch()
    run.execute(folder / "notebooks" / "01_small.ipynb")
    assert [path.name for path in weights.iterdir()] == ["cnn.weights.h5"]


def test_run_ends_with_the_table_of_results(small_project, monkeypatch, capsys):
    folder = small_project("print(6 * 7)")
    monkeypatch.setattr(sys, "argv", ["run.py"])
    (folder / "own").mkdir()
    (folder / "own" / "reader.json").write_text('{"right": 7, "answers": [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]}')
    scores = [{"model": "knn", "split": "test", "seed": helpers.SEED, "accuracy": 0.75, "auc": 0.9}]
    scores.append(scores[0] | {"seed": helpers.SEED + 1, "accuracy": 0.5})
    (folder / "own" / f"{helpers.results_name()}.json").write_text(json.dumps(scores))
    run.main()
    shown = capsys.readouterr().out
    assert re.search(r"^reader +ten test images +0\.700$", shown, flags=re.MULTILINE)
    assert re.search(r"^knn +test +0\.750 +0\.900$", shown, flags=re.MULTILINE)
    assert shown.count("knn") == 1


def test_run_announces_the_time_of_the_last_run_on_such_images(small_project, monkeypatch, capsys):
    folder = small_project("print(6 * 7)")
    (folder / "times.json").write_text('{"01_small": 6000}')
    monkeypatch.setattr(sys, "argv", ["run.py", "--times"])
    monkeypatch.setattr(helpers, "QUICK", False)
    run.main()
    assert "about 1 min" in capsys.readouterr().out
    assert 0 < json.loads((folder / "times_simulated.json").read_text())["01_small"] < 60
    (folder / "times_simulated.json").write_text('{"01_small": 600}')
    monkeypatch.setattr(sys, "argv", ["run.py"])
    run.main()
    assert "about 10 min" in capsys.readouterr().out
    assert (folder / "times_simulated.json").read_text() == '{"01_small": 600}'


def test_times_are_kept_of_full_runs_only(small_project, monkeypatch):
    small_project("print(6 * 7)")
    monkeypatch.setattr(sys, "argv", ["run.py", "--times"])
    monkeypatch.setattr(helpers, "QUICK", True)
    with pytest.raises(SystemExit, match="full runs on simulated images"):
        run.main()


def test_run_says_in_a_sentence_which_notebook_failed(small_project, monkeypatch, capsys):
    folder = small_project("raise ValueError('no images here')")
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(SystemExit, match="ValueError: no images here\nThe cell begins with: raise ValueError"):
        run.main()
    assert "01_small" in capsys.readouterr().out
    assert not (folder / "build").exists()


def test_refresh_refuses_simulated_images(small_project, monkeypatch):
    folder = small_project("print(6 * 7)")
    before = (folder / "notebooks" / "01_small.ipynb").read_bytes()
    monkeypatch.setattr(sys, "argv", ["run.py", "--refresh"])
    with pytest.raises(SystemExit, match="real X-rays"):
        run.main()
    assert (folder / "notebooks" / "01_small.ipynb").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"PNEUMONIA_DATA": "phantoms"}, "These are figures of full runs"),
        ({"PNEUMONIA_DATA": "notebooks", "QUICK": "1"}, "These are figures of full runs"),
        ({"PNEUMONIA_DATA": "no-such-thing"}, 'PNEUMONIA_DATA is "no-such-thing"'),
    ],
)
def test_figures_of_notebook_7_are_never_those_of_other_images_or_quick_runs(settings, sentence):
    command = [sys.executable, "tools/measure_further.py", "exam"]
    settings = os.environ | {"QUICK": ""} | settings
    done = subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.strip().splitlines()[-1].startswith(sentence)
    assert "Traceback" not in done.stderr


def test_run_with_an_unknown_source_says_so(monkeypatch):
    monkeypatch.setenv("PNEUMONIA_DATA", "no-such-thing")
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(SystemExit, match='PNEUMONIA_DATA is "no-such-thing"'):
        run.main()


def test_changing_the_address_in_one_place_changes_badge_and_setup(tmp_path):
    path = next(iter(NOTEBOOKS))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = notebook.cells[0].source.replace(opening.REPOSITORY, "someone/else")
    notebook.cells[1].source = "old"
    opening.set_opening(notebook, path.name)
    assert notebook.cells[0].source == nbformat.read(path, as_version=4).cells[0].source
    assert opening.SETUP in [cell.source for cell in notebook.cells]


def test_tracked_files_hold_no_images():
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert not [name for name in listed.stdout.splitlines() if name.lower().endswith((".jpeg", ".jpg", ".npy", ".npz"))]
