import io
import json
import re
import types

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from PIL import Image

import helpers
import sources

LOADERS = {"train": helpers.get_train_data, "test": helpers.get_test_data, "field": helpers.get_field_data}
COUNTS = {"train": 2000, "test": 400, "field": 400}


@pytest.fixture(autouse=True)
def noise_films(drawn):
    """Every film is noise: phantoms take longer, and here only their place counts."""
    yield
    plt.close("all")


@pytest.fixture
def real_films(tmp_path, monkeypatch):
    """The source is a folder of real films (which no test here reads)."""
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path))


FILM = np.linspace(0, 1, 64 * 64 * 3, dtype=np.float32).reshape(64, 64, 3)
FILMS = np.stack([FILM, FILM[::-1], FILM[:, ::-1]])


# --- films and their table --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("split", LOADERS)
def test_films_and_labels_have_the_form_promised(split, flatten):
    films, labels = LOADERS[split](flatten=flatten)
    assert films.shape == (COUNTS[split], *([64 * 64 * 3] if flatten else [64, 64, 3]))
    assert films.dtype == np.float32 and films.min() >= 0 and films.max() <= 1
    grey = films.reshape(-1, 64, 64, 3)
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()
    metadata = helpers.get_metadata()
    assert labels.dtype.kind == "i" and labels.shape == (COUNTS[split],)
    assert labels.tolist() == metadata[metadata["split"] == split]["class"].tolist()


@pytest.mark.parametrize("split", ["train", "test"])
def test_films_stand_in_the_order_of_the_table(split):
    films = LOADERS[split]()[0]
    metadata = helpers.get_metadata()
    rows = metadata[metadata["split"] == split]["index"]
    assert np.array_equal(np.rint(films[..., 0] * 255), sources.load_films()[rows])


def test_field_films_are_the_same_on_every_call():
    first = helpers.get_field_data()[0]
    np.random.seed(1)
    assert np.array_equal(helpers.get_field_data()[0], first)


def test_field_films_are_disturbed_by_their_index():
    films = helpers.get_field_data()[0][..., 0]
    metadata = helpers.get_metadata()
    rows = metadata[metadata["split"] == "field"]["index"].to_numpy()
    plain = sources.load_films()[rows] / np.float32(255)
    assert (np.abs(films - plain).mean(axis=(1, 2)) > 0.01).all()
    for position in (0, 57, 399):
        assert np.array_equal(films[position], helpers.disturb(plain[position], rows[position]))


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_disturbed_films_stay_in_range(value):
    for seed in range(30):
        film = helpers.disturb(np.full((64, 64), value, np.float32), seed)
        assert film.shape == (64, 64) and film.dtype == np.float32
        assert np.isfinite(film).all() and film.min() >= 0 and film.max() <= 1


def test_disturbance_depends_on_the_seed_alone():
    film = FILM[..., 0]
    assert np.array_equal(helpers.disturb(film, 7), helpers.disturb(film, 7))
    assert len({helpers.disturb(film, seed).tobytes() for seed in range(20)}) == 20
    assert film[0, 0] == 0 and film[-1, -1] > 0.99  # the film given is left as it was


def test_disturbance_turns_by_at_most_twenty_degrees_and_shears_little():
    bar = np.zeros((64, 64), np.float32)
    bar[:, 29:35] = 1
    angles = []
    for seed in range(40):
        rows, columns = np.nonzero(helpers.disturb(bar, seed) > 0.5)
        angles.append(np.rad2deg(np.arctan(np.polyfit(rows, columns, 1)[0])))
    assert np.abs(angles).max() <= 20 + np.rad2deg(0.15) + 1
    assert min(angles) < -8 and max(angles) > 8


@pytest.fixture
def parts():
    metadata = helpers.get_metadata()
    train = metadata[metadata["split"] == "train"].reset_index(drop=True)
    fit, validation = helpers.split_by_patient(metadata)
    return train, fit, validation


def test_no_patient_is_in_both_parts_of_the_training_films(parts):
    train, fit, validation = parts
    assert not set(train["patient"][fit]) & set(train["patient"][validation])


def test_the_two_parts_hold_every_training_film_once(parts):
    _, fit, validation = parts
    assert sorted([*fit, *validation]) == list(range(2000))
    assert fit.dtype.kind == validation.dtype.kind == "i"
    assert len(validation) == pytest.approx(400, abs=60)


def test_both_parts_hold_the_classes_in_the_same_proportion(parts):
    train, fit, validation = parts
    assert abs(train["class"][fit].mean() - train["class"][validation].mean()) < 0.05


