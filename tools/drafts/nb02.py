from nbtools import *
md("""
# 2. Nearest neighbours and logistic regression

**How well do classic models tell pneumonia from healthy, when they see nothing but pixels?**

| | |
| --- | --- |
| **You will do** | train three classic models, choose their settings, examine each of them once |
| **You will learn** | k-nearest neighbours, logistic regression, decision trees; validation and test; sensitivity and specificity |
| **You need** | notebook 1: train, validation, test |
| **Time** | about 50 minutes |
""")
code("", "setup", IGN)
md("""
A model that sorts things into classes is a **classifier**. It is **trained** (or *fitted*) on examples with known answers.
Then it has to **predict** the class of examples it has never seen.

## The idea of nearest neighbours

Tell me who your neighbours are and I tell you who you are. To classify something unknown, look for the *k* known examples
that lie closest and let them vote. Here are five circles, five squares, and one unknown point, the star.
""")
code("""
import matplotlib.pyplot as plt
import numpy as np
""")
code("""
circles = np.array([[1.0, 1.2], [1.6, 2.1], [2.2, 1.1], [1.2, 2.9], [3.1, 2.3]])
squares = np.array([[2.75, 3.1], [3.6, 3.9], [4.3, 2.9], [4.0, 4.4], [4.8, 3.7]])
star = np.array([[2.7, 2.75]])
""")
code("""
def draw_points(ax):
    ax.scatter(*circles.T, marker="o", s=90, color="#0173b2", label="circle")
    ax.scatter(*squares.T, marker="s", s=90, color="#de8f05", label="square")
    ax.scatter(*star.T, marker="*", s=220, color="black", label="unknown")
    ax.set_aspect("equal")
""")
code("""
from sklearn.neighbors import KNeighborsClassifier

points = np.concatenate([circles, squares])
shapes = np.array(["circle"] * 5 + ["square"] * 5)
""")
code("""
for k in [1, 3]:
    classifier = KNeighborsClassifier(k).fit(points, shapes)
    print("k =", k, "says", classifier.predict(star)[0])
""")
code("""
from helpers import show_figure

figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, k in zip(axes, [1, 3]):
    draw_points(ax)
    reach = KNeighborsClassifier(k).fit(points, shapes).kneighbors(star)[0].max()
    ax.add_patch(plt.Circle(star[0], reach, fill=False, linestyle="--"))
    ax.set_title(f"k = {k}")
axes[0].legend(loc="lower right")
show_figure(
    "Five circles, five squares and a star, drawn twice. A dashed ring around the star holds one square for k = 1, "
    "and one square and two circles for k = 3.",
    films=False,
)
""")
md("""
With k = 1 the closest point is a square, so the star becomes a square. With k = 3 the ring holds two circles and one square,
and the vote turns. A small k listens to a single neighbour, who may be an exception. A large k asks many, some of whom live
far away. Which k is best? We will let the validation films decide.

For films, "close" means: few differences, pixel by pixel.

## The idea of logistic regression

Twenty students wrote down how many hours they studied. Some passed the exam (1), some failed (0). How likely is it to pass
after so many hours? (The example is from
[Wikipedia](https://en.wikipedia.org/wiki/Logistic_regression#Example).)
""")
code("""
hours = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 1.75, 2, 2.25, 2.5]
hours += [2.75, 3, 3.25, 3.5, 4, 4.25, 4.5, 4.75, 5, 5.5]
passed = [0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1]
""")
md("""
We fit a straight line and an S-shaped curve, the **logistic** curve, to the same twenty points.
""")
code("""
from sklearn.linear_model import LinearRegression, LogisticRegression
""")
code("""
column = np.array(hours).reshape(-1, 1)
grid = np.linspace(-1, 7, 100).reshape(-1, 1)
line = LinearRegression().fit(column, passed).predict(grid)
curve = LogisticRegression(C=1e6).fit(column, passed).predict_proba(grid)[:, 1]
""")
code("""
_ = plt.scatter(hours, passed, color="black", label="students")
_ = plt.plot(grid, line, color="#de8f05", linestyle="--", label="straight line")
_ = plt.plot(grid, curve, color="#0173b2", label="logistic curve")
_ = plt.axhspan(0, 1, color="gray", alpha=0.15)
_ = plt.gca().set(xlabel="hours of study", ylabel="probability to pass")
_ = plt.legend()
show_figure(
    "Twenty points at 0 and 1. The straight line leaves the grey band between 0 and 1 on both sides; "
    "the S-shaped curve stays inside.",
    films=False,
)
""")
code("""
assert line.min() < 0 and line.max() > 1
assert curve.min() > 0 and curve.max() < 1
print(f"straight line:  {line.min():.2f} to {line.max():.2f}")
print(f"logistic curve: {curve.min():.2f} to {curve.max():.2f}")
""")
md("""
The line promises probabilities below 0 and above 1, which do not exist. The curve cannot leave the band. It rises where
more hours help, and the model's **weight** says how steeply.

For a film we have not one number but 4,096, the grey values. Logistic regression gives each pixel a weight, adds up weight
times value, and bends the sum into a probability.

## Load the films

`flatten=True` gives each film as one long row of numbers.
""")
code("""
from helpers import get_metadata, get_train_data, split_by_patient

metadata = get_metadata()
films, labels = get_train_data(flatten=True)
""", IGN)
code("""
films.shape
""")
md("""
12,288 numbers for a film: 64 x 64 pixels x 3 equal colours. Two of three tell nothing new, so we keep every third.
Then we divide by patient: four fifths to fit, one fifth to choose settings.
""")
code("""
grey = films[:, ::3]
fit, validation = split_by_patient(metadata)
fit_films, fit_labels = grey[fit], labels[fit]
validation_films, validation_labels = grey[validation], labels[validation]
""")
code("""
fit_films.shape, validation_films.shape
""")
md("""
## First models

Every scikit-learn model works in the same three steps: `fit`, `predict`, `score`. We begin with a model that does not look
at all, and always says "pneumonia".
""")
code("""
from sklearn.dummy import DummyClassifier

baseline = DummyClassifier(strategy="constant", constant=1)
baseline.fit(fit_films, fit_labels)
print("baseline:", round(baseline.score(validation_films, validation_labels), 2))
""")
md("""
**Accuracy** is the share of right answers: one half, as we expected. Now the ten nearest neighbours.
""")
code("""
knn = KNeighborsClassifier(10)
knn.fit(fit_films, fit_labels)
predictions = knn.predict(validation_films)
predictions[:12]
""", IGN)
code("""
print("nearest neighbours:", round(knn.score(validation_films, validation_labels), 3))
""", IGN)
md("""
Far better than the baseline. `fit` took no time: this model only remembers the films. The work comes when it predicts.

Logistic regression next. Its `C` says how freely it may choose its weights. `StandardScaler` first brings all pixels to the
same scale; without it the fit needs many more steps.
""")
code("""
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def make_logistic_regression(C):
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
""")
code("""
logistic = make_logistic_regression(C=1).fit(fit_films, fit_labels)
print("logistic regression:", round(logistic.score(validation_films, validation_labels), 3))
""", IGN)
md("""
A third classic, the **decision tree**: it asks one pixel after the other, "are you brighter than this?", and follows the
answers down to a class. It takes some seconds, since it tries every pixel at every step.
""")
code("""
import time

from sklearn.tree import DecisionTreeClassifier
""")
code("""
start = time.perf_counter()
tree = DecisionTreeClassifier(random_state=0).fit(fit_films, fit_labels)
print("decision tree:", round(tree.score(validation_films, validation_labels), 3))
print(f"training took {time.perf_counter() - start:.1f} s")
""", IGN)
md("""
The tree is the weakest of the three. One pixel at a time is a poor question to ask a picture.

## Choose the settings on validation films

Which k? We try several and look at the validation films.
""")
code("""
ks = [1, 3, 5, 10, 20, 40, 80]
voters = [KNeighborsClassifier(k).fit(fit_films, fit_labels) for k in ks]
k_scores = [model.score(validation_films, validation_labels) for model in voters]
best_k = ks[int(np.argmax(k_scores))]
""")
code("""
Cs = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
fitted = [make_logistic_regression(C).fit(fit_films, fit_labels) for C in Cs]
C_scores = [model.score(validation_films, validation_labels) for model in fitted]
best_C = Cs[int(np.argmax(C_scores))]
""")
code("""
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
for ax, name, values, scores in [(axes[0], "k", ks, k_scores), (axes[1], "C", Cs, C_scores)]:
    ax.semilogx(values, scores, marker="o", color="#0173b2")
    ax.axvline(values[int(np.argmax(scores))], color="#de8f05", linestyle="--", label="best")
    ax.set(xlabel=name, ylabel="accuracy on validation films")
_ = axes[0].legend()
show_figure("Two curves of validation accuracy, over k and over C, with the best value marked by a dashed line.")
""")
code("""
print("best k:", best_k, "  best C:", best_C)
""", IGN)
md("""
Both curves are rather flat near the top: over a wide range the setting matters little. Differences of one or two hundredths
are chance, with 400 validation films. We take the best, and from here on the settings are fixed.

Now we train each model with its settings. A clock runs along.
""")
code("""
from helpers import SEED, save_result
""")
code("""
models = {
    "knn": KNeighborsClassifier(best_k),
    "logistic_regression": make_logistic_regression(best_C),
    "decision_tree": DecisionTreeClassifier(random_state=SEED),
}
""")
code("""
seconds = {}
for name, model in models.items():
    start = time.perf_counter()
    model.fit(fit_films, fit_labels)
    seconds[name] = time.perf_counter() - start
""")
md("""
And a function that asks a trained model for its probabilities, and keeps them.
""")
code("""
def examine(name, films, labels, split, indices):
    probabilities = models[name].predict_proba(films)[:, 1]
    return save_result(name, split, indices, labels, probabilities, seconds[name], notebook=2)
""")
code("""
train_rows = metadata[metadata["split"] == "train"]["index"].to_numpy()
validation_scores = {
    name: examine(name, validation_films, validation_labels, "validation", train_rows[validation])
    for name in models
}
""")
md("""
`save_result` keeps the probability for every film and returns the scores. Later notebooks compare all models with them.

## Examine each model once

Only now do we load the test films: other children, from another folder of the original data set. Each model sees them once.
""")
code("""
from helpers import get_test_data

test_films, test_labels = get_test_data(flatten=True)
test_grey = test_films[:, ::3]
""")
code("""
test_rows = metadata[metadata["split"] == "test"]["index"].to_numpy()
test_scores = {
    name: examine(name, test_grey, test_labels, "test", test_rows) for name in models
}
""", IGN)
code("""
import pandas as pd
""")
code("""
scores = pd.DataFrame(
    {
        "validation": {name: score["accuracy"] for name, score in validation_scores.items()},
        "test": {name: score["accuracy"] for name, score in test_scores.items()},
    }
)
scores.round(3)
""", IGN)
code("""
_ = scores.plot.bar(rot=0, color=["#a6d8f5", "#de8f05"], ylim=(0, 1), ylabel="accuracy")
_ = plt.axhline(0.5, color="black", linestyle="--", linewidth=1)
_ = plt.legend(loc="lower right")
show_figure("Pairs of bars for the three models: accuracy on validation films, and lower accuracy on test films.")
""")
md("""
All three **fall** from validation to test, by a tenth or two. The validation films are of other patients than the fit films,
so the models did not simply know the children. Something else is different about the test folder. What? Keep the question:
notebook 5 answers it. (The dashed line is the baseline.)

A model is not as good as its validation score. Had we chosen k or C with the test films, we would not even have noticed.
""")
code("""
from helpers import check_band

for name in models:
    check_band(name, "test", test_scores[name])
""")
md("""
(In a vote of five against five, the even k says pneumonia here: from a probability of 0.5 on, a film counts as ill.)

Each line above compares the score with the band that earlier runs of this notebook had. It says False if something is
broken.

A third set of films waits for notebook 6: `field`, as a portable machine would take them. We write down the answers of the
models now and put them in a sealed envelope: kept, not looked at.
""")
code("""
from helpers import get_field_data

field_films, field_labels = get_field_data(flatten=True)
field_rows = metadata[metadata["split"] == "field"]["index"].to_numpy()
for name in models:
    _ = examine(name, field_films[:, ::3], field_labels, "field", field_rows)
""", IGN)
md("""
## What kind of mistakes

Accuracy counts all mistakes alike. A **confusion matrix** shows them apart: rows are the truth, columns what the model says.
""")
code("""
from sklearn.metrics import ConfusionMatrixDisplay

from helpers import CLASS_NAMES
""")
code("""
guesses = models["logistic_regression"].predict(test_grey)
_ = ConfusionMatrixDisplay.from_predictions(
    test_labels, guesses, display_labels=CLASS_NAMES, cmap="Blues"
)
show_figure("A table of four numbers: healthy and ill films, each divided by what logistic regression said.")
""")
md("""
- **Sensitivity**: of the ill children, the share that the model finds. The lower row: right answers over all.
- **Specificity**: of the healthy children, the share that the model calls healthy. The upper row.
""")
code("""
pd.DataFrame(test_scores).T[["accuracy", "sensitivity", "specificity"]].round(3)
""", IGN)
md("""
On the test films, nearest neighbours and logistic regression find most ill children, but they call many healthy ones ill. A
ward could not work with so many false alarms. And again: on the validation films it was not so.

## What the models see

Nearest neighbours first. Here is a test film and the five films that lie closest to it.
""")
code("""
from helpers import plot_films

distances, neighbours = models["knn"].kneighbors(test_grey[:1], n_neighbors=5)
six = np.concatenate([test_grey[:1], fit_films[neighbours[0]]])
six_labels = [test_labels[0], *fit_labels[neighbours[0]]]
""")
code("""
titles = [CLASS_NAMES[label] for label in six_labels]
titles[0] = "test film:\\n" + titles[0]
pictures = np.repeat(six.reshape(-1, 64, 64, 1), 3, axis=-1)
_ = plot_films(pictures, titles, columns=6)
show_figure("A test film and its five nearest neighbours among the fit films, each with its class.")
""")
md("""
The neighbours have the same outline: the same size of chest, the same dark margin. That is what "close" means here. The
disease is a small part of the picture, so it hardly counts.

Logistic regression has one weight for each pixel. We can look at them as a picture.
""")
code("""
weights = models["logistic_regression"][-1].coef_.reshape(64, 64)
limit = np.abs(weights).max()
""")
code("""
_ = plt.imshow(weights, cmap="PuOr_r", vmin=-limit, vmax=limit)
_ = plt.colorbar(label="orange: bright here speaks for pneumonia")
_ = plt.title("weights of logistic regression")
show_figure("A map of weights with orange and purple patches, inside the lungs and also along the margin.")
""")
md("""
Much orange lies in the lungs, where it should. But there is colour outside the lungs too, where no doctor would look. On
the real films, see the dark spot at the left edge: many healthy films carry the letter R there, which marks the right side.
The model has learned to read the marker!

## Why pixels are not enough

Take a film and shift it by four pixels. For you it is the same film. For a model that compares pixel with pixel?
""")
code("""
first = fit_films[0].reshape(64, 64)
shifted = np.roll(first, 4, axis=1)
distance_to_itself = np.linalg.norm(first - shifted)
distance_to_others = np.sort(np.linalg.norm(fit_films - fit_films[0], axis=1))[1]
""")
code("""
assert distance_to_itself > distance_to_others
print("The shifted film is farther away:", bool(distance_to_itself > distance_to_others))
""")
md("""
The film of another child is *closer* than the same film, shifted. Pixels are poor **features**. We want features that say
"an edge", "a rib", "a cloudy patch", wherever they stand. A convolutional network learns them by itself: notebook 3.

## What you learned

- Nearest neighbours ask the closest examples; logistic regression weighs every pixel; a tree asks one pixel at a time.
- Settings (k, C) are chosen on validation films, never on test films.
- Each model met the test films once, and fell. Validation scores promise too much.
- Sensitivity is about the ill, specificity about the healthy. Look at both.
- Comparing pixel by pixel breaks when a film is shifted by a finger's width.

## Exercises

**1 (easy).** Which k would you choose if you asked for the highest sensitivity on the validation films? Compute it for each
k in `ks`.
""")
code("""
# exercise 1: your code
""")
md("""
**2 (medium).** Train nearest neighbours on only 50, 100, 200, ... fit films. Draw validation accuracy over the number of
films. Would twice as many films help?
""")
code("""
# exercise 2: your code
""")
md("""
**3 (open).** Equalise the brightness of each film first (subtract its mean, divide by its standard deviation). What happens
on validation films? Write down what you expect on the test films, and why, before you look.
""")
code("""
# exercise 3: your code
""")
md("""
**Next:** notebook 3 builds a convolutional network, which finds its own features.
""")
write("02_knn_and_logistic_regression.ipynb")
