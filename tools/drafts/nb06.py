from nbtools import *
md("""
# 6. Field data

**Do the models still work when the films come from somewhere else?**

| | |
| --- | --- |
| **You will do** | examine all models on films of a portable machine, prepare networks for them, try films of your own |
| **You will learn** | distribution shift, augmentation, ablation, test-time augmentation, external validation |
| **You need** | notebooks 3 to 5: training a network, intervals, thresholds |
| **Time** | about 75 minutes, of which the computer needs 5 |
""")
code("", "setup", IGN)
md("""
In a village there is no X-ray room. A portable machine stands crooked, the child does not lie still, the exposure is a guess.
The films of the split `field` are such films, imitated: 400 films of children that no model has seen, each turned by up to 20
degrees, sheared, too dark or too bright, and noisy.
""")
code("""
from helpers import get_field_data, get_metadata, get_test_data, get_train_data, split_by_patient

metadata = get_metadata()
films, labels = get_train_data()
test_films, test_labels = get_test_data()
field_films, field_labels = get_field_data()
fit, held_out = split_by_patient(metadata)
""", IGN)
code("""
import numpy as np

from helpers import plot_films, show_figure

_ = plot_films(np.concatenate([test_films[:5], field_films[:5]]))
show_figure("Above five test films, upright and evenly exposed. Below five field films: tilted, darker or brighter, grainy.")
""")
md("""
You would still read them. Would the models?

## Open the envelope

At the end of notebooks 2 to 4 every model gave its answers for these films, and nobody looked.
""")
code("""
import pandas as pd

from helpers import load_predictions, score

answers = {split: load_predictions(split) for split in ("validation", "test", "field")}
models = ["knn", "logistic_regression", "decision_tree", "cnn", "vgg16"]
""")
code("""
def table_of(name):
    return pd.DataFrame(
        {
            split: {model: score(rows["label"], rows[model])[name] for model in models}
            for split, rows in answers.items()
        }
    ).round(3)

table_of("accuracy")
""", IGN)
code("""
table_of("auc")
""", IGN)
md("""
ENVELOPE

With intervals, as in notebook 5:
""")
code("""
from helpers import bootstrap_interval

def interval(rows, model, name="auc"):
    patients = metadata.set_index("index")["patient"][rows["index"]]
    truth, answer = rows["label"].to_numpy(), rows[model].to_numpy()
    return bootstrap_interval(lambda drawn: score(truth[drawn], answer[drawn])[name], patients, 300)
""")
code("""
import matplotlib.pyplot as plt

COLORS = {"validation": "#56b4e9", "test": "#de8f05", "field": "#029e73"}
_ = plt.figure(figsize=(7, 3.2), layout="constrained")
for shift, (split, rows) in zip([0.2, 0, -0.2], answers.items()):
    for place, model in enumerate(models):
        low, high = interval(rows, model)
        line = plt.plot([low, high], [place + shift] * 2, color=COLORS[split], linewidth=4)
    line[0].set_label(split)
_ = plt.yticks(range(len(models)), models)
_ = plt.xlabel("AUC, 95 % interval"), plt.legend(loc="lower left")
show_figure("Three bars per model: validation far right, test to its left, field further left and wider.")
""")
md("""
This is **distribution shift**: the new films are drawn from another world than the training films. The models are what they
were. The world has changed.

## Augmentation: show the network what may come

If we know in what way the films may differ, we can disturb the training films the same way, anew in every epoch. Keras has
layers for that. They work during training only.
""")
code("""
from helpers import import_keras

keras = import_keras()
from keras import layers

def disturbances():
    return [
        layers.RandomRotation(20 / 360, fill_mode="constant"),
        layers.RandomShear(0.15, 0.0, fill_mode="constant"),
        layers.RandomBrightness(0.2, value_range=(0, 1)),
        layers.RandomContrast(0.3, value_range=(0, 1)),
        layers.GaussianNoise(0.03),
    ]
""")
code("""
from helpers import SEED

keras.utils.set_random_seed(SEED)
pictures = np.repeat(films[:1], 10, axis=0)
for layer in disturbances():
    pictures = layer(pictures, training=True)
_ = plot_films(np.clip(keras.ops.convert_to_numpy(pictures), 0, 1))
show_figure("The same chest film ten times: tilted to both sides, sheared, darker, brighter and grainy.")
""")
md("""
How do we choose the best epoch? Not with the field films: they are the exam. We disturb the *validation* films ourselves. The
helper `disturb` that made the field films makes them too, with other random numbers.
""")
code("""
from helpers import disturb

def disturbed(pictures, first_seed):
    grey = [disturb(film, first_seed + number) for number, film in enumerate(pictures[:, :, :, 0])]
    return np.repeat(np.stack(grey)[..., np.newaxis], 3, axis=-1)

validation_films = disturbed(films[held_out], first_seed=100_000)
""")
code("""
import time

from helpers import QUICK, build_cnn, load_best_weights, training_callbacks

def train(model, name, epochs, fit_films, fit_labels):
    start = time.perf_counter()
    history = model.fit(
        fit_films,
        fit_labels,
        validation_data=(validation_films, labels[held_out]),
        epochs=epochs,
        verbose=0,
        callbacks=training_callbacks(name, epochs),
    )
    load_best_weights(model, name)
    return history, time.perf_counter() - start
""")
md("""
The CNN of notebook 3, with the disturbances before its first layer. Its learning rate is ten times as high as there (the
tinkering of notebook 3 was in favour of that): the task is harder now. This takes about a minute.
""")
code("""
def build(first_layers=()):
    model = keras.Sequential([keras.Input((64, 64, 3)), *first_layers, *build_cnn().layers])
    rmsprop = keras.optimizers.RMSprop(1e-3)
    model.compile(rmsprop, loss="binary_crossentropy", metrics=["accuracy"])
    return model
""")
code("""
keras.utils.set_random_seed(SEED)
with_layers = build(disturbances())
EPOCHS = 3 if QUICK else 15
history, seconds = train(with_layers, "cnn_layers", EPOCHS, films[fit], labels[fit])
""", IGN)
code("""
from helpers import plot_history

_ = plot_history(history)
show_figure("Accuracy and loss over the epochs, on disturbed fit films and on disturbed validation films.")
""")
md("""
Keras' brightness and contrast are only similar to what a wrong exposure does. The course that the article reports on did it
another way: make the training set **six times as large**, with five disturbed copies of every film, and train on all. Here
the copies come from the very function that made the field films. About a minute and a half:
""")
code("""
copies = [disturbed(films[fit], first_seed=1_000_000 * (number + 1)) for number in range(5)]
six_fold = np.concatenate([films[fit], *copies])
six_labels = np.tile(labels[fit], 6)
six_fold.shape
""")
code("""
keras.utils.set_random_seed(SEED)
cnn = build()
SIX_EPOCHS = 2 if QUICK else 8
history, cnn_seconds = train(cnn, "cnn_augmented", SIX_EPOCHS, six_fold, six_labels)
""", IGN)
md("""
Now the exam: the small network as it was, and both ways to prepare it.
""")
code("""
def exam(model):
    on_test = score(test_labels, model.predict(test_films, verbose=0))
    on_field = score(field_labels, model.predict(field_films, verbose=0))
    return [on_test["accuracy"], on_test["auc"], on_field["accuracy"], on_field["auc"]]

def before(model):
    kept = [score(answers[s]["label"], answers[s][model]) for s in ("test", "field")]
    return [scores[name] for scores in kept for name in ("accuracy", "auc")]
""")
code("""
columns = ["accuracy, test", "AUC, test", "accuracy, field", "AUC, field"]
rows = {"CNN of notebook 3": before("cnn")}
rows["with Keras layers"] = exam(with_layers)
rows["with six-fold films"] = exam(cnn)
pd.DataFrame(rows, index=columns).T.round(3)
""", IGN)
md("""
AUGMENTED

But was it the disturbances, or the higher learning rate? And which disturbance matters? Leave out one at a time, or use only
one: this is called an **ablation**. It takes ten trainings, so we did it beforehand, on the real films with seed 0. The
numbers are AUC on *disturbed validation films*:

ABLATION

## VGG16, prepared

Fine-tuning as in notebook 4, with these disturbances instead of the ones there. (About two minutes on two cores.)
""")
code("""
from helpers import choose_precision, start_vgg16

print("calculating in:", choose_precision())
keras.utils.set_random_seed(SEED)
fit_rows = fit[:640] if QUICK else fit
VGG_EPOCHS = 2 if QUICK else 5
vgg16, weights_name = start_vgg16(films[fit_rows], labels[fit_rows], disturbances(), VGG_EPOCHS)
""", IGN)
code("""
history, vgg16_seconds = train(
    vgg16, "vgg16_augmented", VGG_EPOCHS, films[fit_rows], labels[fit_rows]
)
""", IGN)
code("""
both = {"VGG16 of notebook 4": before("vgg16")}
both["VGG16, prepared"] = exam(vgg16)
pd.DataFrame(both, index=columns).T.round(3)
""", IGN)
md("""
VGGTEXT

We keep the results of the prepared models with the others.
""")
code("""
from helpers import check_band, save_result

index_of = {split: rows["index"].to_numpy() for split, rows in metadata.groupby("split")}
prepared = {"cnn_augmented": (cnn, cnn_seconds, None)}
prepared["vgg16_augmented"] = (vgg16, vgg16_seconds, weights_name)
exams = {"validation": (index_of["train"][held_out], films[held_out], labels[held_out])}
exams["test"] = (index_of["test"], test_films, test_labels)
exams["field"] = (index_of["field"], field_films, field_labels)
""")
code("""
for name, (model, seconds, weights) in prepared.items():
    for split, (indices, pictures, truth) in exams.items():
        p = model.predict(pictures, verbose=0)
        scores = save_result(name, split, indices, truth, p, seconds, notebook=6, weights=weights)
        check_band(name, split, scores)
""")
md("""
## Three remedies that need no training

**Test-time augmentation.** Disturb the film a few times more, ask each time, and take the mean answer.
""")
code("""
views = [disturbed(field_films, first_seed=50_000 * (number + 1)) for number in range(4)]
answers_to_views = [cnn.predict(view, verbose=0) for view in [field_films, *views]]
mean_answer = np.mean(answers_to_views, axis=0)
""", IGN)
code("""
both = {"one look": answers_to_views[0], "mean of five looks": mean_answer}
pd.DataFrame({name: score(field_labels, p) for name, p in both.items()}).T.round(3)
""", IGN)
md("""
**Contrast equalisation** of notebook 5, before logistic regression. It is the exposure that it can mend.
""")
code("""
from skimage.exposure import equalize_adapthist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def equalised(pictures):
    return np.stack([equalize_adapthist(film[:, :, 0], kernel_size=16) for film in pictures])

def field_score(fit_pictures, field_pictures):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-4, max_iter=1000))
    model.fit(fit_pictures.reshape(len(fit), -1), labels[fit])
    flat = field_pictures.reshape(len(field_labels), -1)
    return score(field_labels, model.predict_proba(flat)[:, 1])
""")
code("""
remedy = {
    "logistic regression": field_score(films[fit][..., 0], field_films[..., 0]),
    "the same, equalised": field_score(equalised(films[fit]), equalised(field_films)),
}
pd.DataFrame(remedy).T.round(3)
""", IGN)
md("""
**The threshold.** In notebook 5 we froze a threshold that finds 95 of 100 ill children among the validation films. Take it
from undisturbed, or from disturbed validation films?
""")
code("""
def threshold_for(sensitivity, probabilities):
    of_the_ill = np.sort(np.ravel(probabilities)[labels[held_out] == 1])
    return of_the_ill[int((1 - sensitivity) * len(of_the_ill))]

sources = {"validation films": films[held_out], "disturbed validation films": validation_films}
thresholds = {
    name: threshold_for(0.95, cnn.predict(pictures, verbose=0))
    for name, pictures in sources.items()
}
""", IGN)
code("""
p = cnn.predict(field_films, verbose=0)
frozen = {name: score(field_labels, p, threshold) for name, threshold in thresholds.items()}
pd.DataFrame(frozen).T[["sensitivity", "specificity"]].assign(threshold=thresholds).round(2)
""", IGN)
md("""
REMEDIES

## Films of your own

The real field test is a film that nobody of us has seen. Put films into two folders, `healthy` and `pneumonia`, and name the
folder that holds them. As an example we write six simulated films there first.
""")
code("""
from helpers import CLASS_NAMES, PROJECT, draw_phantoms

folder = PROJECT / "build" / "example_films"
table = metadata[metadata["split"] == "field"].groupby("class").head(3)
drawn, _ = draw_phantoms(table)
for number, (film, label) in enumerate(zip(drawn, table["class"])):
    (folder / CLASS_NAMES[label]).mkdir(parents=True, exist_ok=True)
    plt.imsave(folder / CLASS_NAMES[label] / f"simulated_{number}.png", film)
""")
code("""
from helpers import get_own_data

own_films, own_labels = get_own_data(folder)
own_answers = cnn.predict(own_films, verbose=0).ravel()
""")
code("""
titles = [f"{CLASS_NAMES[label]}: {p:.2f}" for label, p in zip(own_labels, own_answers)]
_ = plot_films(own_films, titles, columns=6)
_ = plt.suptitle("Simulated films", fontsize=10)
show_figure("Six simulated films, not patients, with their class and the predicted probability.", films=False)
""")
md("""
Before you believe such a number, check four things.

1. **Permission.** Films of patients are private. Use published ones with a licence, and never put others on the network.
2. **The same children.** Is one of your films in the training set? Collections on the network copy from each other:
""")
code("""
from sklearn.neighbors import NearestNeighbors

known = NearestNeighbors(n_neighbors=1).fit(films.reshape(len(films), -1))
distances, _ = known.kneighbors(own_films.reshape(len(own_films), -1))
print("films that are (almost) in the training set:", int((distances < 1).sum()))
""", IGN)
md("""
3. **What "pneumonia" means there.** A judgement of one doctor, of two, a laboratory test, or words in a report?
4. **Who is on them.** These models learned from children of one to five years in one hospital.

## What others measured

Two teams trained on the films of this very data set and then went elsewhere.

| trained on | examined on | result |
| --- | --- | --- |
| 5,232 films of this data set | its own test films | accuracy .86, AUC .93 |
| | 190 films of children in Ibadan, Nigeria | accuracy .58, AUC .65 |
| 5,232 films of this data set | its own test films | AUC .95 |
| | 383 films of children in the NIH collection, USA | AUC .54 |

The first is [Togunwa and others, 2025](https://doi.org/10.1371/journal.pdig.0000713), the second
[Xin, Li and Yi, 2021](https://doi.org/10.1007/s10140-021-01954-x). An AUC of .54 is a coin toss. Our disturbances are kind
compared with another hospital.

## The last page

All models, on all three sets of films:
""")
code("""
answers = {split: load_predictions(split) for split in answers}
models = [*models, *prepared]
everything = table_of("auc")
""", IGN)
code("""
_ = plt.figure(figsize=(8, 3.8), layout="constrained")
for split, marker in [("validation", "o"), ("test", "s"), ("field", "^")]:
    _ = plt.plot(everything[split], models, marker, color=COLORS[split], markersize=9, label=split)
_ = plt.axvline(0.5, color="gray", linestyle="--"), plt.grid(axis="x", alpha=0.3)
_ = plt.xlabel("AUC (0.5 is chance)"), plt.legend()
show_figure("For each model three marks. Validation is best for all; the prepared networks lose least on field films.")
""")
md("""
You have trained them, examined them, and seen them fall. **Would you use one of them for your little sister?** For what, and
what would you want to know first? There is no solution to this one in the answers.

## What you learned

- A model is good for films like those it learned from. Another machine, another hospital: another result.
- Augmentation prepares for differences that one can name. It cannot prepare for those that nobody thought of.
- Also the validation films must look like the field, else one chooses for the wrong world.
- An ablation says which part of a recipe does the work.
- Only an examination elsewhere, on other people's films, tells whether a model is of use.

## Exercises

**1 (easy).** Which is worse for the CNN of notebook 3, films that are too dark or films that are too bright? Disturb the test
films yourself: `test_films ** 1.6` and `test_films ** 0.6`.
""")
code("""
# exercise 1: your code
""")
md("""
**2 (medium).** How fast does the accuracy fall with the angle? Turn the validation films by 0, 10, 20, 30 and 40 degrees
(`scipy.ndimage.rotate` with `reshape=False`, `axes=(1, 2)`) and draw accuracy against angle, with and without augmentation.
""")
code("""
# exercise 2: your code
""")
md("""
**3 (open).** Invent a disturbance that a real machine might make and `disturb` does not: a cable over the chest, a letter in
the corner, half the film cut off. Does the prepared network withstand it?
""")
code("""
# exercise 3: your code
""")
md("""
**The end** of the series. Thank you for your attention, and for every question that you asked on the way.
""")
write("06_field_data.ipynb")