def test_the_validation_films_are_those_of_the_stored_predictions():
    metadata = helpers.get_metadata()
    _, validation = helpers.split_by_patient(metadata)
    stored = pd.read_csv(PROJECT / "results" / "kermany_predictions.csv")
    stored = stored[(stored["model"] == "knn") & (stored["split"] == "validation")]
    assert set(metadata[metadata["split"] == "train"]["index"].iloc[validation]) == set(stored["index"])


def test_the_parts_are_the_same_on_every_call(parts):
    np.random.seed(1)
    again = helpers.split_by_patient(helpers.get_metadata())
    assert np.array_equal(parts[1], again[0]) and np.array_equal(parts[2], again[1])


def test_the_setup_line_names_versions_and_films(capsys, monkeypatch):
    monkeypatch.setattr(helpers, "version", lambda name: "1.2.3")
    monkeypatch.setattr(helpers, "QUICK", False)
    helpers.describe_setup()
    versions, films = capsys.readouterr().out.splitlines()
    assert re.match(r"Python 3\.\d+\.\d+, numpy 1\.2\.3, .*keras 1\.2\.3$", versions)
    assert films == "Films: simulated films (phantoms), not patients"


def test_the_setup_lines_say_when_a_run_is_quick(capsys, monkeypatch):
    monkeypatch.setattr(helpers, "QUICK", True)
    helpers.describe_setup()
    assert capsys.readouterr().out.splitlines()[2].startswith("Quick run: fewer films and epochs")


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "index", "title"),
    [
        (None, None, "simulated"),
        ([0, 1, 0], None, "healthy, simulated"),
        ([0, 1, 0], 1, "pneumonia, film 1, simulated"),
        (None, 2, "film 2, simulated"),
        (np.array([[0], [1], [1]]), np.int64(2), "pneumonia, film 2, simulated"),
    ],
)
@pytest.mark.parametrize("flat", [False, True])
def test_title_of_a_film_names_class_index_and_simulation(labels, index, title, flat):
    ax = helpers.plot_one_image(FILMS.reshape(3, -1) if flat else FILMS, labels, index)
    assert ax.get_title() == title
    assert np.array_equal(ax.images[0].get_array(), FILMS[index or 0])
    assert not ax.axison


def test_title_of_a_real_film_names_no_simulation(real_films):
    assert helpers.plot_one_image(FILMS, [0, 1, 0], 1).get_title() == "pneumonia, film 1"
    assert helpers.plot_one_image(FILMS).get_title() == ""


def test_one_film_alone_is_drawn():
    assert helpers.plot_one_image(FILM, 1).get_title() == "pneumonia, simulated"


def test_a_film_is_drawn_into_the_axes_given():
    ax = plt.subplots(1, 2)[1][1]
    assert helpers.plot_one_image(FILMS, index=1, ax=ax) is ax and len(ax.images) == 1


@pytest.mark.parametrize("shape", [(64, 64), (28, 28, 3), (3, 64, 64), (3, 64, 64, 1), (5, 100), (12288,), ()])
def test_data_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError) as caught:
        helpers.plot_one_image(np.zeros(shape))
    assert str(caught.value) == f"films have shape (N, 64, 64, 3), (N, 12288) or (64, 64, 3); these have {shape}"
    assert plt.get_fignums() == []


@pytest.mark.parametrize("index", [-1, 3, 2800])
def test_an_index_without_a_film_is_refused(index):
    with pytest.raises(IndexError) as caught:
        helpers.plot_one_image(FILMS, index=index)
    assert str(caught.value) == f"there is no film {index}: the indices go from 0 to 2"


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 5)), (5, (1, 5)), (6, (2, 5)), (10, (2, 5))])
def test_films_are_drawn_in_rows(count, shape):
    films = np.stack([FILM] * count)
    axes = helpers.plot_films(films, titles=[f"film {number}" for number in range(count)])
    assert axes.shape == shape
    assert [ax.get_title() for ax in axes.flat if ax.images] == [f"film {number}" for number in range(count)]
    assert not any(ax.axison for ax in axes.flat)


def test_films_need_no_titles():
    assert helpers.plot_films(FILMS, columns=2).shape == (2, 2)


