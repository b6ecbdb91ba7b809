"""Whatever figure a text quotes is the measured one, and what README, Makefile and requirements say is there."""

import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import PurePosixPath

import nbformat
import pandas as pd
import pytest
from conftest import PROJECT
from PIL import Image

import helpers
from data import sources
from tools import publish

README = (PROJECT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DATA_CARD = (PROJECT / "data" / "README.md").read_text(encoding="utf-8")
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
WORKFLOWS = PROJECT / ".github" / "workflows"
JOBS = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS.glob("*.yml"))
SERIES = sorted(publish.NOTEBOOKS.glob("*.ipynb"))
CELLS = [cell for path in SERIES for cell in nbformat.read(path, as_version=4).cells]
NOTEBOOKS = "\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")
LOCKS = [(PROJECT / folder / "requirements.lock").read_text(encoding="utf-8") for folder in (".", "tests")]
SPLITS = ("validation", "test", "field", "external")
SEEDS = {"kermany": (0, 1, 2), "phantoms": (0,)}


def in_a_row(text):
    return " ".join(text.split())


def stored(name):
    return json.loads((PROJECT / "results" / f"{name}.json").read_text(encoding="utf-8"))


def short(figure):
    """.974 for 0.9737."""
    return f"{figure:.3f}".removeprefix("0")


# --- what README and the other texts name ----------------------------------------------------------------------------


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", README + CONTRIBUTING))
    assert {"run", "test", "refresh"} <= named <= targets


@pytest.mark.parametrize("text", [README, CONTRIBUTING, JOBS], ids=["README", "CONTRIBUTING", "workflows"])
def test_every_path_that_is_named_exists(text):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    files = re.findall(r"(?<![\w/])(?:data|docs|notebooks|results|tests|tools)/[\w./-]*\w", text)
    to_come = f"/{len(SERIES) + 1:02}_"  # the notebook that a newcomer may add
    made = {"data/cache", "results/own"}  # by the first run
    named = {name for name in links + files if to_come not in name} - made
    assert len(named) > 4
    assert sorted(name for name in named if not (PROJECT / name).exists()) == []


def test_readme_lists_every_notebook_with_its_badge_and_its_solutions():
    for path in SERIES:
        row = re.search(rf"^\|.*\(notebooks/{path.name}\).*$", README, flags=re.MULTILINE)[0]
        assert publish.badges(path.name) in row
        for solution in publish.NOTEBOOKS.glob(f"solutions/{path.name[:2]}_*.ipynb"):
            assert f"(notebooks/solutions/{solution.name})" in row


def test_readme_and_data_card_name_every_source():
    assert all(f"`{name}`" in text for name in {"auto", *sources.SOURCES} - {"folder"} for text in (README, DATA_CARD))


# --- figures that texts quote ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, table",
    [
        pytest.param(publish.README, publish.results_table, id="README"),
        pytest.param(publish.MODEL_CARD, publish.model_card_table, id="model card", marks=pytest.mark.slow),
    ],
)
def test_tables_of_results_are_not_stale(path, table):
    text = path.read_text(encoding="utf-8")
    assert publish.with_table(text, "results", table()) == text


def test_picture_of_results_is_not_stale_and_has_alternative_text():
    with Image.open(publish.PICTURE) as picture:
        assert json.loads(picture.text["Figures"]) == publish.figures()
    alt = re.search(r"!\[([^\]]+)\]\(docs/results\.png\)", README)[1]
    assert len(alt.split()) > 20 and alt.endswith(".")
    assert all(split in alt for split in SPLITS)


def test_a_notebook_quotes_every_measured_change():
    for change, auc in [*stored("tinkering").items(), *stored("ablation").items()]:
        assert f"| {change} | {auc:.3f} |" in NOTEBOOKS


