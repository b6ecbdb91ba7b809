"""run.py executes the notebooks, measure.py measures what texts quote, publish.py writes it into them."""

import json
import os
import re
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import check_sentence

import helpers
from tools import measure, publish, run, trials

keras, layers = measure.keras, measure.layers
REAL = "notebooks"  # any folder stands for the real images as long as nobody reads one


def call(tool, *arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [tool.__file__, *arguments])
    tool.main()


@pytest.fixture
def write(own_project, monkeypatch):
    """A function that writes a notebook of one cell into a project of its own, and gives its path."""
    for name in ("NOTEBOOKS", "BUILD"):
        monkeypatch.setattr(run, name, own_project / name.lower())
    monkeypatch.setattr(run, "TIMES", own_project / "times.json")
    monkeypatch.setattr(run, "PROJECT", own_project)
    monkeypatch.setattr(publish, "setup_code", lambda: "1 + 1")

    def write_notebook(source, name="01_small.ipynb"):
        setup = nbformat.v4.new_code_cell("", metadata={"tags": ["setup"]})
        cells = [nbformat.v4.new_markdown_cell("# 1. Small"), setup, nbformat.v4.new_code_cell(source)]
        run.store(nbformat.v4.new_notebook(cells=cells), run.NOTEBOOKS / name)
        return run.NOTEBOOKS / name

    return write_notebook


def test_run_executes_into_build_from_the_beginning_and_ends_with_a_table(write, monkeypatch, capsys):
    path, weights = write("print(6 * 7)"), run.PROJECT / "build" / "weights"
    before = path.read_bytes()
    (weights / "cnn.weights.backup").mkdir(parents=True)  # of an interrupted training
    (weights / "cnn.weights.h5").touch()
    helpers.keep(helpers.own_path("_reader.json"), '{"right": 7, "answers": [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]}')
    scores = [{"model": "knn", "split": "test", "seed": helpers.SEED, "accuracy": 0.75, "auc": 0.9}]
    scores.append(scores[0] | {"seed": helpers.SEED + 1, "accuracy": 0.5})
    (helpers.OWN_RESULTS / f"{helpers.results_name()}.json").write_text(json.dumps(scores))
    call(run, monkeypatch=monkeypatch)
    executed = nbformat.read(run.BUILD / path.name, as_version=4)
    assert executed.cells[2].outputs[0].text == "42\n"
    assert path.read_bytes() == before and [kept.name for kept in weights.iterdir()] == ["cnn.weights.h5"]
    shown = capsys.readouterr().out
    assert re.search(r"1/1  01_small, about \d+ min left \.\.\. \d+ s", shown)
    assert re.search(r"^reader +ten test images +0\.700$", shown, flags=re.MULTILINE)
    assert re.search(r"^knn +test +0\.750 +0\.900$", shown, flags=re.MULTILINE)
    assert shown.count("knn") == 1


def test_refresh_stores_outputs_of_notebooks_and_solutions_and_times(write, monkeypatch):
    paths = [write("print(6 * 7)"), write("print(2 * 3)", "solutions/01_solutions.ipynb")]
    monkeypatch.setenv("PNEUMONIA_DATA", REAL)
    monkeypatch.setenv("PNEUMONIA_EXTERNAL", REAL)
    call(run, "--refresh", monkeypatch=monkeypatch)
    texts = [nbformat.read(path, as_version=4).cells[2].outputs[0].text for path in paths]
    assert texts == ["42\n", "6\n"]
    times = json.loads(run.TIMES.read_text())
    assert [*times] == ["01_small", "01_solutions"] and all(0 < seconds < 60 for seconds in times.values())


@pytest.mark.parametrize(
    "source, elsewhere, quick, words",
    [
        ("phantoms", REAL, False, "real X-rays"),
        (REAL, "phantoms", False, "of both hospitals"),
        (REAL, REAL, True, "full runs"),
        ("no-such-thing", REAL, False, 'PNEUMONIA_DATA is "no-such-thing"'),
    ],
)
def test_run_never_stores_simulated_or_quick_figures(write, monkeypatch, source, elsewhere, quick, words):
    path = write("print(6 * 7)")
    before = path.read_bytes()
    monkeypatch.setenv("PNEUMONIA_DATA", source)
    monkeypatch.setenv("PNEUMONIA_EXTERNAL", elsewhere)
    monkeypatch.setattr(helpers, "QUICK", quick)
    with pytest.raises(SystemExit, match=words):
        call(run, "--refresh", monkeypatch=monkeypatch)
    assert path.read_bytes() == before


