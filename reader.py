"""The reader as a model: whoever judges ten X-rays by eye in notebook 1 gets a score like every model."""

import io
import json

import matplotlib.pyplot as plt
from IPython.display import display

import helpers
from data import sources
from data.arguments import check_several


def ask_reader(images):
    """A form with one image and one choice per image; works in Jupyter and Colab.

    images: (N, 64, 64, 3) in [0, 1]. Returns a list of N ipywidgets; each has the answer in `.value`: 0, 1 or None.
    """
    import ipywidgets as widgets

    check_several(images)
    buttons, boxes = [], []
    for number, image in enumerate(images, start=1):
        file = io.BytesIO()
        plt.imsave(file, image, format="png")
        picture = widgets.Image(value=file.getvalue(), width=192, height=192)
        choices = [(name, label) for label, name in enumerate(helpers.CLASS_NAMES)]
        buttons.append(widgets.RadioButtons(options=choices, value=None, layout={"width": "190px"}))
        boxes.append(widgets.VBox([widgets.Label(f"Image {number}"), picture, buttons[-1]]))
    display(widgets.Box(boxes, layout={"flex_flow": "row wrap"}))
    return buttons


def collect_answers(written, buttons, indices):
    """The reader's answers, a list: the written 0 and 1 where there are any, else those of the buttons from ask_reader.

    indices: the images' `index`. Where nobody answered, a tuple stands in, and a line says so: the stored example for
    these images, or "pneumonia" for every image where there is none.
    """
    answers = list([] if written is None else written) or [button.value for button in buttons]
    if any(answer is not None for answer in answers):
        return answers
    example = load_example()
    if example.get("indices") == list(indices):
        print("No answers yet: the stored example of another reader stands in.")
        return tuple(example["answers"])
    print('No answers yet: "pneumonia" for every image stands in.')
    return (1,) * len(indices)


def save_reader(answers, labels, indices):
    """Count the reader's right answers and keep them in results/own; a tuple, which stands in, is only counted.

    answers: 0 and 1, from collect_answers; labels: the true classes; indices: the images' `index`. Returns the number
    of right ones. Raises ValueError where an answer is missing or is neither 0 nor 1.
    """
    faulty = [number for number, answer in enumerate(answers, start=1) if answer not in (0, 1)]
    if faulty or len(answers) != len(labels):
        where = f"look at image {', '.join(map(str, faulty))}" if faulty else f"there are {len(answers)} answers"
        raise ValueError(f"each of the {len(labels)} images needs an answer, 0 (healthy) or 1 (pneumonia): {where}")
    right = sum(int(answer == label) for answer, label in zip(answers, labels, strict=True))
    if not isinstance(answers, tuple):
        record = {"indices": [int(i) for i in indices], "answers": [int(a) for a in answers], "right": right}
        helpers.keep(helpers.own_path("_reader.json"), json.dumps(record) + "\n")
    return right


def load_example():
    """The stored answers of another reader, a dict of indices and answers; empty where images have no file names."""
    named = sources.SOURCES[sources.choose_source()].names_patients
    return helpers.read_kept(helpers.RESULTS / "reader_example.json", {}) if named else {}
