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
from data import field, sources

LOADERS = {"train": helpers.get_train_data, "test": helpers.get_test_data, "field": helpers.get_field_data}
COUNTS = {"train": 2000, "test": 400, "field": 400}


@pytest.fixture(autouse=True)
def noise_images(drawn):
    """Every image is noise: phantoms take longer, and here only their place counts."""
    yield
    plt.close("all")


@pytest.fixture
def real_images(tmp_path, monkeypatch):
    """The source is a folder of real images (which no test here reads)."""
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path))


IMAGE = np.linspace(0, 1, 64 * 64 * 3, dtype=np.float32).reshape(64, 64, 3)
IMAGES = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]])


# --- images and their table --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("split", LOADERS)
def test_images_and_labels_have_the_form_promised(split, flatten):
    images, labels = LOADERS[split](flatten=flatten)
    assert images.shape == (COUNTS[split], *([64 * 64 * 3] if flatten else [64, 64, 3]))
    assert images.dtype == np.float32 and images.min() >= 0 and images.max() <= 1
    grey = images.reshape(-1, 64, 64, 3)
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()
    metadata = helpers.get_metadata()
    assert labels.dtype.kind == "i" and labels.shape == (COUNTS[split],)
    assert labels.tolist() == metadata[metadata["split"] == split]["class"].tolist()


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_stand_in_the_order_of_the_table(split):
    images = LOADERS[split]()[0]
    metadata = helpers.get_metadata()
    rows = metadata[metadata["split"] == split]["index"]
    assert np.array_equal(np.rint(images[..., 0] * 255), sources.load_images()[rows])


def test_field_images_are_the_same_on_every_call():
    first = helpers.get_field_data()[0]
    np.random.seed(1)
    assert np.array_equal(helpers.get_field_data()[0], first)


def test_field_images_are_disturbed_by_their_index():
    images = helpers.get_field_data()[0][..., 0]
    metadata = helpers.get_metadata()
    rows = metadata[metadata["split"] == "field"]["index"].to_numpy()
    plain = sources.load_images()[rows] / np.float32(255)
    assert (np.abs(images - plain).mean(axis=(1, 2)) > 0.01).all()
    for position in (0, 57, 399):
        assert np.array_equal(images[position], field.disturb(plain[position], rows[position]))


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_disturbed_images_stay_in_range(value):
    for seed in range(30):
        image = field.disturb(np.full((64, 64), value, np.float32), seed)
        assert image.shape == (64, 64) and image.dtype == np.float32
        assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1


def test_disturbance_depends_on_the_seed_alone():
    image = IMAGE[..., 0]
    assert np.array_equal(field.disturb(image, 7), field.disturb(image, 7))
    assert len({field.disturb(image, seed).tobytes() for seed in range(20)}) == 20
    assert image[0, 0] == 0 and image[-1, -1] > 0.99  # the image given is left as it was


def test_disturbance_turns_by_at_most_twenty_degrees_and_shears_little():
    bar = np.zeros((64, 64), np.float32)
    bar[:, 29:35] = 1
    angles = []
    for seed in range(40):
        rows, columns = np.nonzero(field.disturb(bar, seed) > 0.5)
        angles.append(np.rad2deg(np.arctan(np.polyfit(rows, columns, 1)[0])))
    assert np.abs(angles).max() <= 20 + np.rad2deg(0.15) + 1
    assert min(angles) < -8 and max(angles) > 8


@pytest.fixture
def parts():
    metadata = helpers.get_metadata()
    train = metadata[metadata["split"] == "train"].reset_index(drop=True)
    training, validation = helpers.split_by_patient(metadata)
    return train, training, validation


def test_no_patient_is_in_both_parts_of_the_training_images(parts):
    train, training, validation = parts
    assert not set(train["patient"][training]) & set(train["patient"][validation])