def test_the_exam_on_all_images_is_quoted_as_measured():
    names, text, further = ["accuracy", "auc", "sensitivity", "specificity"], in_a_row(NOTEBOOKS), stored("further")
    trainings = {"AdamW, 8 epochs": "8, GPU", "AdamW, 16 epochs": "16, GPU", "notebook 7": "16, two cores"}
    for run, words in trainings.items():
        for seed, exam in further[run].items():
            assert f"| {words} | {seed} | {' | '.join(short(exam[name]) for name in names)} |" in NOTEBOOKS
    tables = [pd.DataFrame(further[run]).T.loc[["0", "1", "2"], names[:2]].astype(float) for run in trainings]
    means = [[short(mean) for mean in table.mean()] for table in tables]
    _, on_gpu, own = [[f"{short(scores.min())} to {short(scores.max())}" for _, scores in of.items()] for of in tables]
    assert "accuracies of {} and AUCs of {}.".format(*on_gpu) in in_a_row(README)
    assert "accuracies of {} and AUCs of {}, those on the GPU of {} and of {}.".format(*own, *on_gpu) in text
    kinds = ("the same, 8 epochs", "on a GPU, mean of three seeds", "on two cores, mean of three seeds")
    assert all(f"{kind} | 64 | {' | '.join(mean)} |" in NOTEBOOKS for kind, mean in zip(kinds, means, strict=True))
    assert "accuracy {} and AUC {}, the means of three seeds".format(*means[2]) in in_a_row(README)
    above = [short(further["notebook 7"]["0"][name]) for name in names[:2]]
    assert f"| the training above, threshold frozen on the yardstick | 64 | {' | '.join(above)} |" in NOTEBOOKS
    earlier = [further[f"notebook 7, 8 epochs, {numbers} numbers"] for numbers in ("long", "short")]
    words = "had {} and {}, lower than all of the table, and one in short numbers {} and {}."
    assert words.format(*(short(exam[name]) for exam in earlier for name in names[:2])) in text


def test_notebook_7_quotes_its_trials_as_measured():
    trials = pd.DataFrame(stored("trials")).groupby("recipe").mean().map(short)
    validation, mean, held = trials["validation"], trials["mean"], trials["specificity"]
    quotes = [f"an AUC of {validation['images as they are']} on the images as they are"]
    quotes.append(f"{validation['notebook 3']} to {validation['notebook 3, framing']}, and its")
    long, cured = "notebook 3, 45 epochs", "notebook 3, framing, 45 epochs"
    quotes.append(f"{mean[cured]} instead of {mean[long]}, and {held[cured]} on the yardstick instead of {held[long]}")
    quotes.append(f"{mean['notebook 4, all changes']} against {mean['notebook 4']}")
    quotes.append(f"leaves {held['notebook 4, all changes']} of the healthy in peace instead of {held['notebook 4']}")
    assert all(quote in in_a_row(NOTEBOOKS) for quote in quotes)


def test_data_card_quotes_the_measured_figures_of_the_phantoms():
    measured = stored("phantom_realism")
    accuracies = [publish.figures(images) for images in ("phantoms", "kermany")]
    for model, title in [("knn", "nearest"), ("logistic_regression", "logistic"), ("cnn", "convolutional")]:
        row = re.search(rf"^\| {title}.*$", DATA_CARD, flags=re.MULTILINE)[0]
        parts = [of_models[model][split] for of_models in accuracies for split in ("validation", "test")]
        assert row.endswith("| " + " | ".join(f"{figure:.3f}" for figure in parts) + " |")
    singles = ("auc_on_real_test_after_training_on_phantoms", "border_val_accuracy", "brightness_auc_train")
    assert all(f"{figure:.3f}" in DATA_CARD for name in singles for figure in measured[name].values())


# --- results agree with each other -----------------------------------------------------------------------------------


@pytest.mark.parametrize("images", ["kermany", "phantoms"])
def test_results_hold_every_model_and_split(images):
    results = stored(images)
    scores = set(helpers.score([0, 1], [0.2, 0.8]))
    assert all(set(run) == {"model", "split", "seed", "seconds", "notebook"} | scores for run in results)
    expected = {(model, split, seed) for model in helpers.MODELS for split in SPLITS for seed in SEEDS[images]}
    assert {(run["model"], run["split"], run["seed"]) for run in results} == expected


@pytest.mark.parametrize("images", ["kermany", "phantoms"])
def test_stored_predictions_give_the_stored_scores(images):
    table = pd.read_csv(sources.TABLE)
    training, validation = helpers.split_by_patient(table)
    held_out = table[table["split"] == "train"].iloc[validation]
    images_of = {split: table[table["split"] == split] for split in ("test", "field")} | {"validation": held_out}
    elsewhere = pd.read_csv(PROJECT / "data" / "other_hospital.csv")
    predictions = pd.read_csv(PROJECT / "results" / f"{images}_predictions.csv").groupby(["model", "split"])
    for run in [run for run in stored(images) if run["seed"] == 0]:
        rows = predictions.get_group((run["model"], run["split"]))
        if run["split"] == "external":
            assert list(rows["index"]) == list(range(len(rows))) and rows["label"].is_monotonic_increasing
            assert images == "phantoms" or list(rows["label"]) == list(elsewhere["class"])
        else:
            expected = images_of[run["split"]]
            assert list(rows["index"]) == list(expected["index"]) and list(rows["label"]) == list(expected["class"])
        scores = helpers.score(rows["label"], rows["probability"])
        assert {name: run[name] for name in scores} == pytest.approx(scores)


