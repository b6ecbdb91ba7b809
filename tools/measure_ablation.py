"""Train notebook 6's network with some of the disturbances and write results/ablation.json.

python tools/measure_ablation.py     on the images that PNEUMONIA_DATA chooses; about 10 minutes on two cores

Every network sees six copies of the training images, so all take the same number of steps.
"""

import json
import sys
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers
import networks

keras = networks.import_keras()
EPOCHS = 5
PARTS = {"turned": helpers.turn, "exposure": helpers.expose, "noise": helpers.add_noise}
CHANGES = {
    "nothing": (),
    "only turned": ("turned",),
    "only exposure": ("exposure",),
    "only noise": ("noise",),
    "all but turned": ("exposure", "noise"),
    "all but exposure": ("turned", "noise"),
    "all but noise": ("turned", "exposure"),
    "all": ("turned", "exposure", "noise"),
}


def disturbed(images, parts, first_seed):
    copies = []
    for number, image in enumerate(images[:, :, :, 0]):
        rng = np.random.default_rng(first_seed + number)
        for part in parts:
            image = PARTS[part](image, rng)
        copies.append(np.clip(image, 0, 1))
    return helpers.in_colour(np.stack(copies).astype(np.float32))


def field_like_auc(parts, images, labels, training, validation):
    """The AUC on validation images with all disturbances, after training on images with some."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64, 64, 3)), *networks.build_cnn().layers])
    copies = [disturbed(images[training], parts, 1_000_000 * (number + 1)) for number in range(5)]
    six_fold = np.concatenate([images[training], *copies])
    rate = keras.optimizers.schedules.CosineDecay(1e-3, EPOCHS * len(six_fold) // 32)
    model.compile(keras.optimizers.RMSprop(rate), loss="binary_crossentropy", metrics=["accuracy"])
    pair = (disturbed(images[validation], PARTS, 100_000), labels[validation])
    callbacks = networks.training_callbacks("ablation", EPOCHS)
    six_labels = np.tile(labels[training], 6)
    model.fit(six_fold, six_labels, validation_data=pair, epochs=EPOCHS, verbose=0, callbacks=callbacks)
    networks.load_best_weights(model, "ablation")
    return helpers.score(pair[1], model.predict(pair[0], verbose=0))["auc"]


def main():
    images, labels = helpers.get_train_data()
    training, validation = helpers.split_by_patient(helpers.get_metadata())
    result = {}
    for name, parts in CHANGES.items():
        result[name] = round(field_like_auc(parts, images, labels, training, validation), 3)
        print(name, result[name], flush=True)
    (PROJECT / "results" / "ablation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