def test_figure_of_the_splits_names_their_sizes():
    ax = helpers.plot_splits(helpers.get_metadata())
    shown = " ".join(text.get_text() for text in ax.texts)
    assert sum(int(number.replace(",", "")) for number in re.findall(r"([\d,]+) films", shown)) == 2800
    assert ax.get_xlabel() == "number of films" and ax.get_ylabel() == "split"


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: pairs of the object and its metadata."""
    displayed = []
    monkeypatch.setattr("IPython.display.display", lambda what, metadata=None: displayed.append((what, metadata)))
    return displayed


MARK = "Simulated films, not patients"


def test_a_figure_of_phantoms_says_so_and_has_a_text(shown):
    figure = plt.figure()
    helpers.show_figure("Two lungs.")
    assert shown == [(figure, {"image/png": {"alt": f"{MARK}. Two lungs."}})]
    assert [text.get_text() for text in figure.texts] == [MARK]
    assert plt.get_fignums() == []


def test_a_figure_without_films_has_only_its_text(shown):
    figure = plt.figure()
    helpers.show_figure("Counts.", films=False)
    assert shown[0][1] == {"image/png": {"alt": "Counts."}} and figure.texts == []


def test_a_figure_of_real_films_has_only_its_text(shown, real_films):
    figure = plt.figure()
    helpers.show_figure("Two lungs.")
    assert shown[0][1] == {"image/png": {"alt": "Two lungs."}} and figure.texts == []


def test_the_mark_of_phantoms_is_inside_the_picture_that_jupyter_stores(shown):
    def height():
        file = io.BytesIO()
        figure.savefig(file, bbox_inches="tight")  # as Jupyter does
        return Image.open(file).height

    helpers.plot_films(FILMS)
    figure = plt.gcf()
    before = height()
    helpers.show_figure("Three films.")
    assert height() > before + 8


# --- the reader as a model --------------------------------------------------------------------------------------------


def test_the_form_has_one_unanswered_choice_per_film(shown):
    buttons = helpers.ask_reader(FILMS)
    assert [button.value for button in buttons] == [None, None, None]
    assert [button.options for button in buttons] == [(("healthy", 0), ("pneumonia", 1))] * 3
    (box, _), *more = shown
    assert more == [] and len(box.children) == 3
    for child, button in zip(box.children, buttons, strict=True):
        assert bytes(child.children[1].value).startswith(b"\x89PNG") and child.children[2] is button


def buttons(*values):
    return [types.SimpleNamespace(value=value) for value in values]


@pytest.mark.parametrize(
    ("written", "form", "answers"),
    [
        ([0, 1, 1], (None, None, None), [0, 1, 1]),
        ([0, 1, 1], (1, 1, 1), [0, 1, 1]),
        ([], (0, 1, 0), [0, 1, 0]),
        ([], (0, None, 0), [0, None, 0]),
        ([], (0, None, None), [0, None, None]),
    ],
)
def test_answers_come_from_the_list_or_else_from_the_form(written, form, answers, capsys):
    assert helpers.collect_answers(written, buttons(*form), [5, 6, 7]) == answers
    assert capsys.readouterr().out == ""


def test_where_nobody_answered_the_example_stands_in_and_a_line_says_so(capsys):
    example = json.loads((PROJECT / "results" / "reader_example.json").read_text())
    films = np.array(example["indices"])
    assert helpers.collect_answers([], buttons(*[None] * len(films)), films) == example["answers"]
    assert capsys.readouterr().out == "No answers yet: the stored example of another reader stands in.\n"


def test_films_without_an_example_are_all_called_ill_and_a_line_says_so(capsys):
    assert helpers.collect_answers([], buttons(None, None), [1, 2]) == [1, 1]
    assert capsys.readouterr().out == 'No answers yet: "pneumonia" for every film stands in.\n'


@pytest.fixture
def record():
    return helpers.OWN_RESULTS / "reader.json"


def test_the_readers_right_answers_are_counted_and_kept(record):
    assert helpers.save_reader([0, 1, 1, 0], np.array([0, 1, 0, 1]), np.array([9, 8, 7, 6])) == 2
    assert json.loads(record.read_text()) == {"indices": [9, 8, 7, 6], "answers": [0, 1, 1, 0], "right": 2}


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([], "there are 0 answers"),
        ([1, 0], "there are 2 answers"),
        ([1, 0, 1, 0], "there are 4 answers"),
        ([1, None, 0], "look at film 2"),
        ([1, 2, -1], "look at film 2, 3"),
        (["1", 0, 0], "look at film 1"),
    ],
)
def test_missing_or_wrong_answers_are_refused_and_the_record_stays(record, answers, reason):
    helpers.save_reader([1, 1, 1], [1, 1, 1], [3, 4, 5])
    before = record.read_text()
    with pytest.raises(ValueError) as caught:
        helpers.save_reader(answers, [1, 0, 1], [3, 4, 5])
    assert str(caught.value) == f"each of the 3 films needs an answer, 0 (healthy) or 1 (pneumonia): {reason}"
    assert record.read_text() == before
