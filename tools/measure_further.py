"""Measure what notebook 7 tells about, on the films that PNEUMONIA_DATA chooses.

python tools/measure_further.py ingredients   trains its network with one ingredient at a time and writes
                                              results/ingredients.json; 15 minutes on two cores
python tools/measure_further.py exam          executes the notebook, stores it, and writes results/further.json; half an
                                              hour on the real films

Of the ingredients every network sees the same training films of 64 x 64 pixels for two epochs, and all figures are of
validation patients, on their films as they are and disturbed as in notebook 6.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import shift
from sklearn.metrics import log_loss

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))
import helpers  # noqa: E402
import run  # noqa: E402

keras = helpers.import_keras()
from keras import layers  # noqa: E402

EPOCHS = 2
SIZE = 64
SHIFTS = [layers.RandomTranslation(0.1, 0.1, fill_mode="constant"), layers.RandomZoom(0.2, fill_mode="constant")]
EXPOSURES = [
    layers.RandomRotation(10 / 360, fill_mode="constant"),
    layers.RandomBrightness(0.15, value_range=(0, 1)),
    layers.RandomContrast(0.3, value_range=(0, 1)),
]
EQUALISE = layers.Equalization(value_range=(0, 1))


def stream(table, equalised, shuffle=False):
    films = helpers.stream_films(table, SIZE, shuffle)
    return films.map(lambda pictures, labels: (EQUALISE(pictures), labels)) if equalised else films


def train(table, augmentation=(), equalised=False, weighted=False):
    """A network fine-tuned on the training films."""
    rows = table[table["split"] == "train"].sample(frac=1, random_state=0)
    keras.utils.set_random_seed(0)
    model, _ = helpers.start_vgg16(stream(rows, equalised), rows["class"].to_numpy(), augmentation, EPOCHS)
    share = rows["class"].mean()
    weights = {0: 0.5 / (1 - share), 1: 0.5 / share} if weighted else None
    model.fit(stream(rows, equalised, shuffle=True), epochs=EPOCHS, verbose=0, shuffle=False, class_weight=weights)
    return model


def views(films):
    """The film as it is, and moved by four pixels to each of the four sides."""
    moves = [(0, 0), (0, 4), (0, -4), (4, 0), (-4, 0)]
    return [shift(films, (0, *move, 0), order=0) for move in moves]


def scores(labels, probabilities):
    labels, probabilities = np.ravel(labels), np.ravel(probabilities).astype(float)
    result = helpers.score(labels, probabilities) | {"loss": log_loss(labels, probabilities)}
    return {name: round(float(value), 4) for name, value in result.items()}


def store(result, name):
    helpers.write_whole(PROJECT / "results" / name, json.dumps(result, indent=1) + "\n")


def measure_ingredients():
    print("calculating in:", helpers.choose_precision())
    table = helpers.list_all_films(SIZE)
    validation = table[table["split"] == "validation"]
    labels = validation["class"].to_numpy()
    films = np.concatenate([batch.numpy() for batch, _ in helpers.stream_films(validation, SIZE)])
    grey = [helpers.disturb(film, 100_000 + number) for number, film in enumerate(films[:, :, :, 0])]
    kinds = {"as they are": films, "disturbed": helpers.in_colour(np.stack(grey))}
    result = {}

    def keep(name, answers):
        result[name] = {kind: scores(labels, answer) for kind, answer in zip(kinds, answers, strict=True)}
        print(name, result[name], flush=True)
        store(result, "ingredients.json")

    for name, options in {
        "nothing": {},
        "shifts and zooms": {"augmentation": SHIFTS},
        "tilt and exposure": {"augmentation": EXPOSURES},
        "equalised": {"equalised": True},
        "class weights": {"weighted": True},
    }.items():
        model = train(table, **options)
        prepare = EQUALISE if options.get("equalised") else np.asarray
        keep(name, [model.predict(prepare(pictures), verbose=0) for pictures in kinds.values()])
        if name == "nothing":
            looks = [[model.predict(view, verbose=0) for view in views(pictures)] for pictures in kinds.values()]
            keep("mean of five views", [np.mean(answers, axis=0) for answers in looks])


def measure_exam():
    path = run.NOTEBOOKS / "07_going_further.ipynb"
    notebook, seconds, _ = run.execute(path)
    print(f"{path.stem}: {seconds:.0f} s")
    run.write_whole(notebook, path)
    own = json.loads((run.OWN_RESULTS / f"{helpers.results_name()}.json").read_text(encoding="utf-8"))
    store({result["split"]: result for result in own if result["model"] == "vgg16_all"}, "further.json")


if __name__ == "__main__":
    parts = {"ingredients": measure_ingredients, "exam": measure_exam}
    if sys.argv[1:] not in [[name] for name in parts]:
        sys.exit("Say what to measure: python tools/measure_further.py ingredients, or exam.")
    parts[sys.argv[1]]()
