"""Train notebook 3's network with one change at a time and write results/tinkering.json.

python tools/measure_tinkering.py     on the images that PNEUMONIA_DATA chooses; about 4 minutes on two cores
"""

import json
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
import keras
from keras import layers

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
import networks

EPOCHS = 15


def compiled(parts, rate=1e-4):
    model = keras.Sequential([keras.Input((64, 64, 3)), *parts])
    model.compile(keras.optimizers.RMSprop(rate), loss="binary_crossentropy", metrics=["accuracy"])
    return model


def without_dropout():
    return compiled([layer for layer in networks.build_cnn().layers if not isinstance(layer, layers.Dropout)])


def ten_times_the_rate():
    return compiled(networks.build_cnn().layers, rate=1e-3)


def kernels_of_one_pixel():
    parts = networks.build_cnn().layers
    for place in (0, 3):
        parts[place] = layers.Conv2D(32, 1, activation="relu")
    return compiled(parts)


CHANGES = {
    "as it is": networks.build_cnn,
    "without dropout": without_dropout,
    "learning rate 0.001 instead of 0.0001": ten_times_the_rate,
    "kernels of 1 x 1 instead of 3 x 3": kernels_of_one_pixel,
}


def validation_auc(build, images, labels, training, validation):
    keras.utils.set_random_seed(0)
    model = build()
    pair = (images[validation], labels[validation])
    callbacks = networks.training_callbacks("tinkering", EPOCHS)
    model.fit(images[training], labels[training], validation_data=pair, epochs=EPOCHS, verbose=0, callbacks=callbacks)
    networks.load_best_weights(model, "tinkering")
    return helpers.score(pair[1], model.predict(pair[0], verbose=0).ravel())["auc"]


def main():
    images, labels = helpers.get_train_data()
    training, validation = helpers.split_by_patient(helpers.get_metadata())
    result = {name: round(validation_auc(build, images, labels, training, validation), 3) for name, build in CHANGES.items()}
    (PROJECT / "results" / "tinkering.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(result)


if __name__ == "__main__":
    main()