def test_the_two_parts_hold_every_training_image_once(parts):
    _, training, validation = parts
    assert sorted([*training, *validation]) == list(range(2000))
    assert training.dtype.kind == validation.dtype.kind == "i"
    assert len(validation) == pytest.approx(400, abs=60)


def test_both_parts_hold_the_classes_in_the_same_proportion(parts):
    train, training, validation = parts
    assert abs(train["class"][training].mean() - train["class"][validation].mean()) < 0.05


def test_the_validation_images_are_those_of_the_stored_predictions():
    metadata = helpers.get_metadata()
    _, validation = helpers.split_by_patient(metadata)
    stored = pd.read_csv(PROJECT / "results" / "kermany_predictions.csv")
    stored = stored[(stored["model"] == "knn") & (stored["split"] == "validation")]
    assert set(metadata[metadata["split"] == "train"]["index"].iloc[validation]) == set(stored["index"])


def test_the_parts_are_the_same_on_every_call(parts):
    np.random.seed(1)
    again = helpers.split_by_patient(helpers.get_metadata())
    assert np.array_equal(parts[1], again[0]) and np.array_equal(parts[2], again[1])


def test_the_setup_line_names_versions_and_images(capsys, monkeypatch):
    monkeypatch.setattr(helpers, "version", lambda name: "1.2.3")
    monkeypatch.setattr(helpers, "QUICK", False)
    helpers.describe_setup()
    versions, images = capsys.readouterr().out.splitlines()
    assert re.match(r"Python 3\.\d+\.\d+, numpy 1\.2\.3, .*keras 1\.2\.3$", versions)
    assert images == "Images: simulated images (phantoms), not patients"


def test_the_setup_lines_say_when_a_run_is_quick(capsys, monkeypatch):
    monkeypatch.setattr(helpers, "QUICK", True)
    helpers.describe_setup()
    assert capsys.readouterr().out.splitlines()[2].startswith("Quick run: fewer images and epochs")


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "index", "title"),
    [
        (None, None, "simulated"),
        ([0, 1, 0], None, "healthy, simulated"),
        ([0, 1, 0], 1, "pneumonia, image 1, simulated"),
        (None, 2, "image 2, simulated"),
        (np.array([[0], [1], [1]]), np.int64(2), "pneumonia, image 2, simulated"),
    ],
)
@pytest.mark.parametrize("flat", [False, True])
def test_title_of_a_image_names_class_index_and_simulation(labels, index, title, flat):
    ax = helpers.plot_one_image(IMAGES.reshape(3, -1) if flat else IMAGES, labels, index)
    assert ax.get_title() == title
    assert np.array_equal(ax.images[0].get_array(), IMAGES[index or 0])
    assert not ax.axison


def test_title_of_a_real_image_names_no_simulation(real_images):
    assert helpers.plot_one_image(IMAGES, [0, 1, 0], 1).get_title() == "pneumonia, image 1"
    assert helpers.plot_one_image(IMAGES).get_title() == ""


def test_one_image_alone_is_drawn():
    assert helpers.plot_one_image(IMAGE, 1).get_title() == "pneumonia, simulated"


def test_a_image_is_drawn_into_the_axes_given():
    ax = plt.subplots(1, 2)[1][1]
    assert helpers.plot_one_image(IMAGES, index=1, ax=ax) is ax and len(ax.images) == 1


@pytest.mark.parametrize("shape", [(64, 64), (28, 28, 3), (3, 64, 64), (3, 64, 64, 1), (5, 100), (12288,), ()])
def test_data_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError) as caught:
        helpers.plot_one_image(np.zeros(shape))
    assert str(caught.value) == f"images have shape (N, 64, 64, 3), (N, 12288) or (64, 64, 3); these have {shape}"
    assert plt.get_fignums() == []