def test_notebooks_quote_the_sizes_of_files_and_the_scores_of_every_seed():
    sizes = stored("original_sizes")
    words = f"{sizes['images']:,} files of the train folder that number alone has an AUC of {short(sizes['pixels'])}"
    assert f"{words}, and the shape, width over height, one of {short(sizes['shape'])}." in in_a_row(NOTEBOOKS)
    runs, text = pd.DataFrame(stored("kermany")).sort_values("seed"), in_a_row(NOTEBOOKS)

    def of_seeds(model, split, score="auc"):
        return runs.query("model == @model and split == @split")[score].map(short).tolist()

    tests = {model: of_seeds(model, "test") for model in ("cnn", "vgg16")}
    accuracies = {model: of_seeds(model, "test", "accuracy") for model in ("cnn", "vgg16")}
    assert f"AUCs of {' and '.join(tests['cnn'][1:])} and accuracies of {' and '.join(accuracies['cnn'][1:])}" in text
    low, high = min(of_seeds("cnn", "validation")), max(of_seeds("cnn", "validation"))
    assert f"three seeds of the first row lie between {low} and {high}" in text
    vgg16, cnn = (f"{min(tests[model])} to {max(tests[model])}" for model in ("vgg16", "cnn"))
    assert f"{vgg16} against {cnn}" in text
    assert f"VGG16 has {', '.join(accuracies['vgg16'][:2])} and {accuracies['vgg16'][2]}, the CNN up to" in text
    card = in_a_row(publish.MODEL_CARD.read_text(encoding="utf-8"))
    for place, words, model, split in [
        (text, "without it", "vgg16", "field"),
        (text, "with it", "vgg16_augmented", "field"),
        (text, "notebook 4 stand at", "vgg16", "validation"),
        (text, "VGG16 stands at", "vgg16", "external"),
        (text, "prepared CNN, with", "cnn_augmented", "external"),
        (card, "AUCs of", "vgg16_augmented", "field"),
        (card, "field images and of", "vgg16_augmented", "test"),
    ]:
        first, second, third = of_seeds(model, split)
        assert f"{words} {first}, {second} and {third}" in place


def test_bands_hold_the_stored_results_and_all_notebooks_have_times():
    assert set(stored("times")) == {path.stem for path in publish.find_notebooks()}
    bands = stored("bands")
    assert set(bands) == {"kermany", "kermany_quick", "phantoms"}
    names = {f"{model} {split}" for model in helpers.MODELS for split in SPLITS[:3]}
    assert all(set(of_images) == names for of_images in bands.values())
    for images in ("kermany", "phantoms"):
        for run in [run for run in stored(images) if run["split"] != "external"]:
            lowest, highest = bands[images][f"{run['model']} {run['split']}"]
            assert 0.5 < lowest < run["auc"] < highest <= 1
            assert highest - lowest < 0.2


def test_the_recipe_of_notebook_4_is_the_best_on_validation_patients():
    runs = pd.DataFrame(stored("vgg16_recipes"))
    rounded, runs = [runs[runs["precision"].eq("float32") == in_float32] for in_float32 in (False, True)]
    taken = runs["recipe"] == "all at once, the article's"
    aucs = runs[taken].set_index("seed")["auc"]
    assert list(aucs.index) == list(range(10)) and aucs.min() > 0.98
    gentle = runs.loc[~taken, "auc"]
    article, others = (f"{short(a.min())} to {short(a.max())}{{}}, mean {short(a.mean())}" for a in (aucs, gentle))
    words = f"{article.format(' on the validation patients')}; six more of the gentle one {others.format('')}"
    assert words in in_a_row(NOTEBOOKS) and len(gentle) == 6 and aucs.mean() > gentle.mean()
    in_short, in_long = ("{}, {} and {}".format(*map(short, of_three)) for of_three in (rounded["auc"], aucs[:3]))
    assert f"AUCs of {in_short} in short numbers and of {in_long} in long ones" in in_a_row(NOTEBOOKS)


