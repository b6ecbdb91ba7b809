"""reader.py: the form, the answers, and what is kept of them."""

from types import SimpleNamespace

import numpy as np
import pytest

import helpers
import reader
from data import sources

pytestmark = pytest.mark.usefixtures("own_project")


def form(*answers):
    """The buttons of a form with these answers."""
    return [SimpleNamespace(value=answer) for answer in answers]


@pytest.fixture
def example(own_project):
    """The stored answers of another reader to the images 5 and 6."""
    sources.write_whole(own_project / "results" / "reader_example.json", '{"indices": [5, 6], "answers": [1, 0]}')


def kept():
    return helpers.read_kept(helpers.own_path("_reader.json"), {})


def test_the_form_has_one_unanswered_choice_per_image(monkeypatch):
    shown, images = [], np.zeros((3, 64, 64, 3), np.float32)
    monkeypatch.setattr(reader, "display", shown.append)
    buttons = reader.ask_reader(images)
    assert [button.value for button in buttons] == [None, None, None]
    assert [button.options for button in buttons] == [(("healthy", 0), ("pneumonia", 1))] * 3
    for child, button in zip(shown[0].children, buttons, strict=True):
        assert bytes(child.children[1].value).startswith(b"\x89PNG") and child.children[2] is button
    with pytest.raises(sources.DataError, match="put one image in a list"):
        reader.ask_reader(images[0])


def test_answers_come_from_the_list_or_the_form_and_are_kept(example, capsys):
    assert reader.collect_answers([1, 1], form(0, None), [5, 6]) == [1, 1]
    assert reader.collect_answers(np.array([0, 1]), form(None, None), [5, 6]) == [0, 1]
    assert reader.collect_answers([], form(0, None), [5, 6]) == [0, None] and capsys.readouterr().out == ""
    assert reader.save_reader([0, 1, 1], np.array([0, 1, 0]), np.array([9, 8, 7])) == 2
    assert kept() == {"indices": [9, 8, 7], "answers": [0, 1, 1], "right": 2}


@pytest.mark.parametrize(("source", "indices"), [("phantoms", [5, 6]), ("phantoms", [7, 8]), ("medmnist", [5, 6])])
def test_what_stands_in_for_a_reader_is_counted_and_never_kept(example, capsys, monkeypatch, source, indices):
    monkeypatch.setenv("PNEUMONIA_DATA", source)
    given = reader.collect_answers([], form(None, None), indices)
    of_these_images = (source, indices) == ("phantoms", [5, 6])
    assert given == ((1, 0) if of_these_images else (1, 1))
    words = "stored example of another reader" if of_these_images else '"pneumonia" for every image'
    assert f"{words} stands in" in capsys.readouterr().out
    assert reader.save_reader(given, list(given), indices) == 2 and kept() == {}


def test_without_the_folder_of_results_pneumonia_stands_in():
    assert reader.collect_answers([], form(None), [5]) == (1,)


@pytest.mark.parametrize(("answers", "reason"), [([1, 0], "there are 2 answers"), ([1, None, 2], "image 2, 3")])
def test_missing_or_wrong_answers_are_refused_and_the_old_ones_stay(answers, reason):
    reader.save_reader([1], [0], [5])
    with pytest.raises(ValueError, match=f"each of the 3 images needs an answer.*{reason}"):
        reader.save_reader(answers, [1, 0, 1], [3, 4, 5])
    assert kept()["answers"] == [1]