def test_run_says_how_long_it_takes_and_at_a_terminal_in_which_cell_it_is(write, monkeypatch, capsys):
    write("print(6 * 7)")
    write("print(2 * 3)", "02_second.ipynb")

    def execute(path, on_cell):
        on_cell("cell", 4)
        return nbformat.v4.new_notebook(), 300

    monkeypatch.setattr(run, "execute", execute)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    seconds = {"loading prepared": [9.0], "notebook 01_small": [650, 600, 500], "notebook 02_second": [1200]}
    measure.store(run.BENCHMARK.name, {"figures": {task: {"seconds": rounds} for task, rounds in seconds.items()}})
    monkeypatch.setattr(run, "BENCHMARK", helpers.RESULTS / run.BENCHMARK.name)
    call(run, monkeypatch=monkeypatch)
    shown = capsys.readouterr().out
    assert "about 30 min on two cores" in shown and "\r1/2  01_small, cell 5, about 30 min left ... 300 s" in shown


def test_run_says_in_a_sentence_which_notebook_and_cell_failed(write, monkeypatch, capsys):
    write("raise ValueError('no images here')")
    with pytest.raises(SystemExit, match="ValueError: no images here\nThe cell begins with: raise ValueError"):
        call(run, monkeypatch=monkeypatch)
    assert "01_small" in capsys.readouterr().out
    assert not run.BUILD.exists()


def test_stored_outputs_hold_words_in_place_of_a_form_and_no_remains_of_a_progress_bar(write):
    notebook, _ = run.execute(write("import ipywidgets\ndisplay(ipywidgets.Box())"))
    assert notebook.cells[2].outputs[0].data == {"text/plain": "(The form works in a live notebook.)"}
    bar = "for share in (10, 99): print(f'\\r{share} %', end='', flush=True)\nimport time\ntime.sleep(0.5)\n"
    for end, texts in [("'\\r    \\rdone'", ["done\n"]), ("'\\r    \\r', end=''", [])]:
        notebook, _ = run.execute(write(f"{bar}print({end})"))
        assert [output.text for output in notebook.cells[2].outputs] == texts


@pytest.mark.parametrize("source, quick", [("phantoms", False), ("medmnist", False), (REAL, True), ("no-such", False)])
def test_measure_never_stores_other_figures_as_real_ones(own_project, tmp_path, monkeypatch, source, quick):
    monkeypatch.setenv("PNEUMONIA_DATA", source)
    monkeypatch.setattr(helpers, "QUICK", quick)
    for name in [name for name in measure.EXPERIMENTS if name != "seeds" or source == "no-such"]:
        with pytest.raises(SystemExit) as caught:
            call(measure, name, monkeypatch=monkeypatch)
        check_sentence(caught.value.code, tmp_path, "PNEUMONIA_DATA")
    assert not helpers.RESULTS.exists()


def test_what_is_scored_is_the_best_epoch(own_project):
    numbers, labels = np.linspace(0, 1, 32)[:, None], np.arange(32) // 16
    scores = []
    for epochs in (1, 4):  # what is learned is wrong for the validation images, so the first epoch is the best
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((1,)), layers.Dense(1, "sigmoid", kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(0.1), **measure.LOSS)
        scores.append(measure.fit(model, (numbers, labels), (numbers, 1 - labels), epochs))
    assert scores[0] == pytest.approx(scores[1])


def test_images_are_changed_at_random_as_strongly_as_asked():
    images = np.random.default_rng(0).random((3, 8, 8, 3)).astype("float32")
    seed = keras.random.SeedGenerator(0)
    assert np.allclose(trials.change(images, seed, framing=0, tilt=0, light=0), images, atol=1e-6)
    for only in ({"framing": 1}, {"tilt": 10}, {"light": 1}):
        changed = np.asarray(trials.change(images, seed, **({"framing": 0, "tilt": 0, "light": 0} | only)))
        assert np.abs(changed - images).max(axis=(1, 2, 3)).min() > 0.01 and 0 <= changed.min() <= changed.max() <= 1
    assert np.array_equal(trials.Change()(images), images)