def test_notebook_3_quotes_every_recipe_that_was_tried():
    runs = pd.DataFrame(stored("cnn_recipes"))
    for name, scores in runs.groupby("recipe")[["auc", "accuracy", "loss"]].mean().iterrows():
        row = re.search(rf"^\|[^|]*{re.escape(name)}.*$", NOTEBOOKS, flags=re.MULTILINE)[0]
        assert all(f"{figure:.3f}" in row for figure in scores), row


# --- requirements and files ------------------------------------------------------------------------------------------


def pins(text):
    """{package: version} of the lines NAME==VERSION."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ \n]+)", text, flags=re.MULTILINE))


def test_tests_run_on_the_packages_of_the_course_and_the_course_needs_none_of_theirs():
    course, tests = map(pins, LOCKS)
    assert {name: version for name, version in tests.items() if course.get(name, version) != version} == {}
    assert course.keys() & pins((PROJECT / "tests" / "requirements.txt").read_text(encoding="utf-8")).keys() == set()


def test_the_licence_of_every_package_is_listed_and_none_forbids_what_the_course_does():
    page = (PROJECT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w.*?) *\| (.*?) *\| (.*?) *\|$", page, flags=re.MULTILINE)
    listed = {re.sub("[._]", "-", name).lower(): (version, licence) for name, version, licence in rows[1:]}
    for lock in LOCKS:
        everywhere = dict(re.findall(r"^([a-z0-9-]+)==([^ \n]+) \\$", lock, flags=re.MULTILINE))
        assert {name: version for name, version in everywhere.items() if listed.get(name, [""])[0] != version} == {}
    unknown = [name for name, (_, licence) in listed.items() if licence == "UNKNOWN"]
    assert all(f"`{name}`" in page.split("| Name")[0] for name in unknown)
    assert [name for name, (_, licence) in listed.items() if re.search("GPL|GNU|Proprietary|Commercial", licence)] == []


# --- what others need: licences, citation, workflows, hosted notebooks ------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *sorted(WORKFLOWS.glob("*.yml"))],
        ["check-jsonschema", "--builtin-schema", "vendor.citation-file-format", PROJECT / "CITATION.cff"],
        ["zizmor", "--offline", "--no-progress", "--persona", "pedantic", WORKFLOWS],
    ],
    ids=["workflows", "citation", "zizmor"],
)
def test_workflows_and_citation_pass_their_checkers(command):
    program = shutil.which(command[0], path=sysconfig.get_path("scripts"))
    checked = subprocess.run([program, *map(str, command[1:])], capture_output=True, text=True, encoding="utf-8")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_binder_kaggle_and_the_dev_container_use_what_is_there():
    needs = (PROJECT / ".binder" / "requirements.txt").read_text(encoding="utf-8").split()
    assert needs == ["-r", "../requirements.lock"]
    assert "-r data/vgg16-weights.txt" in (PROJECT / ".binder" / "postBuild").read_text(encoding="utf-8")
    container = json.loads((PROJECT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["postCreateCommand"] == "make .venv/ready"
    kernel = json.loads((PROJECT / ".kaggle" / "kernel-metadata.json").read_text(encoding="utf-8"))
    assert (PROJECT / ".kaggle" / kernel["code_file"]).resolve() in SERIES
    (images,) = kernel["dataset_sources"]
    assert images in (PROJECT / "data" / "sources.py").read_text(encoding="utf-8")


def test_tracked_files_hold_no_images_and_no_copies_of_weights():
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = [PurePosixPath(name) for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]
    kinds = (".jpeg", ".jpg", ".npy", ".npz", ".h5", ".onnx", ".zip")
    assert [name for name in tracked if name.suffix.lower() in kinds] == []
    assert {str(name.parent) for name in tracked if name.suffix.lower() == ".png"} <= {"docs"}  # charts
    assert {str(name) for name in tracked if name.suffix.lower() == ".webp"} <= {"docs/thumbnails.webp"}
    with Image.open(publish.THUMBNAILS) as picture:  # every fourth test image, as the page of thresholds counts
        assert picture.size == (64 * 100, 64) and publish.THUMBNAILS.stat().st_size < 100_000
