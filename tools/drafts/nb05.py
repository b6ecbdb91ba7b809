from nbtools import *
md("""
# 5. Honest evaluation

**How good are these models really, and how would we know?**

| | |
| --- | --- |
| **You will do** | examine all models, choose a threshold, look for leaks, shortcuts and mistakes |
| **You will learn** | ROC curve, confidence interval, calibration, prevalence, leakage, shortcut, Grad-CAM |
| **You need** | notebooks 2 to 4: the models, sensitivity and specificity, AUC |
| **Time** | about 90 minutes, of which the computer needs 2 |
""")
code("", "setup", IGN)
md("""
Notebooks 2 to 4 measured accuracy and stopped. A hospital would ask more. We take the probabilities that the models gave
there: your own, where you ran those notebooks, else the stored ones.

## One exam for all, and for you
""")
code("""
from helpers import get_metadata, load_predictions

metadata = get_metadata()
test = load_predictions("test")
validation = load_predictions("validation")
models = ["knn", "logistic_regression", "decision_tree", "cnn", "vgg16"]
""")
md("""
Each model gave every test film a probability of pneumonia:
""")
code("""
test.head(3)
""", IGN)
md("""
In notebook 1 you judged ten test films by eye. Here are the models on the same ten, and on all test films.
""")
code("""
from helpers import load_reader

reader = load_reader()
ten = test[test["index"].isin(reader["indices"])]
""", IGN)
code("""
import pandas as pd

def accuracy(films):
    return ((films[models] >= 0.5).eq(films["label"] == 1, axis=0)).mean()

exam = pd.DataFrame({"ten films": accuracy(ten), "all test films": accuracy(test)})
exam.loc["reader", "ten films"] = reader["right"] / len(reader["answers"])
exam.round(2)
""", IGN)
md("""
Ten films say little: one film more or less is a tenth. How much do 400 films say? We come to that.

## What a ward needs to know

Of the ill children, how many are found (**sensitivity**)? Of the healthy ones, how many are left in peace
(**specificity**)? One number cannot answer both.
""")
code("""
from helpers import score

pd.DataFrame({model: score(test["label"], test[model]) for model in models}).T.round(2)
""", IGN)
md("""
On the real films all models have a high sensitivity and a low specificity: they call many healthy children ill. As a
**confusion matrix**, for the last model:
""")
code("""
from sklearn.metrics import ConfusionMatrixDisplay

from helpers import CLASS_NAMES, show_figure

best = models[-1]
_ = ConfusionMatrixDisplay.from_predictions(
    test["label"], test[best] >= 0.5, display_labels=CLASS_NAMES, cmap="Blues", colorbar=False
)
show_figure("Counts of four cells: true class in rows, predicted class in columns. Off the diagonal are mistakes.")
""")
md("""
All these numbers hang on the threshold 0.5. Move it, and some mistakes turn into others. The **ROC curve** shows all
thresholds at once: sensitivity against the share of false alarms. The **precision-recall curve** asks instead: of those
called ill, how many are?
""")
code("""
import matplotlib.pyplot as plt
import seaborn as sns

colors = dict(zip(models, sns.color_palette("colorblind")))
""")
code("""
from sklearn.metrics import precision_recall_curve, roc_curve

figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
for model in models:
    false_alarms, sensitivity, _ = roc_curve(test["label"], test[model])
    precision, recall, _ = precision_recall_curve(test["label"], test[model])
    _ = axes[0].plot(false_alarms, sensitivity, color=colors[model], label=model)
    _ = axes[1].plot(recall, precision, color=colors[model])
_ = axes[0].plot([0, 1], [0, 1], "--", color="gray", label="chance")
_ = axes[1].plot([0, 1], [0.5, 0.5], "--", color="gray")
_ = axes[0].legend()
_ = axes[0].set(xlabel="false alarms (1 - specificity)", ylabel="sensitivity", title="ROC")
_ = axes[1].set(xlabel="recall (sensitivity)", ylabel="precision", title="precision and recall")
show_figure(
    "Left: ROC curves of all models, far above the diagonal of chance; the decision tree is lowest. "
    "Right: precision falls as more of the ill are found."
)
""")
md("""
The area under the ROC curve is the **AUC**. It does not depend on a threshold. A model can have a good curve and still sit on
a bad point of it: that is what the low specificities above were.

## How sure are these numbers?

Another 400 children would give other numbers. The **bootstrap** imitates that: draw as many patients as there are, with
replacement, so that some come twice and some not at all, and measure again. Do it a thousand times. The middle 95 % of the
results is the **confidence interval**. We draw patients, not films: two films of one child are not two independent cases.
""")
code("""
from helpers import bootstrap_interval

patients = metadata.set_index("index")["patient"]
test_patients = patients[test["index"]]
labels = test["label"].to_numpy()
""")
code("""
def auc_of(model, rows):
    return score(labels[rows], test[model].to_numpy()[rows])["auc"]

intervals = {
    model: bootstrap_interval(lambda rows, m=model: auc_of(m, rows), test_patients, draws=500)
    for model in models
}
""", IGN)
code("""
_ = plt.figure(figsize=(7, 2.8), layout="constrained")
for row, model in enumerate(models):
    _ = plt.plot(intervals[model], [row, row], linewidth=6, color=colors[model], alpha=0.5)
    _ = plt.plot(auc_of(model, slice(None)), row, "o", color=colors[model])
_ = plt.yticks(range(len(models)), models)
_ = plt.xlabel("AUC on test films, with 95 % interval")
show_figure("One dot and one bar per model: the AUC and its interval, a few hundredths wide on each side.")
""")
code("""
widths = {model: high - low for model, (low, high) in intervals.items()}

assert all(0.01 < width < 0.15 for width in widths.values())
print("Every interval is between 0.01 and 0.15 wide.")
""")
md("""
With 400 films the AUC is known to about two or three hundredths. Differences smaller than that are not worth a headline.

Overlapping bars do not settle which of two models is better. Both took the *same* exam, so compare them on the same drawn
patients:
""")
code("""
low, high = bootstrap_interval(
    lambda rows: auc_of("cnn", rows) - auc_of("knn", rows), test_patients, draws=500
)
print(f"AUC of the CNN minus AUC of nearest neighbours: between {low:+.3f} and {high:+.3f}")
""", IGN)
md("""
If the interval contains zero, this exam cannot tell the two models apart.

There is a second uncertainty. Train the same network with another seed, and it is another network:
""")
code("""
from helpers import load_results

results = load_results()
by_seed = results[results["split"] == "test"].pivot(index="model", columns="seed", values="auc")
by_seed.reindex(models).round(3)
""", IGN)
md("""
These are stored runs with three seeds. Nearest neighbours use no random numbers. The networks do.

## Choose the threshold, then leave it alone

A ward may say: find at least 95 of 100 ill children. Which threshold does that? We look it up on the *validation* films,
freeze it, and only then look at the test films.
""")
code("""
def threshold_for(sensitivity, labels, probabilities):
    of_the_ill = probabilities[labels == 1].sort_values().to_numpy()
    return of_the_ill[int((1 - sensitivity) * len(of_the_ill))]
""")
code("""
rows = {}
for model in models:
    threshold = threshold_for(0.95, validation["label"], validation[model])
    before = score(validation["label"], validation[model], threshold)
    after = score(test["label"], test[model], threshold)
    rows[model] = [threshold, before["sensitivity"], before["specificity"]]
    rows[model] += [after["sensitivity"], after["specificity"]]
""")
code("""
columns = ["threshold", "sens. validation", "spec. validation", "sens. test", "spec. test"]
pd.DataFrame(rows, index=columns).T.round(2)
""", IGN)
md("""
Read one row from left to right. On validation films the promise holds: the threshold was made for them. On the real test
films the sensitivity stays, but the specificity falls far below what validation promised. The threshold was right for other
films than these.

What a threshold does, for the last model:
""")
code("""
figure, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained", sharey=True)
for ax, threshold in zip(axes, [0.1, 0.5, 0.9]):
    for label, color in [(0, "#0173b2"), (1, "#de8f05")]:
        _ = ax.hist(test[best][labels == label], bins=20, range=(0, 1), color=color, alpha=0.6)
    scores = score(labels, test[best], threshold)
    _ = ax.axvline(threshold, color="black", linestyle="--")
    _ = ax.set_xlabel("probability of pneumonia")
    _ = ax.set_title(f"sens. {scores['sensitivity']:.2f}, spec. {scores['specificity']:.2f}")
_ = axes[0].set_ylabel("films")
_ = axes[2].legend(["threshold", *CLASS_NAMES])
show_figure(
    "Three times the same histogram of probabilities, healthy in blue and ill in orange, "
    "with the threshold at 0.1, 0.5 and 0.9. Further right: lower sensitivity, higher specificity."
)
""")
md("""
To move it yourself, run the next cell (optional; the slider needs a running notebook).
""")
code("""
from ipywidgets import FloatSlider, Label, VBox

slider = FloatSlider(0.5, min=0.01, max=0.99, step=0.01, description="threshold")
answer = Label()

def update(change=None):
    scores = score(labels, test[best], slider.value)
    two = [f"{name} {scores[name]:.2f}" for name in ("sensitivity", "specificity")]
    answer.value = ", ".join(two)

slider.observe(update, names="value")
update()
VBox([slider, answer])
""", IGN)
md("""
## What does "ill" mean where few are ill?

In our exam every second child is ill. In a surgery perhaps one in twenty is (the **prevalence**). Of 1,000 children there,
how many of those called ill really are?
""")
code("""
def share_really_ill(prevalence, sensitivity, specificity):
    found = prevalence * sensitivity
    false_alarms = (1 - prevalence) * (1 - specificity)
    return found / (found + false_alarms)

print(f"1 in 2 ill:  {share_really_ill(1 / 2, 0.95, 0.80):.2f}")
print(f"1 in 20 ill: {share_really_ill(1 / 20, 0.95, 0.80):.2f}")
""")
code("""
import numpy as np

prevalences = np.linspace(0.005, 0.5, 100)
_ = plt.figure(figsize=(6, 3), layout="constrained")
for specificity, style in [(0.95, "-"), (0.8, "--"), (0.6, ":")]:
    shares = share_really_ill(prevalences, 0.95, specificity)
    _ = plt.plot(prevalences, shares, style, color="black", label=f"specificity {specificity}")
_ = plt.legend()
_ = plt.xlabel("prevalence"), plt.ylabel("of those called ill,\\nreally ill")
show_figure(
    "Three rising curves. With a specificity of 0.8 and few ill children, most of those called ill are healthy.",
    films=False,
)
""")
md("""
With a sensitivity of 0.95 and a specificity of 0.80, four of five alarms are false where one child in twenty is ill. The same
model, another place.

## Does 80 percent mean 80 percent?

A probability is **calibrated** if, of all films that get 0.8, about 80 percent are ill. The curve below should follow the
diagonal. The **Brier score** is the mean squared distance between probability and truth: 0 is perfect, and 0.25 is what
"0.5" for every film would get.
""")
code("""
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

pd.DataFrame(
    {
        "validation": {m: brier_score_loss(validation["label"], validation[m]) for m in models},
        "test": {m: brier_score_loss(test["label"], test[m]) for m in models},
    }
).round(3)
""", IGN)
md("""
If a network is too sure of itself, one can cool it down: divide the log-odds of every probability by one number, the
**temperature**. It is chosen on validation films. The order of the films, and so the AUC, stays the same.
""")
code("""
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

def cooled(probabilities, temperature):
    p = probabilities.clip(1e-4, 1 - 1e-4)
    return 1 / (1 + (p / (1 - p)) ** (-1 / temperature))
""")
code("""
def validation_loss(temperature):
    return log_loss(validation["label"], cooled(validation[best], temperature))

temperature = minimize_scalar(validation_loss, bounds=(0.2, 10), method="bounded").x
print(f"temperature {temperature:.2f}")
""", IGN)
code("""
_ = plt.figure(figsize=(5, 4), layout="constrained")
_ = plt.plot([0, 1], [0, 1], "--", color="gray", label="perfect")
curves = {
    "validation": (validation["label"], validation[best]),
    "test": (labels, test[best]),
    "test, cooled": (labels, cooled(test[best], temperature)),
}
for (name, (truth, p)), marker in zip(curves.items(), "os^"):
    share_ill, mean_p = calibration_curve(truth, p, n_bins=6, strategy="quantile")
    _ = plt.plot(mean_p, share_ill, marker=marker, label=name)
_ = plt.legend()
_ = plt.xlabel("probability, mean of each sixth of the films"), plt.ylabel("share of ill films")
show_figure("Share of ill films against predicted probability, on validation and test films, beside the diagonal.")
""")
code("""
auc_cooled = score(labels, cooled(test[best], temperature))["auc"]

assert abs(auc_cooled - auc_of(best, slice(None))) < 0.01
print("Temperature leaves the AUC as it is.")
""")
md("""
On the real test films the curve lies below the diagonal: the model says 0.8, and fewer are ill. One temperature, learned
from validation films, cannot mend that. It cannot know that other films are coming.

## Why did validation promise so much?

Validation films come from the same folder as the fit films, test films from another one. Look at their average:
""")
code("""
from helpers import get_test_data, get_train_data, plot_films, split_by_patient

films, train_labels = get_train_data()
test_films, test_labels = get_test_data()
fit, held_out = split_by_patient(metadata)
""", IGN)
code("""
folders = {"train": (films, train_labels), "test": (test_films, test_labels)}
means = {
    f"{CLASS_NAMES[label]}, {name}": pictures[truth == label].mean(axis=0)
    for label in (0, 1)
    for name, (pictures, truth) in folders.items()
}
_ = plot_films(list(means.values()), list(means), columns=4)
show_figure("The mean of all healthy and of all ill films, from the train and the test folder.")
""")
code("""
figure, axes = plt.subplots(1, 2, figsize=(10, 2.8), sharex=True, layout="constrained")
for label, ax in enumerate(axes):
    for (name, (pictures, truth)), style in zip(folders.items(), ["-", "--"]):
        brightness = pictures[truth == label].mean(axis=(1, 2, 3))
        sns.kdeplot(x=brightness, ax=ax, linestyle=style, label=name)
    _ = ax.set(title=CLASS_NAMES[label], xlabel="mean brightness of a film", ylabel="density")
_ = axes[1].legend()
show_figure("Curves of mean brightness for healthy and ill films; those of the two folders do not lie on each other.")
""")
md("BRIGHT")
md("""
A remedy to try: **contrast equalisation** (CLAHE). It stretches the grey values of every film, region by region, so that a
film that was exposed darker looks like the others.
""")
code("""
from skimage.exposure import equalize_adapthist

def equalised(pictures):
    return np.stack([equalize_adapthist(picture[:, :, 0], kernel_size=16) for picture in pictures])

flat_films, flat_test = equalised(films), equalised(test_films)
""")
code("""
pictures = [films[0, :, :, 0], flat_films[0], test_films[0, :, :, 0], flat_test[0]]
_ = plot_films(pictures, ["train", "equalised", "test", "equalised"], columns=4)
show_figure("Two films before and after equalisation. Afterwards the ribs stand out and the grey values are alike.")
""")
code("""
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def exam_of(train_rows, test_rows):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-4, max_iter=1000))
    model.fit(train_rows[fit], train_labels[fit])
    on_validation = score(train_labels[held_out], model.predict_proba(train_rows[held_out])[:, 1])
    on_test = score(test_labels, model.predict_proba(test_rows)[:, 1])
    names = ["accuracy", "auc"]
    return [on_validation[name] for name in names] + [on_test[name] for name in names]
""")
code("""
def as_rows(pictures):
    return pictures.reshape(len(pictures), -1)

pixels = exam_of(as_rows(films[:, :, :, 0]), as_rows(test_films[:, :, :, 0]))
after = exam_of(as_rows(flat_films), as_rows(flat_test))
columns = ["accuracy, validation", "AUC, validation", "accuracy, test", "AUC, test"]
both = {"logistic regression": pixels, "the same, equalised": after}
pd.DataFrame(both, index=columns).T.round(3)
""", IGN)
md("""
EQUAL

## Choosing the epoch on the test films

The article that this series follows chose its best epoch by looking at the test films. How much does that flatter? Train
the CNN of notebook 3 and note its test accuracy after every epoch. (For once. This is about the mistake itself.)
""")
code("""
from helpers import QUICK, SEED, build_cnn, import_keras, training_callbacks

keras = import_keras()
keras.utils.set_random_seed(SEED)
EPOCHS = 6 if QUICK else 15
cnn = build_cnn()
on_test = []
""")
code("""
def peek(epoch, logs):
    probabilities = cnn.predict(test_films, verbose=0)
    on_test.append(score(test_labels, probabilities)["accuracy"])

peeking = keras.callbacks.LambdaCallback(on_epoch_end=peek)
history = cnn.fit(
    films[fit],
    train_labels[fit],
    validation_data=(films[held_out], train_labels[held_out]),
    epochs=EPOCHS,
    verbose=0,
    callbacks=[peeking, *training_callbacks("peeking", EPOCHS)],
)
""", IGN)
code("""
chosen = int(np.argmin(history.history["val_loss"]))
_ = plt.figure(figsize=(6, 3), layout="constrained")
_ = plt.plot(range(1, EPOCHS + 1), on_test, "o-", color="black")
_ = plt.axvline(chosen + 1, linestyle=":", color="black")
_ = plt.xlabel("epoch (dotted: best on validation films)"), plt.ylabel("accuracy on test films")
show_figure("Accuracy on test films after each epoch: it jumps up and down. A dotted line marks the chosen epoch.")
""")
code("""
print(f"epoch chosen on validation films: {on_test[chosen]:.3f} on test films")
print(f"epoch chosen on test films:       {max(on_test):.3f} on the same test films")
""", IGN)
code("""
assert max(on_test) >= on_test[chosen]
print("Choosing on the test films can only flatter.")
""")
md("""
The second number is the best of many tries, picked with the answers in hand. New films would not know about that.

## Leakage: answers that slip into the training

**The same patient on both sides.** Many children in this data set have several films. Divide by film, and a child may
stand on both sides; divide by patient, and never.
""")
code("""
from sklearn.model_selection import KFold, StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier

train_patients = metadata[metadata["split"] == "train"]["patient"].to_numpy()
small = films[:, ::2, ::2, 0].reshape(len(films), -1)
by_film = KFold(5, shuffle=True, random_state=0).split(small)
by_patient = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(
    small, train_labels, train_patients
)
""")
code("""
def known_and_strange(folds):
    right, known = np.zeros(len(small), bool), np.zeros(len(small), bool)
    for learn, judge in folds:
        nearest = KNeighborsClassifier(1).fit(small[learn], train_labels[learn])
        right[judge] = nearest.predict(small[judge]) == train_labels[judge]
        known[judge] = np.isin(train_patients[judge], train_patients[learn])
    return right, known
""")
code("""
right, known = known_and_strange(by_film)
print(f"divided by film: {known.mean():.0%} of the judged films show a child that was learned from")
print(f"right answers: known children {right[known].mean():.3f}, others {right[~known].mean():.3f}")
""", IGN)
code("""
right_patient, known_patient = known_and_strange(by_patient)
print(f"right answers: {right.mean():.3f} by film, {right_patient.mean():.3f} by patient")
""", IGN)
code("""
assert known.any() and not known_patient.any()
print("Divided by patient, no judged film shows a child that was learned from.")
""")
md("""
LEAK

**A data set that shuffles itself anew.** A well-known pattern in TensorFlow: shuffle, take the first part to validate, skip
it for training. Here with the numbers 0 to 9 instead of films:
""")
code("""
import tensorflow as tf

numbers = tf.data.Dataset.range(10).shuffle(10, seed=SEED)
validation_part, training_part = numbers.take(3), numbers.skip(3)
""")
code("""
seen = {int(n) for epoch in range(5) for n in training_part}
validated = {int(n) for epoch in range(5) for n in validation_part}
print(f"{len(seen & validated)} of {len(validated)} validation numbers were also trained on")

assert seen & validated
""")
md("""
`shuffle` deals the cards again at every pass, so *take* and *skip* cut another pack each time. Remedies: divide first and
shuffle the training part afterwards, or `shuffle(..., reshuffle_each_iteration=False)`.

## Shortcuts: right for the wrong reason

Can one tell ill from healthy *without* looking at the lungs? Three models that see almost nothing: only the outermost four
pixels of the film, only its mean brightness, only how many pixels have which grey (the histogram).
""")
code("""
def border(pictures):
    frame = np.ones((64, 64), bool)
    frame[4:-4, 4:-4] = False
    return pictures[:, frame, 0]

def mean_brightness(pictures):
    return pictures.mean(axis=(1, 2, 3)).reshape(-1, 1)

def histogram(pictures):
    return np.stack([np.histogram(film[:, :, 0], bins=16, range=(0, 1))[0] for film in pictures])
""")
code("""
shortcuts = {
    function.__name__: exam_of(function(films), function(test_films))
    for function in (border, mean_brightness, histogram)
}
""")
code("""
names = ["accuracy, validation", "AUC, validation", "accuracy, test", "AUC, test"]
pd.DataFrame(shortcuts, index=names).T.round(3)
""", IGN)
md("""
SHORTCUT

## Where does the network look?

**Grad-CAM** asks a trained network: which places of the feature maps would, if they answered a little more strongly, raise
the probability of pneumonia most? It paints those places warm.
""")
code("""
from helpers import grad_cam, load_best_weights

load_best_weights(cnn, "peeking")

def convolutions(model):
    return [layer.name for layer in model.layers if "conv" in layer.name]
""")
code("""
probabilities = cnn.predict(test_films, verbose=0).ravel()
said_ill = probabilities >= 0.5
groups = {
    "ill, found": (test_labels == 1) & said_ill,
    "ill, missed": (test_labels == 1) & ~said_ill,
    "healthy, called ill": (test_labels == 0) & said_ill,
}
examples = [np.flatnonzero(group)[:2] for group in groups.values()]
chosen_films = np.concatenate(examples)
titles = [name for name, rows in zip(groups, examples) for _ in rows]
""")
code("""
def draw_heat(pictures, heat, titles):
    axes = plot_films(pictures, titles, columns=len(pictures))
    for ax, warm in zip(axes.flat, heat):
        _ = ax.imshow(warm, cmap="inferno", alpha=0.5 * (warm > 0.2))
""")
code("""
heat = grad_cam(cnn, test_films[chosen_films], convolutions(cnn)[-1])
draw_heat(test_films[chosen_films], heat, titles)
show_figure("Six chest films, right and wrong answers, with warm spots where the CNN found signs of pneumonia.")
""")
md("""
The small network answers to bright places almost anywhere, also at the edge of the film. Now VGG16 with a new head, as in
the first step of notebook 4 (about 15 seconds):
""")
code("""
from helpers import load_vgg16
from keras import layers
from keras.applications.vgg16 import preprocess_input

trunk, weights_name = load_vgg16()
""", IGN)
code("""
def vgg16_with_end(pictures, classes):
    maps = trunk.predict(preprocess_input(pictures * 255), batch_size=64, verbose=0)
    keras.utils.set_random_seed(SEED)
    answer = layers.Dense(1, activation="sigmoid")
    end = keras.Sequential([layers.BatchNormalization(momentum=0.9), answer])
    end.compile("adam", loss="binary_crossentropy")
    _ = end.fit(maps.mean(axis=(1, 2)), classes, epochs=10, verbose=0)
    return keras.Model(trunk.input, end(layers.GlobalAveragePooling2D()(trunk.output)))
""")
code("""
vgg16 = vgg16_with_end(films[fit], train_labels[fit])
""", IGN)
code("""
prepared = preprocess_input(test_films[chosen_films] * 255)
heat_vgg16 = grad_cam(vgg16, prepared, "block4_conv3")
draw_heat(test_films[chosen_films], heat_vgg16, titles)
show_figure("The same six chest films, with the warm spots of VGG16: a few round ones, some outside the lungs.")
""")
md("""
Heat maps look convincing. Too convincing: they always show *something*. A sanity check: paint the same for a network that
has learned nothing at all.
""")
code("""
keras.utils.set_random_seed(SEED)
untrained = build_cnn()
heat_untrained = grad_cam(untrained, test_films[chosen_films], convolutions(untrained)[-1])
draw_heat(test_films[chosen_films], heat_untrained, titles)
show_figure("The same six chest films with the warm spots of an untrained network. They look meaningful, too.")
""")
md("""
If you cannot tell this picture from the first one by its looks, do not trust your looks. One needs a number, and for that
the truth. On the *simulated* films of this course we know where the pneumonia is, since a program drew it. So: train a CNN
on simulated films, and count.
""")
code("""
from helpers import draw_phantoms

table = metadata[metadata["split"] == "train"].iloc[fit]
ill_rows = metadata[(metadata["split"] == "test") & (metadata["class"] == 1)].head(100)
drawn, _ = draw_phantoms(table)
drawn_ill, masks = draw_phantoms(ill_rows)
""", IGN)
code("""
keras.utils.set_random_seed(SEED)
artificial = build_cnn()
PHANTOM_EPOCHS = 4 if QUICK else 10
_ = artificial.fit(drawn, table["class"].to_numpy(), epochs=PHANTOM_EPOCHS, verbose=0)
""", IGN)
md("""
And the trunk of VGG16 with a new end that learns from simulated films:
""")
code("""
vgg16_artificial = vgg16_with_end(drawn, table["class"].to_numpy())
""", IGN)
md("""
Two scores per network: which share of the heat lies inside the true pneumonia, and how often the hottest point does.
""")
code("""
def truth_scores(heat):
    inside = (heat * masks).sum() / heat.sum()
    hottest = heat.reshape(len(heat), -1).argmax(axis=1)
    hits = masks.reshape(len(masks), -1)[range(len(masks)), hottest].mean()
    return [inside, hits]
""")
code("""
prepared = preprocess_input(drawn_ill * 255)
heats = {
    "VGG16": grad_cam(vgg16_artificial, prepared, "block4_conv3"),
    "CNN": grad_cam(artificial, drawn_ill, convolutions(artificial)[-1]),
    "CNN, untrained": grad_cam(untrained, drawn_ill, convolutions(untrained)[-1]),
}
""")
code("""
names = ["share of the heat inside", "hottest point inside"]
hits = pd.DataFrame({name: truth_scores(heat) for name, heat in heats.items()}, index=names)
hits.assign(chance=masks.mean()).round(2)
""", IGN)
code("""
axes = plot_films(drawn_ill[:5])
for ax, warm, mask in zip(axes.flat, heats["VGG16"], masks):
    _ = ax.imshow(warm, cmap="inferno", alpha=0.5 * (warm > 0.2))
    _ = ax.contour(mask, levels=[0.5], colors="cyan")
_ = plt.suptitle("Simulated films. Cyan: the true pneumonia", fontsize=10)
show_figure(
    "Five simulated films, not patients. Warm spots of VGG16, and the true border of the pneumonia in cyan.",
    films=False,
)
""")
md("""
GRADCAM

## The worst mistakes

Look at the films that the last model was most sure and most wrong about.
""")
code("""
error = (test[best] - test["label"]).abs()
worst = error.sort_values(ascending=False).index[:10]
_ = plot_films(
    test_films[worst],
    [f"{CLASS_NAMES[labels[row]]}: {test[best][row]:.2f}" for row in worst],
)
show_figure("Ten chest films with their true class and the predicted probability of pneumonia, all badly wrong.")
""")
md("""
The title gives the truth and the model's probability of pneumonia. What would you have said? Are some of these films
turned, dark, or labelled in a way that you doubt?

## What cannot be known here

- The table has no age, no sex, no hospital ward. So nobody can measure whether the models are fair to girls and boys.
- The labels are the judgement of two doctors, checked by a third for the test films (see the
  [data card](../data/README.md)). Nobody knows the truth behind them.
- All films come from one hospital and from children of one to five years. About other hospitals, adults, and other
  diseases these numbers say nothing.

## What you learned

- Every number comes with an interval. Draw patients, not films, and compare models on the same draws.
- The threshold is chosen on validation films and frozen. Prevalence decides what an alarm is worth.
- Calibration and specificity were lost on films from another folder, though the order of the films was mostly kept.
- Leaks and shortcuts give good numbers for the wrong reason. A heat map needs a sanity check and a truth.

## Exercises

**1 (easy).** Which prevalence makes half of the alarms of the last model true, at the threshold 0.5? Use its sensitivity and
specificity on the test films.
""")
code("""
# exercise 1: your code
""")
md("""
**2 (medium).** Compute the bootstrap interval of the *sensitivity* of one model, once drawing patients and once drawing
films. Which is wider?
""")
code("""
# exercise 2: your code
""")
md("""
**3 (open).** Find another shortcut: something that you can measure on a film, has nothing to do with the lungs, and tells ill
from healthy better than chance on validation films. Does it hold on test films?
""")
code("""
# exercise 3: your code
""")
md("""
**Next:** notebook 6 takes the models out of the hospital: films from a portable machine.
""")
write("05_honest_evaluation.ipynb")