@pytest.mark.parametrize("index", [-1, 3, 2800])
def test_an_index_without_a_image_is_refused(index):
    with pytest.raises(IndexError) as caught:
        helpers.plot_one_image(IMAGES, index=index)
    assert str(caught.value) == f"there is no image {index}: the indices go from 0 to 2"


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 5)), (5, (1, 5)), (6, (2, 5)), (10, (2, 5))])
def test_images_are_drawn_in_rows(count, shape):
    images = np.stack([IMAGE] * count)
    axes = helpers.plot_images(images, titles=[f"image {number}" for number in range(count)])
    assert axes.shape == shape
    assert [ax.get_title() for ax in axes.flat if ax.images] == [f"image {number}" for number in range(count)]
    assert not any(ax.axison for ax in axes.flat)


def test_images_need_no_titles():
    assert helpers.plot_images(IMAGES, columns=2).shape == (2, 2)


def test_figure_of_the_splits_names_their_sizes():
    ax = helpers.plot_splits(helpers.get_metadata())
    shown = " ".join(text.get_text() for text in ax.texts)
    assert sum(int(number.replace(",", "")) for number in re.findall(r"([\d,]+) images", shown)) == 2800
    assert ax.get_xlabel() == "number of images" and ax.get_ylabel() == "split"


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: pairs of the object and its metadata."""
    displayed = []
    monkeypatch.setattr("IPython.display.display", lambda what, metadata=None: displayed.append((what, metadata)))
    return displayed


MARK = "Simulated images, not patients"


def test_a_figure_of_phantoms_says_so_and_has_a_text(shown):
    figure = plt.figure()
    helpers.show_figure("Two lungs.")
    assert shown == [(figure, {"image/png": {"alt": f"{MARK}. Two lungs."}})]
    assert [text.get_text() for text in figure.texts] == [MARK]
    assert plt.get_fignums() == []


def test_a_figure_without_images_has_only_its_text(shown):
    figure = plt.figure()
    helpers.show_figure("Counts.", images=False)
    assert shown[0][1] == {"image/png": {"alt": "Counts."}} and figure.texts == []


def test_a_figure_of_real_images_has_only_its_text(shown, real_images):
    figure = plt.figure()
    helpers.show_figure("Two lungs.")
    assert shown[0][1] == {"image/png": {"alt": "Two lungs."}} and figure.texts == []


def test_the_mark_of_phantoms_is_inside_the_picture_that_jupyter_stores(shown):
    def height():
        file = io.BytesIO()
        figure.savefig(file, bbox_inches="tight")  # as Jupyter does
        return Image.open(file).height

    helpers.plot_images(IMAGES)
    figure = plt.gcf()
    before = height()
    helpers.show_figure("Three images.")
    assert height() > before + 8


# --- the reader as a model --------------------------------------------------------------------------------------------


def test_the_form_has_one_unanswered_choice_per_image(shown):
    buttons = helpers.ask_reader(IMAGES)
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
    images = np.array(example["indices"])
    assert helpers.collect_answers([], buttons(*[None] * len(images)), images) == example["answers"]
    assert capsys.readouterr().out == "No answers yet: the stored example of another reader stands in.\n"


def test_images_without_an_example_are_all_called_ill_and_a_line_says_so(capsys):
    assert helpers.collect_answers([], buttons(None, None), [1, 2]) == [1, 1]
    assert capsys.readouterr().out == 'No answers yet: "pneumonia" for every image stands in.\n'


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
        ([1, None, 0], "look at image 2"),
        ([1, 2, -1], "look at image 2, 3"),
        (["1", 0, 0], "look at image 1"),
    ],
)
def test_missing_or_wrong_answers_are_refused_and_the_record_stays(record, answers, reason):
    helpers.save_reader([1, 1, 1], [1, 1, 1], [3, 4, 5])
    before = record.read_text()
    with pytest.raises(ValueError) as caught:
        helpers.save_reader(answers, [1, 0, 1], [3, 4, 5])
    assert str(caught.value) == f"each of the 3 images needs an answer, 0 (healthy) or 1 (pneumonia): {reason}"
    assert record.read_text() == before
