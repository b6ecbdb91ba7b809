"""figures.py: what players, drawings and the score board show."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import keep_predictions
from PIL import Image
from scipy.signal import correlate2d

import figures
import helpers
from data import sources

pytestmark = pytest.mark.usefixtures("own_project")


@pytest.fixture
def play(monkeypatch):
    """play(*how show_player is called): the HTML that is displayed, and its text for consoles."""
    displayed = []
    monkeypatch.setattr(figures, "display", lambda data, raw: displayed.append(data))

    def show(*arguments, **options):
        figures.show_player(*arguments, **options)
        return displayed[-1]["text/html"], displayed[-1]["text/plain"]

    return show


def moving_line(frames=3):
    figure, ax = plt.subplots(figsize=(2, 1.5), layout="constrained")
    (line,) = ax.plot([0, frames])
    return figure, lambda frame: line.set_ydata([frame, frame]), list(range(frames))


def test_a_player_holds_its_frames_and_the_first_as_a_picture_with_its_text(play):
    page, plain = play(*moving_line(), 'A line "rises".', images=False)
    frames = dict(re.findall(r'frames\[(\d)\] = "([^"]*)"', page))
    assert plain == 'A line "rises".' and list(frames) == ["0", "1", "2"] and len(set(frames.values())) == 3
    still = re.search(r'<img src="([^"]*)" alt="([^"]*)"', page)
    assert still[1] == frames["0"] and still[2] == "A line &quot;rises&quot;."
    sizes = {Image.open(io.BytesIO(base64.b64decode(frame.split(",")[1]))).size for frame in frames.values()}
    assert sizes == {(160, 120)} and plt.get_fignums() == []


def test_a_player_fetches_nothing_waits_for_a_click_and_is_the_same_on_every_run(play):
    page, _ = play(*moving_line(), "A line.", images=False)
    names = re.findall(r'id="(\w+)"', page)
    assert not re.search(r"https?:|<link|fa fa-", page)
    started = re.findall(r"(?<!onclick=\")anim\w+\.(?:play|reverse)_animation\(", page)
    assert started == [] and len(re.findall(r'onclick="anim\w+\.play_animation\(\)"', page)) == 1
    assert all("aria-label=" in tag for tag in re.findall(r'<button.*?>|<input[^>]*"range".*?>', page))
    assert play(*moving_line(), "A line.", images=False)[0] == page
    other, _ = play(*moving_line(4), "A line.", images=False)
    assert set(re.findall(r'id="(\w+)"', other)) & set(names) == set()  # no player of a page moves another


@pytest.mark.parametrize("of_images", [True, False])
def test_a_player_of_phantoms_says_so(play, of_images):
    figure, draw, frames = moving_line()
    page, plain = play(figure, draw, frames, "A line.", images=of_images)
    mark = "Simulated images, not patients"
    assert (mark in plain, f'alt="{mark}. A line."' in page, figure.get_supxlabel() == mark) == (of_images,) * 3


@pytest.fixture
def frames_of(monkeypatch):
    """frames_of(a play_ function, *arguments): its axes after each frame, one frame after the other."""

    def run(function, *arguments):
        calls = []
        monkeypatch.setattr(figures, "show_player", lambda *call, **options: calls.append(call))
        function(*arguments, "Text.")
        figure, draw, frames, _ = calls[0]
        for frame in frames:
            draw(frame)
            yield figure.axes

    return run


def numbers_in(ax):
    return [float(text.get_text()) for text in ax.texts if text.get_text()]


def test_the_result_of_a_convolution_grows_number_by_number_to_the_true_one(frames_of):
    numbers, kernel = np.random.default_rng(0).integers(0, 9, (6, 5)), np.array([[1, 0, -1], [2, 0, -2], [3, 1, -1]])
    result = correlate2d(numbers, kernel, mode="valid").ravel().tolist()
    for step, axes in enumerate(frames_of(figures.play_convolution, numbers, kernel)):
        assert numbers_in(axes[0]) == numbers.ravel().tolist() and numbers_in(axes[1]) == kernel.ravel().tolist()
        assert sum(numbers_in(axes[2])) == result[step] and axes[2].get_xlabel() == f"their sum: {result[step]}"
        assert numbers_in(axes[3]) == result[: step + 1]
    assert step == 11


def test_pooling_keeps_the_largest_of_each_four():
    figures.draw_pooling([[1, 3, 0, 2], [5, 2, 1, 1], [0, 7, 4, 9], [2, 1, 3, 6]])
    numbers = [text for text in plt.gca().texts if text.get_text().isdigit()]
    assert [text.get_text() for text in numbers[16:]] == ["5", "2", "7", "9"]
    assert [text.get_text() for text in numbers[:16] if text.get_fontweight() == "bold"] == ["2", "5", "7", "9"]


def test_a_drawn_network_names_shapes_and_weights_come_from_the_model():
    def layer(kind, shape, weights):
        return type(kind, (), {"output": np.empty((0, *shape)), "count_params": lambda self: weights})()

    layers = [layer("Conv2D", (8, 8, 2), 1234), layer("Dropout", (8, 8, 2), 0), layer("Dense", (5,), 7)]
    figures.draw_network(type("Model", (), {"input_shape": (None, 9, 9, 3), "layers": layers}))
    texts = [text.get_text().replace("\n", " ") for text in plt.gca().texts]
    assert texts == "image/9 x 9 x 3/Conv2D/8 x 8 x 2/1,234 weights/Dropout/Dense/5/7 weights".split("/")


def test_frames_show_border_curve_and_descent_as_they_are(frames_of):
    points, labels = np.array([[0, 0], [1, 1], [2, 2], [9, 9]]), np.array([0, 0, 0, 1])
    titles, parts = [], []
    for (ax,) in frames_of(figures.play_neighbours, points, labels, [1, 3], ["a", "b"]):
        titles.append(ax.get_title())
        parts.append(sum(len(path.vertices) > 0 for path in ax.collections[0].get_paths()))
    assert titles == ["k = 1", "k = 3"] and parts == [2, 1]  # the three healthy neighbours outvote the ill one
    curves = frames_of(figures.play_logistic_curve, [0, 2, 4], [0, 0, 1], [0, 9], "dose")
    heights = [ax.lines[1].get_ydata() for (ax,) in curves]
    assert np.allclose(heights[0], 0.5) and heights[1][[0, -1]] == pytest.approx([0, 1], abs=1e-5)
    descent = frames_of(figures.play_descent, lambda weight: (weight - 2) ** 2, 0, 0.25, 2)
    balls = [(*ax.lines[2].get_xdata(), *ax.lines[2].get_ydata()) for (ax,) in descent]
    assert np.allclose(balls, [(0, 4), (1, 1), (1.5, 0.25)])


def board(notebook):
    axes = figures.plot_score_board(notebook)
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    return names, *([text.get_text() for text in ax.texts] for ax in axes), axes


def test_the_score_board_fills_up_and_own_answers_go_before_the_stored_ones(own_project):
    rows = helpers.get_metadata().query("split == 'test'").iloc[::4]
    truth, patients = rows["class"].to_numpy(), rows["patient"]
    good = np.random.default_rng(0).uniform(0, 0.7, len(rows)) + truth * 0.3
    sources.write_whole(helpers.RESULTS / "reader_example.json", '{"indices": [2132, 2309], "answers": [0, 0]}')
    assert board(7)[:3] == (["another reader, 2 images"], [], ["0.500"])
    keep_predictions("phantoms", rows, knn=1 - good, cnn=good)
    names, auc, accuracy, _ = board(2)
    scores = helpers.score(rows["class"], 1 - good)
    assert names == ["nearest neighbours", "another reader, 2 images"]
    assert auc == [f"{scores['auc']:.3f}"] and accuracy == [f"{scores['accuracy']:.3f}", "0.500"]
    keep_predictions("own/phantoms", rows, knn=good)
    sources.write_whole(helpers.own_path("_reader.json"), '{"indices": [2132, 2309], "answers": [0, 1]}')
    names, auc, accuracy, axes = board(3)
    scores = helpers.score(rows["class"], good)
    assert names == ["nearest neighbours", "convolutional network", "you, 2 images"] and accuracy[2] == "1.000"
    assert auc == [f"{scores['auc']:.3f}"] * 2 and accuracy[0] == f"{scores['accuracy']:.3f}"
    whole = figures.score_by_patient(truth, good, patients)[0]
    interval = helpers.bootstrap_interval(lambda drawn: helpers.score(truth[drawn], good[drawn])["auc"], patients, 300)
    assert whole == pytest.approx((scores["auc"], *interval)) and whole[1] < whole[0] < whole[2]
    bars = axes[0].containers[0].lines[2][0], axes[1].containers[-1].lines[2][0]
    ends = [bar.get_segments()[0][:, 0] for bar in bars]  # two right answers of two leave a margin
    assert ends[0] == pytest.approx(whole[1:]) and ends[1] == pytest.approx([0.025**0.5, 1])


def test_without_a_reader_of_these_images_the_score_board_has_none():
    rows = helpers.get_metadata().query("split == 'test'").iloc[::4]
    keep_predictions("phantoms", rows, knn=rows["class"] * 0.5)
    assert board(2)[0] == ["nearest neighbours"]


def test_the_figure_of_the_splits_counts_every_image():
    shown = " ".join(text.get_text() for text in figures.plot_splits(helpers.get_metadata()).texts)
    assert sum(int(number.replace(",", "")) for number in re.findall(r"([\d,]+) images", shown)) == 2800


@pytest.fixture
def one_image():
    """data, table and index as plot_signs takes them: grey images for rows of the table; the first has SIGNS."""
    table = helpers.get_metadata().set_index("filename").loc[list(figures.SIGNS)].reset_index()
    return np.full((len(table), 64, 64, 3), 0.5), table, 0


def test_signs_are_a_line_on_simulated_images_and_arrows_on_the_two_real_ones(one_image, monkeypatch, tmp_path):
    data, table, _ = one_image
    assert (table["class"] == 1).all() and (table["split"] == "train").all()
    plain, marked = figures.plot_signs(*one_image)
    assert "pneumonia" in plain.get_title() and marked.collections and not plain.collections and not marked.texts
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path))
    for index, arrows in enumerate(figures.SIGNS.values()):
        marked = figures.plot_signs(data, table, index)[1]
        assert [text.get_text() for text in marked.texts] == [str(number) for number in range(1, len(arrows) + 1)]
        assert all(0 <= place < 64 for arrow in arrows for point in arrow for place in point)
    unmarked = figures.plot_signs(data, table.assign(filename="train/PNEUMONIA/person1_virus_1.jpeg"), 0)[1]
    assert not unmarked.texts and not unmarked.collections


def test_the_larger_image_stands_beside_the_small_one_where_a_file_is_at_hand(one_image, monkeypatch, tmp_path):
    small, large = (ax.images[0].get_array() for ax in figures.plot_two_sizes(*one_image))
    assert small.shape == (64, 64) and large.shape == (224, 224) and 0.2 < large.std() + large.mean() < 1
    for name in one_image[1]["filename"]:
        for folder in ("train/NORMAL", "test/NORMAL", "test/PNEUMONIA", name.rpartition("/")[0]):
            (tmp_path / "images" / folder).mkdir(parents=True, exist_ok=True)
        Image.new("L", (300, 300), 51).save(tmp_path / "images" / name)
    monkeypatch.setenv("PNEUMONIA_DATA", str(tmp_path / "images"))
    large = figures.plot_two_sizes(*one_image)[1].images[0].get_array()
    assert large.shape == (224, 224) and np.allclose(large, 0.2, atol=0.01)
    monkeypatch.setenv("PNEUMONIA_DATA", "kermany")
    monkeypatch.setattr(sources, "CACHE", tmp_path / "nothing")
    monkeypatch.setattr(sources, "in_hosted_notebook", lambda: False)
    assert len(figures.plot_two_sizes(*one_image)) == 1