@pytest.fixture
def small_trials(own_project, monkeypatch):
    """Few images, a small network, one seed."""
    table = trials.all_images.list_all_images().groupby(["split", "class"]).sample(20, random_state=0)
    table = table.reset_index(drop=True)
    monkeypatch.setattr(trials.all_images, "list_all_images", lambda: table)
    monkeypatch.setattr(trials, "load", trials.load.__wrapped__)
    monkeypatch.setattr(trials, "SEEDS", (3,))
    monkeypatch.setattr(helpers, "results_name", lambda: "kermany")

    def build(changes, size):
        return keras.Sequential([keras.Input((size, size, 3)), *changes, layers.Flatten(), layers.Dense(1, "sigmoid")])

    monkeypatch.setitem(trials.RECIPE, "build", build)
    some = ("AdamW, 8 epochs", "one image per patient, 4 epochs", "contrast equalised", "notebook 4")
    monkeypatch.setattr(trials, "TRIALS", {name: trials.TRIALS[name] | {"epochs": 1} for name in some})


def test_trials_that_are_stored_are_not_repeated(small_trials, monkeypatch):
    trials.store("trials.json", [{"recipe": "contrast equalised", "seed": 3, "mean": 0.5}])
    call(trials, monkeypatch=monkeypatch)
    rows = trials.sources.read_json(helpers.RESULTS / "trials.json")
    assert [row["recipe"] for row in rows] == [*trials.TRIALS] and rows[2]["mean"] == 0.5
    assert all(0 <= row[name] <= 1 for row in rows[:2] for name in ("yardstick", "disturbed", "mean", "specificity"))


def test_a_recipe_is_examined_beside_others(small_trials, monkeypatch):
    trials.store("further.json", {"notebook 7": {}})
    call(trials, "AdamW, 8 epochs", monkeypatch=monkeypatch)
    exams = trials.sources.read_json(helpers.RESULTS / "further.json")
    assert [*exams] == ["notebook 7", "AdamW, 8 epochs"] and [*exams["AdamW, 8 epochs"]] == ["3", "mean"]
    with pytest.raises(SystemExit, match="no recipe AdamX"):
        call(trials, "AdamX", monkeypatch=monkeypatch)


def test_an_exam_takes_its_threshold_from_the_yardstick():
    labels = np.arange(40) % 2
    p = np.where(labels == 1, np.arange(40) / 50, 0.3)
    table = pd.DataFrame({"index": range(40), "label": labels, "probability": p, "split": "yardstick"})
    answers = pd.concat([table, table.assign(split="test", probability=p + 0.2)])
    exam = trials.examine(answers, np.arange(40))
    assert exam["threshold"] == 0.06 and (exam["sensitivity"], exam["specificity"]) == (1, 0)
    assert exam["from"]["auc"] <= exam["auc"] <= exam["to"]["auc"]


@pytest.fixture
def fake_notebooks(write, monkeypatch):
    """Notebooks that are not executed: each keeps the results of a model, whose answers differ by seed."""

    def execute(path):
        seed, number, labels = int(os.environ["SEED"]), int(path.name[:2]), np.arange(10) % 2
        monkeypatch.setattr(helpers, "SEED", seed)
        monkeypatch.setattr(helpers, "QUICK", os.environ["QUICK"] == "1")
        p = 0.3 + 0.4 * labels * (np.arange(10) > seed)
        if number == 7:
            for split in ("yardstick, all images", "test, all images", "external"):
                helpers.save_result("vgg16_all", split, range(10), labels, p, 1.5, number)
        else:
            helpers.save_result("knn", "test", range(10), labels, p, 1.5, number)
        monkeypatch.setattr(helpers, "QUICK", False)
        return nbformat.v4.new_notebook(metadata={"seed": seed}), 1.0

    monkeypatch.setattr(run, "execute", execute)
    monkeypatch.setenv("QUICK", "0")
    monkeypatch.setenv("SEED", "0")
    measure.store("bands.json", {"kermany": {"old test": [0.5, 0.6]}, "kermany_quick": {"knn test": [0.1, 0.7]}})
    return write


