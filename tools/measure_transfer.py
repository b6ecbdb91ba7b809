"""Train notebook 4's network with one thing changed at a time and write results/transfer.json.

python tools/measure_transfer.py     on the images that PNEUMONIA_DATA chooses; about 15 minutes on two cores
"""

import json
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
import keras
from keras import layers
from keras.applications.vgg16 import preprocess_input

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
import networks

IMAGES, LABELS = helpers.get_train_data()
FIT, VALIDATION = helpers.split_by_patient(helpers.get_metadata())
PAIR = (IMAGES[VALIDATION], LABELS[VALIDATION])


def dense_layers():
    return [
        layers.Dense(128, activation="relu"),
        layers.Dropout(0.3),
        layers.Dense(64, activation="relu"),
        layers.Dense(1, activation="sigmoid", dtype="float32"),
    ]


def trunk_of(start):
    if start == "random":
        return keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    return networks.load_vgg16()[0]


def train(trunk, head, optimizer, epochs, augmentation=(), prepare=True):
    """The AUC on validation images of the epoch with the lowest loss there."""
    inputs = keras.Input((64, 64, 3))
    pictures = inputs
    for layer in augmentation:
        pictures = layer(pictures)
    maps = trunk(preprocess_input(pictures * 255) if prepare else pictures)
    model = keras.Model(inputs, head(layers.GlobalAveragePooling2D()(maps)))
    model.compile(optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    callbacks = networks.training_callbacks("transfer", epochs)
    model.fit(IMAGES[FIT], LABELS[FIT], validation_data=PAIR, epochs=epochs, verbose=0, callbacks=callbacks)
    networks.load_best_weights(model, "transfer")
    return helpers.score(PAIR[1], model.predict(PAIR[0], verbose=0))["auc"]


def at_once(start="trained", prepare=True):
    head = keras.Sequential(dense_layers())
    return train(trunk_of(start), head, keras.optimizers.SGD(1e-4, momentum=0.95), 3, prepare=prepare)


def head_first(start="trained", augmented=True):
    trunk = trunk_of(start)
    maps = trunk.predict(preprocess_input(IMAGES * 255), batch_size=64, verbose=0)
    features = maps.mean(axis=(1, 2)).astype("float32")
    head = keras.Sequential([layers.BatchNormalization(momentum=0.9), *dense_layers()])
    head.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
    head.fit(features[FIT], LABELS[FIT], epochs=5, verbose=0)
    steps = 5 * len(FIT) // 32
    warmup = steps // 10
    rate = keras.optimizers.schedules.CosineDecay(1e-5, steps - warmup, warmup_target=1e-3, warmup_steps=warmup)
    augmentation = [
        layers.RandomRotation(0.05, fill_mode="constant", seed=0),
        layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=0),
        layers.RandomZoom(0.2, fill_mode="constant", seed=0),
    ]
    return train(trunk, head, keras.optimizers.SGD(rate, momentum=0.9), 5, augmentation if augmented else [])


CHANGES = {
    "all at once, the article's recipe": at_once,
    "all at once, without `preprocess_input`": lambda: at_once(prepare=False),
    "all at once, from random weights": lambda: at_once(start="random"),
    "first the head, then all layers": head_first,
    "first the head, from random weights": lambda: head_first(start="random"),
    "first the head, without augmentation": lambda: head_first(augmented=False),
}


def main():
    networks.choose_precision()
    result = {}
    for name, measure in CHANGES.items():
        keras.utils.set_random_seed(0)
        result[name] = round(measure(), 3)
        print(name, result[name], flush=True)
    (PROJECT / "results" / "transfer.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