def test_seeds_are_stored_beside_what_was_not_measured(fake_notebooks, monkeypatch):
    fake_notebooks("check_band(...)", "02_models.ipynb")
    fake_notebooks("look()", "03_other.ipynb")
    monkeypatch.setenv("PNEUMONIA_DATA", REAL)
    old = pd.DataFrame({"model": ["old", "knn"], "split": "test", "seed": 0, "auc": 0.5})
    (helpers.RESULTS / "kermany.json").write_text(old.to_json(orient="records"))
    old.to_csv(helpers.RESULTS / "kermany_predictions.csv", index=False)
    call(measure, "seeds", "02", monkeypatch=monkeypatch)
    runs = json.loads((helpers.RESULTS / "kermany.json").read_text())
    assert [(run["model"], run["seed"]) for run in runs] == [("old", 0), *(("knn", seed) for seed in measure.SEEDS)]
    answers = pd.read_csv(helpers.RESULTS / "kermany_predictions.csv")
    assert list(answers["model"]) == ["old"] + ["knn"] * 10 and set(answers["seed"]) == {0}
    bands = measure.sources.read_json(helpers.RESULTS / "bands.json")
    assert [*bands] == ["kermany", "kermany_quick"] and "old test" in bands["kermany"]
    assert bands["kermany"]["knn test"] == [round(min(run["auc"] for run in runs[1:]) - 0.03, 3), 1]
    assert bands["kermany_quick"]["knn test"] == [0.1, 1]
    with pytest.raises(SystemExit, match="No notebook 03"):
        call(measure, "seeds", "03", monkeypatch=monkeypatch)


def test_the_exam_stores_notebook_7_and_what_it_answered(fake_notebooks, monkeypatch):
    path = fake_notebooks("examine()", "07_exam.ipynb")
    monkeypatch.setenv("PNEUMONIA_DATA", REAL)
    table = pd.DataFrame({"patient": [f"child {n // 2}" for n in range(10)]})
    monkeypatch.setattr(measure.all_images, "list_all_images", lambda: table)
    measure.store("further.json", {"AdamW, 8 epochs": {}})
    call(measure, "exam", monkeypatch=monkeypatch)
    exams = json.loads((helpers.RESULTS / "further.json").read_text())
    assert [*exams] == ["AdamW, 8 epochs", "notebook 7"] and [*exams["notebook 7"]] == ["0", "1", "2", "mean"]
    assert exams["notebook 7"]["0"]["accuracy"] == 1
    assert nbformat.read(path, as_version=4).metadata["seed"] == 0
    kept = pd.read_csv(helpers.RESULTS / "kermany_predictions.csv")  # for the envelopes of notebook 8
    assert set(kept["split"]) == {"external"} and list(kept["seed"]) == [0] * 10


@pytest.fixture
def own_address(tmp_path, monkeypatch):
    """A function that gives a repository of the test's own an `origin`."""
    monkeypatch.setattr(publish, "CITATION", tmp_path / "CITATION.cff")
    monkeypatch.setattr(publish, "PROJECT", tmp_path)
    publish.CITATION.write_text("title: Course\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)

    def set_origin(address):
        subprocess.run(["git", "config", "remote.origin.url", address], cwd=tmp_path, check=True)
        publish.take_origin()

    return set_origin


@pytest.mark.parametrize(
    "origin, repository",
    [
        ("https://github.com/some-one/x.ray_course.git", "some-one/x.ray_course"),
        ("git@github.com:some-one/course.git", "some-one/course"),
        ("ssh://git@github.com/some-one/course/", "some-one/course"),
        ("https://name:secret@github.com/some-one/course.git", "some-one/course"),
        ("https://example.org/some-one/course.git", ""),
    ],
)
def test_the_address_is_that_of_the_own_origin(own_address, origin, repository):
    own_address(origin)
    assert publish.read_repository() == repository
    kept = f"repository-code: https://github.com/{repository}\n" if repository else ""
    assert publish.CITATION.read_text() == "title: Course\n" + kept
    assert repository in publish.setup_code() and "your_organisation" not in publish.setup_code()


def test_badges_lead_to_the_address_and_a_second_one_replaces_the_first(own_address):
    readme = publish.README.read_text(encoding="utf-8")
    texts = [publish.with_badges(readme)]
    for name in ("first", "second"):
        own_address(f"https://github.com/owner/{name}.git")
        texts.append(publish.with_badges(texts[-1]))
    assert publish.NO_ADDRESS in texts[0] and not re.search(r"\[!\[|owner/", texts[0])
    count = 1 + len([*publish.NOTEBOOKS.glob("*.ipynb")])
    for name, text in zip(("first", "second"), texts[1:], strict=True):
        pages = re.findall(r"\[!\[Open in (\w+)\]\([^)]+\)\]\((https://[^)]+)\)", text)
        assert [place for place, _ in pages] == ["Colab", "Kaggle", "Binder"] * count
        assert all(f"owner/{name}/" in page and page.endswith(".ipynb") for _, page in pages)
        assert publish.NO_ADDRESS not in text
    assert re.sub("(owner|github.io)/first", r"\1/second", texts[1]) == texts[2]


@pytest.mark.parametrize("origin", ["", "https://github.com/owner/course"])
def test_the_setup_cell_finds_the_course_or_says_what_to_do(own_address, tmp_path, monkeypatch, origin):
    own_address(origin)
    code, away, fetched = publish.setup_code(), tmp_path / "away", []
    away.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(helpers, "describe_setup", lambda: fetched.append("described"))
    monkeypatch.setattr(subprocess, "run", lambda command, check: fetch(command))

    def fetch(command):
        fetched.append(command[-2])
        (away / command[-1] / "data").mkdir(parents=True)
        (away / command[-1] / "data" / "metadata.csv").touch()

    def run_cell(folder):
        monkeypatch.chdir(folder)
        exec(code, {})  # noqa: S102  the cell that students run

    run_cell(publish.NOTEBOOKS)
    assert fetched == ["described"]
    if origin:
        for _ in range(2):  # the second time it is there
            run_cell(away)
        assert fetched == ["described", origin, "described", "described"]
    else:
        with pytest.raises(FileNotFoundError, match="in the folder of the course"):
            run_cell(away)


def test_publish_writes_tables_picture_and_the_new_address_everywhere(write, own_address, tmp_path, monkeypatch):
    own_address("https://github.com/someone/else")
    path, old = write("print(6 * 7)"), publish.badges("01_small.ipynb")
    path.write_text(path.read_text().replace("# 1. Small", f"# 1. Small\\n\\n{old}\\n\\n**Why?**"))
    subprocess.run(["git", "config", "remote.origin.url", "git@github.com:owner/new.git"], cwd=tmp_path, check=True)
    page = "<!-- address: a -->\nx\n<!-- end of address -->\n<!-- results: r -->\nold\n<!-- end of results -->\nafter\n"
    for name in ("README", "MODEL_CARD"):
        monkeypatch.setattr(publish, name, tmp_path / f"{name}.md")
        (tmp_path / f"{name}.md").write_text(page)
    stand_in = {"PICTURE": tmp_path / "results.png", "NOTEBOOKS": run.NOTEBOOKS, "find_notebooks": lambda: [path]}
    stand_in |= {"results_table": lambda: "| 1 |", "model_card_table": lambda: "| 2 |", "figures": lambda: {"knn": {}}}
    stand_in |= {"draw_picture": lambda figures: str(figures).encode(), "THUMBNAILS": tmp_path / "thumbnails.webp"}
    for name, value in stand_in.items():
        monkeypatch.setattr(publish, name, value)
    publish.main()
    site = "https://owner.github.io/new/"
    new = f"{publish.badges('01_metadata.ipynb')} [Site]({site}) [Slides]({site}slides/)"
    assert "owner/new/" in new
    assert publish.README.read_text() == page.replace("x", new).replace("old", "| 1 |")
    assert publish.MODEL_CARD.read_text() == page.replace("old", "| 2 |")
    assert publish.PICTURE.read_bytes() == b"{'knn': {}}" and not publish.THUMBNAILS.exists()  # simulated images
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].source == f"# 1. Small\n\n{publish.badges('01_small.ipynb')}\n\n**Why?**"
    assert cells[1].source == "1 + 1"
