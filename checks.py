"""Checks of the exercises. Each prints a verdict: right, not yet (and where to look), or not answered yet.

check_N_M belongs to exercise M of notebook N: it returns its praise, or refuses the answer with a hint. No check trains
a network or judges by the test images, and none stops the notebook, whatever it is given.
"""

import functools
import inspect

import numpy as np
import pandas as pd
from scipy.ndimage import rotate
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import helpers
import networks
from data.sources import one_line

NOT_ANSWERED = "not answered yet"
EXAMS = ("validation", "external")


class Refused(Exception):
    """The answer is not right; the message is the verdict."""


def refuse(hint, verdict="not yet"):
    raise Refused(f"{verdict}. {hint}")


def refuse_if(condition, hint, verdict="not yet"):
    if condition:
        refuse(hint, verdict)


def checker(function):
    """Make a function that returns praise, or refuses, into a check that prints the verdict whatever it is given."""
    exercise = function.__name__.split("_")[-1]

    @functools.wraps(function)
    def check(*answers, **named):
        try:
            answers = inspect.signature(function).bind(*answers, **named).args
            answers = [answer[0] if is_comma_slip(answer) else answer for answer in answers]
            advice = "Write your answer into the cell above and run it, then run this cell again."
            refuse_if(any(is_empty(answer) for answer in answers), advice, NOT_ANSWERED)
            verdict = "right. " + function(*answers)
        except Refused as refusal:
            verdict = str(refusal)
        except SystemExit:
            verdict = "not yet. Your function ends Python with exit() or quit(): use return."
        except Exception as error:  # the answer may be anything, and a student's function may raise anything
            verdict = f"not yet. The check could not use this answer: {type(error).__name__}: {one_line(error)}"
        print(f"Exercise {exercise}: {verdict}")

    return check


def is_comma_slip(answer):
    """True for `x = {...},`: the comma behind a dictionary, an array or a table makes a tuple of one of it."""
    return isinstance(answer, tuple) and len(answer) == 1 and not isinstance(answer[0], (int, float, str))


# --- reading answers ------------------------------------------------------------------------------------------------


def is_empty(answer):
    """True for None, for "", and for a list, table or dictionary that holds nothing or only None."""
    if isinstance(answer, dict):
        return all(is_empty(value) for value in answer.values())
    if isinstance(answer, (list, tuple, set)):
        return all(is_empty(value) for value in answer)
    if isinstance(answer, (np.ndarray, pd.Series, pd.DataFrame)):
        return answer.size == 0
    return answer is None or answer is ... or (isinstance(answer, str) and not answer.strip())


def as_number(answer):
    """The float in an int, float, numpy number, or array of one number; None for everything else."""
    if isinstance(answer, (bool, np.bool_, str, bytes)):
        return None
    array = as_array(answer)
    return float(array.ravel()[0]) if array is not None and array.size == 1 else None


def as_array(answer):
    """The answer as an array of floats without NaN; None where it is not one."""
    try:
        array = np.asarray(answer, dtype=float)
    except (TypeError, ValueError, OverflowError):
        return None
    return array if array.size and np.isfinite(array).all() else None


def as_share(answer):
    """The answer as a number from 0 to 1, such as an accuracy or an AUC. Refuses everything else."""
    number = as_number(answer)
    refuse_if(number is None, "One number is expected, such as 0.935.")
    refuse_if(1 < number <= 100, "A share lies between 0 and 1: is yours in percent? Divide by 100.")
    refuse_if(not 0 <= number <= 1, f"A share lies between 0 and 1; this is {number:g}.")
    return number


def as_curve(answer, expected):
    """{number: number} from a dictionary, a Series or a list of pairs. Refuses everything else."""
    try:
        curve = {as_number(key): value for key, value in dict(answer).items()}
    except (TypeError, ValueError):
        refuse(expected)
    refuse_if(None in curve or None in map(as_number, curve.values()), expected)
    return curve


def as_named(answer, *names):
    """The values of these names in a dictionary, in this order. Refuses everything else."""
    expected = ", ".join(f'"{name}": ...' for name in names)
    refuse_if(not isinstance(answer, dict) or set(answer) != set(names), f"A dictionary is expected: {{{expected}}}.")
    return [answer[name] for name in names]


def as_function(answer):
    refuse_if(not callable(answer), "Pass the function itself, without brackets behind its name.")
    return answer


def single_values(answer):
    """All values in nested lists, arrays, Series and dictionaries, in one list."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, (list, tuple, set, np.ndarray, pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        return [value for part in answer for value in single_values(part)]
    return [answer]


def distance(answer, value):
    """The largest difference between two numbers, or between the parts of two arrays."""
    return np.max(np.abs(np.subtract(answer, value)))


def refuse_mistakes(answer, true, mistakes, tolerance):
    """Refuse an answer that a known mistake gives: that lies closer to it than to the true one and the others.

    mistakes: {hint: what the mistake gives}; numbers or arrays, as in distance(), which stays within the tolerance.
    """
    distances = {hint: distance(answer, value) for hint, value in {None: true, **mistakes}.items()}
    hint = min(distances, key=distances.get)
    refuse_if(hint and distances[hint] <= tolerance, hint)


# --- images ---------------------------------------------------------------------------------------------------------


def training_and_validation():
    """(training images, their labels, validation images, their labels), images (N, 64, 64, 3)."""
    images, labels = helpers.get_train_data()
    training, validation = helpers.split_by_patient(helpers.get_metadata())
    return images[training], labels[training], images[validation], labels[validation]


def grey_rows(images):
    return images[..., 0].reshape(len(images), -1)


def accuracy(model, images, labels):
    return helpers.score(labels, model.predict(images, verbose=0))["accuracy"]


def call_with_images(function, images):
    """What a student's function makes of a copy of the images: an array with one row for each. Refuses what is none."""
    given = images.copy()
    answer = as_array(as_function(function)(given))
    refuse_if(answer is None, "Your function must return an array of numbers, without NaN. Does it end with return?")
    in_place = not np.array_equal(given, images)
    refuse_if(in_place, "Your function changes the images that it was given: work on a copy, images.copy().")
    one = "One number came out for all images together: over which axis? Images are axis 0, so leave that out."
    refuse_if(answer.ndim == 0, one)
    rows = len(answer)
    not_one_each = f"{len(images)} images went in, but {rows} rows came out: return one for each image."
    refuse_if(rows != len(images), not_one_each)
    return answer


def change_images(function, images, unlike):
    """The images as a student's function changes them; unlike: what to say where they are no longer the same images."""
    changed = call_with_images(function, images)
    shapes = f"Images of shape {images.shape} went in, {changed.shape} came out. Keep the shape."
    refuse_if(changed.shape != images.shape, shapes)
    out_of_range = changed.min() < -1e-3 or changed.max() > 1.001
    refuse_if(out_of_range, "Grey values leave the range from 0 to 1: end with np.clip(..., 0, 1).")
    refuse_if_unchanged(changed, images)
    means = [some.mean(axis=(1, 2, 3)) for some in (images, changed)]
    reordered = np.allclose(*map(np.sort, means), atol=1e-5) and not np.allclose(*means, atol=1e-5)
    refuse_if(reordered, "The images came back in another order: axis 0 counts images, 1 is for rows, 2 for columns.")
    refuse_if(likenesses(changed, images).mean() < 0.2, unlike)
    return changed.astype("float32")


def refuse_if_unchanged(changed, images):
    same = changed.shape == images.shape and np.abs(changed - images).mean() < 1e-4
    refuse_if(same, "Your function gives the images back as they were.", NOT_ANSWERED)


def refuse_if_dependent(function, images, answer, hint):
    """Refuse a function that answers differently for an image when fewer images stand beside it."""
    alone = as_array(function(images[:2].copy()))
    same = alone is not None and alone.shape == answer[:2].shape and np.allclose(alone, answer[:2], atol=1e-4)
    refuse_if(not same, hint)


def likenesses(images, others):
    """The correlation of each image with its partner, 0 where one of them is the same grey everywhere."""

    def likeness(one, other):
        return np.corrcoef(np.ravel(one), np.ravel(other))[0, 1] if min(np.std(one), np.std(other)) > 1e-6 else 0

    return np.array([likeness(*pair) for pair in zip(images, others, strict=True)])


# --- notebook 1 -----------------------------------------------------------------------------------------------------


@checker
def check_1_1(answer):
    """answer: the number of images and the name of the split, such as (7, "test")."""
    metadata = helpers.get_metadata()
    refuse_if(metadata["patient"].is_unique, "These images name no patients: do this exercise with other ones.")
    images_per_patient = metadata["patient"].value_counts()
    values = single_values(answer)
    numbers = [as_number(value) for value in values if as_number(value) is not None]
    names = [value.strip().lower() for value in values if isinstance(value, str)]
    two_things = 'Two things are expected: a number and the name of a split, such as (7, "test").'
    refuse_if(len(numbers) != 1 or len(names) != 1, two_things)
    number, name = numbers[0], names[0]
    is_patient = name in set(metadata["patient"].str.lower())
    refuse_if(is_patient, 'That is the name of a patient. Which split are the images in? See the column "split".')
    no_split = f'There is no split "{name}": see the values of metadata["split"].'
    refuse_if(name not in set(metadata["split"]), no_split)
    patients, most = images_per_patient.size, images_per_patient.max()
    refuse_if(number == patients, "That is the number of patients. How many images has the one with the most?")
    in_split = "That is the number of images in a split. How many has one patient? Use images_per_patient."
    refuse_if(number in set(metadata["split"].value_counts()), in_split)
    refuse_if(number != most, "The largest number of images of one patient is another: see images_per_patient.max().")
    theirs = metadata["patient"].isin(images_per_patient.index[images_per_patient == most])
    wrong_split = "The number is right, the split is not. Look at the rows of this patient in metadata."
    refuse_if(name not in set(metadata.loc[theirs, "split"]), wrong_split)
    return f"{number:g} images, all in the split {name}."


@checker
def check_1_2(answer):
    """answer: images by kind ("bacteria", "virus") and split, a table or a dictionary of dictionaries."""
    counts = read_counts(answer)
    metadata = helpers.get_metadata()
    named = metadata["filename"].str.contains("bacteria").any()
    refuse_if(not named, "These images do not name their bacteria and viruses: do this exercise with other ones.")
    kinds = metadata["filename"].str.extract("(bacteria|virus)", expand=False).fillna("healthy")
    table = pd.crosstab(kinds, metadata["split"]).reindex(["bacteria", "virus", "healthy"], fill_value=0)
    true = table.loc[counts.index]
    if (counts == true).all(axis=None):
        return "Bacteria caused the pneumonia in about two thirds of these images."
    are_shares = counts.to_numpy().sum() <= counts.size
    refuse_if(are_shares, "These are shares. The question is how many images: counts, without normalize.")
    bacteria, virus, healthy = table.to_numpy()
    mistakes = {
        "Your bacteria include healthy images: not every image without a virus shows bacteria.": bacteria + healthy,
        "Bacteria and virus are exchanged.": virus,
        "These are all images with pneumonia. Divide them by the kind that the file name tells.": bacteria + virus,
    }
    refuse_mistakes(counts.loc["bacteria"], bacteria, mistakes, 0)
    kind, split = (counts != true).stack().idxmax()
    refuse(f"Look at {kind} in {split}: you have {counts.loc[kind, split]:g}, and the table has another number.")


def read_counts(answer):
    """A table with the rows bacteria and virus and a column for each split, from a table or a dictionary."""
    try:
        if isinstance(answer, dict) and all(isinstance(key, tuple) for key in answer):
            answer = pd.Series(answer)
        table = answer.unstack() if isinstance(answer, pd.Series) else pd.DataFrame(answer)
        if any(str(name).startswith(("bact", "vir")) for name in table.columns):
            table = table.T
        table = table.rename(lambda name: {"bac": "bacteria", "vir": "virus"}.get(str(name)[:3]))  # viral or virus
        return table.loc[["bacteria", "virus"], sorted(set(helpers.get_metadata()["split"]))].astype(float)
    except (AttributeError, KeyError, TypeError, ValueError):
        refuse("Give a table, such as pd.crosstab makes, with the names bacteria, virus, train, test, field.")


@checker
def check_1_3(difference):
    """difference: array (64, 64) or (64, 64, 3), mean healthy validation image minus mean healthy training image."""
    array = as_array(difference)
    shape = "no array of numbers" if array is None else f"an array of shape {array.shape}"
    is_image = array is not None and array.size in (64 * 64, 64 * 64 * 3)
    one = f"One image is expected, of shape (64, 64, 3); this is {shape}. Take mean(axis=0) of images."
    refuse_if(not is_image, one)
    picture = array.reshape(64 * 64, -1).mean(axis=1)

    def means(images, labels):
        rows = grey_rows(images)
        chosen = {"healthy": labels == 0, "ill": labels == 1, "all": labels >= 0}
        return {name: rows[those].mean(axis=0) for name, those in chosen.items()}

    images, labels, validation_images, validation_labels = training_and_validation()
    training, validation = means(images, labels), means(validation_images, validation_labels)
    train = means(*helpers.get_train_data())
    ill_minus_healthy = "That is ill minus healthy. Compare the healthy images of two parts: training and validation."
    mistakes = {
        "You took the images with pneumonia. Healthy images have label 0.": validation["ill"] - training["ill"],
        "You took images of both classes. Choose those with label 0 first.": validation["all"] - training["all"],
        ill_minus_healthy: train["ill"] - train["healthy"],
        "That is one of the two means. Subtract the other one.": validation["healthy"],
        "That is one of the two means. Subtract it from the other one.": training["healthy"],
        "The difference is zero everywhere: did you subtract a mean from itself?": np.zeros(64 * 64),
    }
    true = validation["healthy"] - training["healthy"]
    for sign in (1, -1):
        if distance(sign * picture, true) <= 0.002:
            by_chance, by_illness = np.abs(true).max(), np.abs(mistakes[ill_minus_healthy]).max()
            return f"Chance alone: differences up to {by_chance:.2f} here; ill against healthy: up to {by_illness:.2f}."
        refuse_mistakes(sign * picture, true, mistakes, 0.002)
    refuse("This is another image. Mean of the healthy validation images, minus mean of the healthy training images.")


# --- notebook 2 -----------------------------------------------------------------------------------------------------


@checker
def check_2_1(k):
    """k: the one of ks with the highest sensitivity on the validation images."""
    ks = [1, 3, 5, 7, 15, 41, 81]
    number = as_number(k)
    refuse_if(number is None, "One number is expected: the k that you would choose.")
    refuse_if(0 < number < 1, "That looks like a sensitivity. The question is for which k it is highest.")
    refuse_if(number not in ks, f"Choose one of ks: {ks}.")
    training_images, training_labels, images, labels = training_and_validation()
    training_rows, rows = grey_rows(training_images), grey_rows(images)
    p = {n: KNeighborsClassifier(n).fit(training_rows, training_labels).predict_proba(rows)[:, 1] for n in ks}
    scores = pd.DataFrame({n: helpers.score(labels, p[n]) for n in ks})
    highest = scores[number] == scores.max(axis=1)
    if highest["sensitivity"]:
        return f"Now look at its specificity, too: {scores[number]['specificity']:.3f}. Is it the highest as well?"
    others = " and ".join(name for name in ("accuracy", "specificity") if highest[name])
    refuse_if(others, f"This k has the highest {others}. Sensitivity looks at the ill images only.")
    refuse("Another k finds more of the ill. Take the validation images with label 1: which share is found?")


@checker
def check_2_2(curve):
    """curve: {number of training images: accuracy on the validation images} of the 5 nearest neighbours."""
    curve = as_curve(curve, "A dictionary is expected: {50: 0.7, 100: 0.8, ...}.")
    training_images, training_labels, images, labels = training_and_validation()
    rows, sizes = grey_rows(training_images), sorted(curve)
    too_few = len(sizes) < 4 or sizes[0] > 100 or sizes[-1] < 800
    refuse_if(too_few, "Try at least four sizes, from 50 or 100 images up to 800 or more.")
    impossible = sizes[0] < 5 or sizes[-1] > len(rows) or any(size != int(size) for size in sizes)
    limits = f"from 5, the neighbours asked, to {len(rows)}, all training images"
    refuse_if(impossible, f"The number of images goes {limits}.")
    sizes = [int(size) for size in sizes]
    given = np.array([as_share(curve[n]) for n in sizes])
    models = [KNeighborsClassifier(5).fit(rows[:n], training_labels[:n]) for n in sizes]
    true = np.array([model.score(grey_rows(images), labels) for model in models])
    if distance(given, true) <= 0.006:
        return f"From {sizes[0]} to {sizes[-1]} images: {given[-1] - given[0]:+.3f}."
    test_images, test_labels = helpers.get_test_data()
    mistakes = {
        "You scored the images that the model had learned from. Score the validation images.": [
            model.score(rows[:n], training_labels[:n]) for n, model in zip(sizes, models, strict=True)
        ],
        "You used the test images: they are only for the exam. Score the validation images.": [
            model.score(grey_rows(test_images), test_labels) for model in models
        ],
    }
    refuse_mistakes(given, true, mistakes, 0.006)
    n = sizes[np.argmax(np.abs(given - true) > 0.006)]
    refuse(f"Look at {n} images: fit the first {n} training images with k = 5, score validation images.")


@checker
def check_2_3(prepare):
    """prepare: a function from images (N, 4096) to as many rows of numbers, each image prepared alone."""
    training_images, training_labels, images, labels = training_and_validation()
    training_rows, rows = grey_rows(training_images), grey_rows(images)
    prepared = call_with_images(prepare, rows)
    refuse_if_unchanged(prepared, rows)
    not_rows = f"Each image must stay one row of numbers; the result has shape {prepared.shape}."
    refuse_if(prepared.ndim != 2, not_rows)
    alone = "An image must be prepared alone, whatever images stand beside it: use axis=1, keepdims=True."
    refuse_if_dependent(prepare, rows, prepared, alone)
    all_equal = np.ptp(prepared, axis=0).max() == 0
    refuse_if(all_equal, "After your function all images are equal: nothing is left to learn from.")
    alike = prepared.shape == rows.shape and abs(np.corrcoef(prepared.ravel(), rows.ravel())[0, 1]) > 1 - 1e-6
    refuse_if(alike, "All images change in the same way, so the same ones stay neighbours: this prepares nothing.")
    was = KNeighborsClassifier(5).fit(training_rows, training_labels).predict(rows) == labels
    now = KNeighborsClassifier(5).fit(prepare(training_rows.copy()), training_labels).predict(prepared) == labels
    shares = f"{was.mean():.3f} of the validation images before, {now.mean():.3f} after it"
    numbers = f"Five neighbours are right on {shares}."
    gained = now.astype(int) - was
    refuse_if(gained.mean() < -0.03, f"{numbers} Your function takes away what tells the classes apart.")
    metadata = helpers.get_metadata()
    patients = metadata.loc[metadata["split"] == "train", "patient"].to_numpy()[helpers.split_by_patient(metadata)[1]]
    low, high = helpers.bootstrap_interval(lambda drawn: gained[drawn].mean(), patients)
    verdict = "a gain" if low > 0 else "a loss" if high < 0 else "cannot tell"
    return f"{numbers} Difference {gained.mean():+.3f} ({low:+.3f} to {high:+.3f}): {verdict}."


# --- notebook 3 -----------------------------------------------------------------------------------------------------


@checker
def check_3_1(kernel):
    """kernel: 3 x 3 numbers that make an image sharper."""
    kernel = as_array(kernel)
    is_kernel = kernel is not None and kernel.squeeze().shape == (3, 3)
    refuse_if(not is_kernel, "A kernel is an array of 3 x 3 numbers: np.array([[...], [...], [...]]).")
    kernel = kernel.squeeze()
    total, middle = kernel.sum(), kernel[1, 1]
    only_edges = "Its numbers add up to 0: it keeps the edges, but the image itself is gone. They should add up to 1."
    refuse_if(abs(total) < 0.01, only_edges)
    brightness = f"Its numbers add up to {total:g}, so even areas change in brightness. They should add up to 1."
    refuse_if(abs(total - 1) > 0.01, brightness)
    blurs = (kernel >= 0).all() and middle < 0.99
    refuse_if(blurs, "It mixes each pixel with its neighbours: that blurs. Sharpening subtracts the neighbours.")
    weak = "It does not strengthen a pixel against its neighbours: the middle must be larger than 1."
    refuse_if(middle < 1.01, weak)
    symmetric = np.allclose(kernel, kernel.T) and np.allclose(kernel, kernel[::-1])
    refuse_if(not symmetric, "It treats the four sides differently, so it shifts or tilts edges. Make it symmetric.")
    return "A pixel brighter than its neighbours gets brighter still, and even areas stay as they are."


MISCOUNTS = {
    "Conv2D": {
        864: "each kernel also has one number of its own, the bias",
        28: "that is one kernel, and there are 32",
        27: "that is one kernel without its bias, and there are 32",
        320: "these kernels look at one colour only, and the image has 3",
        288: "these kernels look at one colour only, and their biases are missing",
        393_248: "that is Dense, so the two are exchanged",
    },
    "Dense": {
        393_216: "each neuron also has a bias",
        131_104: "the image has 3 colours, so 64 x 64 x 3 numbers go in",
        12_288: "that is how many numbers go in, and each of 32 neurons weighs all of them",
        12_289: "that is one neuron, and there are 32",
        262_176: "that one stands behind two poolings; here it looks at the image itself",
        128: "Keras counts for one pixel here: put Flatten() before Dense",
    },
}


@checker
def check_3_2(convolution, dense):
    """convolution, dense: weights of Conv2D(32, 3) and of Dense(32) on an image of 64 x 64 pixels with 3 colours."""
    for name, given, true in [("Conv2D", convolution, 896), ("Dense", dense, 393_248)]:
        number = as_number(given)
        refuse_if(number is None, f"For {name} one whole number is expected.")
        hint = MISCOUNTS[name].get(number, "count inputs times outputs, then the biases")
        refuse_if(number != true, f"{name}: {hint}.")
    return "A kernel uses its 27 weights at every place; a neuron of Dense has one for each of the 12,288 numbers."


@checker
def check_3_3(model, aucs):
    """model: a Keras network of three blocks; aucs: {"two blocks": [...], "three blocks": [...]}, one AUC per seed."""
    kinds = [type(layer).__name__ for layer in getattr(model, "layers", [])]
    refuse_if(not kinds, "The first answer must be a Keras network.")
    convolutions, poolings = kinds.count("Conv2D"), kinds.count("MaxPooling2D")
    found = f"I count {convolutions} Conv2D and {poolings} MaxPooling2D"
    refuse_if(min(convolutions, poolings) < 3, f"Three blocks are asked for, each with both layers: {found}.")
    images = training_and_validation()[2][:20]
    answer = np.asarray(model.predict(images, verbose=0), dtype=float)
    no_share = answer.size != len(images) or answer.min() < 0 or answer.max() > 1
    refuse_if(no_share, "The network must give one number from 0 to 1 per image: end with Dense(1), sigmoid.")
    two, three = (as_array(values) for values in as_named(aucs, "two blocks", "three blocks"))
    for values in (two, three):
        several = values is not None and values.ndim == 1 and len(values) > 1
        refuse_if(not several, "Each network needs at least two seeds, so two numbers or more in each list.")
        shares = [as_share(value) for value in values]
        refuse_if(min(shares) < 0.6, "An AUC below 0.6 is close to chance: train longer before you compare.")
    repeated = len({*two, *three}) < len(two) + len(three)
    refuse_if(repeated, "Two trainings gave exactly the same AUC. Another seed or network each time? Do not round.")
    between, within = three.mean() - two.mean(), max(np.ptp(two), np.ptp(three))
    larger = "larger" if round(abs(between), 3) > round(within, 3) else "not larger"
    return f"Third block: {between:+.3f}; between seeds: {within:.3f}. The difference is {larger}."


# --- notebook 4 -----------------------------------------------------------------------------------------------------


def notebook_4_rows(features):
    """Positions of the training images that have features, only some in a quick run, and of the validation images."""
    training, validation = helpers.split_by_patient(helpers.get_metadata())
    return training[features[training].any(axis=1)], validation


def refuse_other_auc(auc, features):
    """Refuse an AUC that is not that of logistic regression on the features of the validation images."""
    number = as_share(auc)
    _, labels = helpers.get_train_data()
    training, validation = notebook_4_rows(features)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(features[training], labels[training])
    p = model.predict_proba(features)[:, 1]
    true = roc_auc_score(labels[validation], p[validation])
    mistakes = {
        "That is the AUC on the images that the model had learned from. Take the validation images.": (
            roc_auc_score(labels[training], p[training])
        ),
        "That is the AUC of classes, 0 or 1. Give the probabilities: predict_proba(...)[:, 1].": (
            roc_auc_score(labels[validation], p[validation] >= 0.5)
        ),
        "That is the wrong way round: take column 1 of predict_proba, the probability of pneumonia.": 1 - true,
    }
    recipe = "StandardScaler, C=0.01, fitted on training_rows, AUC on validation images"
    refuse_mistakes(number, true, mistakes, 0.002)
    refuse_if(distance(number, true) > 0.002, f"Another number is expected: {recipe}.")


@checker
def check_4_1(answer, features):
    """answer: accuracy on validation images, of five neighbours; features: (2000, 512), as in the notebook."""
    features = as_array(features)
    images, labels = helpers.get_train_data()
    is_table = features is not None and features.shape == (len(labels), 512)
    refuse_if(not is_table, "Give the features of the notebook as they are, 512 for each image.")
    training, validation = notebook_4_rows(features)
    number, pixels = as_share(answer), grey_rows(images)

    def right(table, rows, k=5):
        return KNeighborsClassifier(k).fit(table[training], labels[training]).score(table[rows], labels[rows])

    true, of_pixels = right(features, validation), right(pixels, validation)
    mistakes = {
        "That is the accuracy on the images that the model had learned from. Take the validation images.": (
            right(features, training)
        ),
        "That is the accuracy with pixels. Give the neighbours the features.": of_pixels,
        "That is one neighbour. Five are asked: KNeighborsClassifier(5).": right(features, validation, k=1),
        "That is the share of wrong answers. The accuracy is the share of right ones.": 1 - true,
    }
    refuse_mistakes(number, true, mistakes, 0.001)
    refuse_if(distance(number, true) > 0.002, "Another number is expected: five neighbours, fitted on training_rows.")
    return f"Five neighbours: by features {true:.3f}, by pixels {of_pixels:.3f} of the validation images are right."


@checker
def check_4_2(features, auc, trunk):
    """features: (2000, 256), the mean of each map of block3_pool; auc: as in check_4_1; trunk: their VGG16."""
    features = as_array(features)
    images, _ = helpers.get_train_data()
    has_rows = features is not None and features.ndim > 1 and len(features) == len(images)
    refuse_if(not has_rows, f"One row of features for each of the {len(images)} images is expected.")
    maps = f"These are maps, {features.shape[1:]} for each image. Average each: mean(axis=(1, 2))."
    refuse_if(features.ndim == 4, maps)
    count = features.shape[1]
    refuse_if(count == 512, "512 features: that is the end of the trunk, or block 4 or 5. block3_pool has 256 maps.")
    refuse_if(count != 256, f"block3_pool has 256 maps, so 256 features for each image; these are {count}.")
    from keras import Model, ops
    from keras.applications.vgg16 import preprocess_input

    early = Model(trunk.input, trunk.get_layer("block3_pool").output)
    some, theirs = images[:8], features[:8]

    def error(pictures):
        """How far the student's features are from those of these pictures, as a share."""
        means = ops.convert_to_numpy(early(pictures)).astype(float).mean(axis=(1, 2))
        return np.abs(theirs - means).mean() / np.abs(means).mean()

    right = error(preprocess_input(some * 255))
    unprepared = min(error(some * 255), error(some), error(preprocess_input(some.copy())))
    others = "These are not the means of block3_pool. Does the trunk have its old weights, are all images in order?"
    refuse_if(min(right, unprepared) > 0.1, others)
    hint = "The images were not prepared as VGG16 wants them: read them anew, then preprocess_input(images * 255)."
    refuse_if(unprepared < right, hint)
    refuse_other_auc(auc, features)
    return "Compare with the last point of the curves: features from half-way up, and features from the end."


@checker
def check_4_3(augmentation, auc_without, auc_with):
    """augmentation: list of Keras layers; auc_without, auc_with: on validation images, without and with its images."""
    layers = list(augmentation) if isinstance(augmentation, (list, tuple)) else [augmentation]
    are_layers = all(callable(layer) and hasattr(layer, "get_config") for layer in layers)
    refuse_if(not are_layers, "augmentation must be a list of Keras layers, such as [layers.RandomZoom(0.2)].")
    from keras import ops

    images = training_and_validation()[0][:40]

    def pass_through(training):
        pictures = ops.convert_to_tensor(images)
        for layer in layers:
            pictures = layer(pictures, training=training)
        return ops.convert_to_numpy(pictures).astype(float)

    changed = pass_through(training=True)
    shapes = f"Images of {images.shape[1:]} went in, {changed.shape[1:]} came out. Keep the size."
    refuse_if(changed.shape != images.shape, shapes)
    out_of_range = changed.min() < -0.5 or changed.max() > 1.5
    refuse_if(out_of_range, "Grey values leave the range from 0 to 1 by far: many layers want value_range=(0, 1).")
    unchanged = np.abs(changed - images).mean() < 3e-3
    refuse_if(unchanged, "The images come out as they went in: this augments nothing.")
    always = not np.allclose(pass_through(training=False), images, atol=0.02)
    refuse_if(always, "A layer changes images outside of training, too. Use layers that work in training only.")
    upright, mirrored = likenesses(changed, images), likenesses(changed, images[:, :, ::-1])
    overturned, best = likenesses(changed, images[:, ::-1]), np.maximum(upright, mirrored)
    upside_down = "It turns images upside down. No X-ray comes like that: flip left and right at most."
    refuse_if((overturned > best).mean() > 0.2, upside_down)
    gone = "Hardly anything of the images is left: look at five of them with plot_images, and disturb less."
    refuse_if(best.mean() < 0.3, gone)
    without, with_it = as_share(auc_without), as_share(auc_with)
    same = "Both AUCs are exactly the same: did the second model learn from the augmented images?"
    refuse_if(without == with_it, same)
    chance = "An AUC below 0.6 is close to chance: something went wrong in one of the two fits."
    refuse_if(min(without, with_it) < 0.6, chance)
    heart = " Mirrored, the heart lies on the wrong side: say why that may be allowed."
    is_mirrored = (mirrored > upright).mean() > 0.2
    return f"AUC on validation images: {with_it - without:+.3f} with your augmentation.{heart if is_mirrored else ''}"


# --- notebook 5 -----------------------------------------------------------------------------------------------------


LAST_MODEL = "vgg16"  # as notebook 5 calls it


def frozen_threshold(probabilities):
    """The one that finds 95 of 100 of the ill, whose probabilities on validation images these are."""
    return np.sort(probabilities)[int(0.05 * len(probabilities))]


@checker
def check_5_1(prevalence):
    """prevalence: at which half of the last model's alarms on the test images are true."""
    number = as_share(prevalence)

    validation, test = (helpers.load_predictions(split) for split in ("validation", "test"))

    def rates(images, threshold=0.5):
        scores = helpers.score(images["label"], images[LAST_MODEL], threshold)
        return scores["sensitivity"], 1 - scores["specificity"]

    def half_true(found, false_alarms):
        return false_alarms / (found + false_alarms)

    found, false_alarms = rates(test)
    true, missed = half_true(found, false_alarms), 1 - found
    frozen = frozen_threshold(validation.loc[validation["label"] == 1, LAST_MODEL])
    mistakes = {
        "That is one minus the answer: the share of true alarms where half of the children are ill.": 1 - true,
        "That is with the scores on validation images. Take those on the test images.": half_true(*rates(validation)),
        "That is with the frozen threshold, which the notebook's variables belong to. The question: at 0.5.": (
            half_true(*rates(test, frozen))
        ),
        "That is the share of false alarms among the healthy. How many ill children are called ill?": false_alarms,
        "Sensitivity and specificity are exchanged in your formula.": missed / (missed + 1 - false_alarms),
        "Half of the children ill is our exam. The question: when is half of the alarms true?": 0.5,
    }
    try_it = "Put your prevalence into share_really_ill, with sensitivity and specificity on the test images"
    refuse_mistakes(number, true, mistakes, 0.006)
    refuse_if(distance(number, true) > 0.006, f"{try_it}: is it one half?")
    return "Where fewer are ill, most alarms of this model are false."


@checker
def check_5_2(by_patient, by_image):
    """by_patient, by_image: (lower, upper), 95 % intervals of the last model's sensitivity on the test images."""
    patients, test = helpers.get_metadata().set_index("index")["patient"], helpers.load_predictions("test")

    def interval(way, score="sensitivity", images=test):
        truth, p = images["label"].to_numpy(), images[LAST_MODEL].to_numpy()
        groups = patients[images["index"]].to_numpy() if way == "by_patient" else np.arange(len(images))
        return helpers.bootstrap_interval(lambda rows: helpers.score(truth[rows], p[rows])[score], groups, draws=300)

    given = {"by_patient": as_array(by_patient), "by_image": as_array(by_image)}
    for name, ends in given.items():
        refuse_if(ends is None or ends.size != 2, f"{name}: two numbers are expected, (lower, upper).")
        given[name] = lower, upper = [as_share(end) for end in ends.ravel()]
        refuse_if(lower >= upper, f"{name}: the lower end comes first, and it is below the upper one.")
    same = "Both are the same. For by_image every image counts as a patient of its own: range(len(test)); do not round."
    refuse_if(given["by_patient"] == given["by_image"], same)
    for name in given:
        (low, high), (lower, upper) = interval(name), given[name]
        if distance(given[name], (low, high)) < 0.02 and upper - lower > 0.6 * (high - low):
            continue
        narrow = low - 0.02 < lower and upper < high + 0.02
        refuse_if(narrow, f"{name} is too narrow for 95 %: the ends are the percentiles 2.5 and 97.5.")
        mistakes = {
            f"{name} looks like an interval of another score, {score}. Take the sensitivity.": interval(name, score)
            for score in ("specificity", "accuracy", "auc")
        }
        validation = interval(name, images=helpers.load_predictions("validation"))
        mistakes[f"{name} looks like the interval on validation images. Take the test images."] = validation
        refuse_mistakes(given[name], (low, high), mistakes, 0.02)
        refuse(f"{name} lies elsewhere: the last model, threshold 0.5, test images, 95 % interval.")
    wider = np.ptp(given["by_patient"]) - np.ptp(given["by_image"])
    words = "as wide as" if abs(wider) <= 0.002 else "wider than" if wider > 0 else "narrower than"
    return f"Drawing patients gives an interval {words} drawing images."


@checker
def check_5_3(shortcut):
    """shortcut: a function from images (N, 64, 64, 3) to (N,) or (N, few) numbers that do not depend on the lungs."""
    training_images, training_labels, images, labels = training_and_validation()
    measured = call_with_images(shortcut, images)
    rows = measured.reshape(len(images), -1)
    constant = np.ptp(rows, axis=0).max() == 0
    refuse_if(constant, "Your function gives the same number for every image.", NOT_ANSWERED)
    alone = "Measure each image alone, whatever images stand beside it: use axis=(1, 2), not axis=0."
    refuse_if_dependent(shortcut, images, measured, alone)
    hidden = images.copy()
    hidden[:, 10:-10, 10:-10] = 0.5
    sees_lungs = not np.allclose(as_array(shortcut(hidden)), measured, atol=1e-4)
    refuse_if(sees_lungs, "Your number changes when the middle of the image is hidden: so it looks at the lungs, too.")
    learned_from = call_with_images(shortcut, training_images).reshape(len(training_images), -1)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(learned_from, training_labels)
    auc = roc_auc_score(labels, model.predict_proba(rows)[:, 1])
    if auc >= 0.55:
        return f"Without a look at the lungs it has an AUC of {auc:.2f} on validation images. Now the test images!"
    chance = f"AUC {auc:.2f} on validation images: that is chance."
    refuse_if(not helpers.are_simulated(), f"{chance} Measure something else.")
    return f"{chance} Simulated images have no shortcut there; real ones do."


# --- notebook 6 -----------------------------------------------------------------------------------------------------


@checker
def check_6_1(accuracies, model):
    """accuracies: {"darker": number, "brighter": number} of the model on validation images ** 1.6 and ** 0.6."""
    powers = {"darker": 1.6, "brighter": 0.6}
    given = np.array([as_share(value) for value in as_named(accuracies, *powers)])
    _, _, images, labels = training_and_validation()
    test_images, test_labels = helpers.get_test_data()

    def measure(name, pictures, truth):
        return np.array([helpers.score(truth, model.predict(pictures**e, verbose=0))[name] for e in powers.values()])

    true = measure("accuracy", images, labels)
    mistakes = {
        "They are exchanged: a number between 0 and 1 becomes smaller, so darker, when raised to 1.6.": true[::-1],
        "Both are the accuracy on undisturbed images: raise the images to 1.6 and to 0.6 first.": (
            accuracy(model, images, labels)
        ),
        "These are AUCs, and the AUC does not see a shifted threshold. Take the accuracy.": (
            measure("auc", images, labels)
        ),
        "You used the test images: they have had their exam. Take the validation images, images[validation].": (
            measure("accuracy", test_images, test_labels)
        ),
        "Both are exactly one half: predict gives a column, so put .ravel() behind it.": 0.5,
    }
    refuse_mistakes(given, true, mistakes, 0.004)
    if distance(given, true) <= 0.004:
        undisturbed = accuracy(model, images, labels)
        return f"Undisturbed {undisturbed:.3f}, darker {true[0]:.3f}, brighter {true[1]:.3f}."
    wrong = list(powers)[np.argmax(np.abs(given - true) > 0.004)]
    formula = f"accuracy of cnn on images[validation] ** {powers[wrong]}, threshold 0.5"
    refuse(f"Look at the {wrong} images: {formula}.")


@checker
def check_6_2(accuracy_by_angle, model):
    """accuracy_by_angle: a function from a model to {angle: accuracy on validation images turned by it}."""
    answer = as_function(accuracy_by_angle)(model)
    refuse_if(is_empty(answer), "Your function returns nothing so far.", NOT_ANSWERED)
    curve = as_curve(answer, "Your function must return a dictionary {angle: accuracy}.")
    angles = [0, 10, 20, 30, 40]
    yours = [round(angle, 2) for angle in sorted(curve)]
    refuse_if(sorted(curve) != angles, f"The angles are {angles}, in degrees; you have {yours}.")
    given = {angle: as_share(curve[angle]) for angle in angles}
    _, _, images, labels = training_and_validation()
    test_images, test_labels = helpers.get_test_data()
    exam = "You used the test images: they have had their exam. Take the validation images, images[validation]."
    mistakes = {exam: accuracy(model, test_images, test_labels)}
    true = accuracy(model, images, labels)
    refuse_mistakes(given[0], true, mistakes, 0.004)
    unturned = "At 0 degrees nothing is turned, so the accuracy on validation images must come out."
    refuse_if(distance(given[0], true) > 0.004, unturned)
    all_same = "All angles give the same: do you predict the turned images, or the images as they were?"
    refuse_if(len(set(given.values())) == 1, all_same)

    def fits(angle, sign):
        turned = rotate(images[..., 0], sign * angle, axes=(1, 2), reshape=False, order=1)
        return abs(given[angle] - accuracy(model, helpers.in_colour(turned), labels)) <= 0.04

    for angle in angles[1:]:
        fault = f"Look at {angle} degrees: turn rows against columns, axes=(1, 2), with reshape=False."
        refuse_if(not fits(angle, 1) and not fits(angle, -1), fault)
    return f"From 0 to 40 degrees: {given[40] - given[0]:+.3f}. Draw it, and a second network beside it."


@checker
def check_6_3(disturbance, model):
    """disturbance: a function from images (N, 64, 64, 3) in [0, 1] to disturbed images of the same shape and range."""
    _, _, images, labels = training_and_validation()
    unreadable = "Nobody could read these images any more: disturb them less. Look at some with plot_images."
    disturbed = change_images(disturbance, images, unreadable)
    before, after = accuracy(model, images, labels), accuracy(model, disturbed, labels)
    withstands = "withstands" if after > before - 0.03 else "does not withstand"
    return f"Accuracy on validation images: {before:.3f} before, {after:.3f} after. The network {withstands} it."


# --- notebook 7 -----------------------------------------------------------------------------------------------------


@checker
def check_7_1(everyone_ill, ill, healthy):
    """everyone_ill: {"accuracy": number, "balanced accuracy": number} of a network that calls all images ill.

    ill, healthy: numbers of images.
    """
    given = [as_share(value) for value in as_named(everyone_ill, "accuracy", "balanced accuracy")]
    share_ill = ill / (ill + healthy)
    true = [share_ill, 0.5]
    refuse_mistakes(given, true, {"You have exchanged the two.": true[::-1]}, 0.004)
    if distance(given, true) <= 0.004:
        return f"Accuracy {share_ill:.3f} without having looked at an image, and a balanced accuracy of one half."
    mistakes = {"That is the accuracy of a network that calls every image healthy.": 1 - share_ill}
    refuse_mistakes(given[0], share_ill, mistakes, 0.004)
    which = "Look at the accuracy: which share of these images is ill? It is right about those."
    refuse_if(distance(given[0], share_ill) > 0.004, which)
    refuse("Look at the balanced accuracy: which share of the ill does it find, which of the healthy? Take the mean.")


@checker
def check_7_2(gigabytes, images, size):
    """gigabytes: {"float32, three colours": number, "one byte, grey": number} for all images of size x size."""
    names = ["float32, three colours", "one byte, grey"]
    given = [as_number(value) for value in as_named(gigabytes, *names)]
    are_sizes = all(number is not None and number > 0 for number in given)
    refuse_if(not are_sizes, "Two numbers are expected, in gigabytes.")
    pixels = len(images) * size**2
    true = np.array([pixels * 3 * 4, pixels]) / 1e9

    def times(factor):
        """True where both are the true numbers times the factor, also with gigabytes of 2**30 bytes, or rounded."""
        numbers = (true * factor, true * factor * 1e9 / 2**30)
        return any(np.all(np.isclose(given, right, rtol=0.02) | (given == right.round(2))) for right in numbers)

    if times(1):
        return f"{true[0]:.3f} GB against {true[1]:.3f} GB: twelve times as much."
    too_large = "That is too large by a power of ten: a gigabyte has 1,000,000,000 bytes."
    refuse_if(times(1e3) or times(1e6) or times(1e9), too_large)
    refuse_if(times(32 / len(images)), "That is one batch. How much do all images need?")
    for factor, words in [(3, "three colours"), (4, "four bytes in a float32"), (12, "both factors")]:
        forgotten = abs(given[0] / true[0] * factor - 1) < 0.02
        refuse_if(forgotten, f"Look at {names[0]}: you forgot {words}.")
    wrong = names[np.argmax(np.abs(given / true - 1) > 0.02)]
    refuse(f"Look at {wrong}: images times pixels times bytes of a pixel, divided by 1e9.")


@checker
def check_7_3(view, model, images):
    """view: a function from pictures (N, size, size, 3) in [0, 1] to another view of each, of that shape and range."""
    some = images.sample(min(len(images), 96), random_state=0)
    pictures = np.concatenate([batch.numpy() for batch, _ in networks.stream_images(some, model.input_shape[1])])
    other = "This shows something else: a view must still be the same image. Look at some with plot_images."
    seen = change_images(view, pictures, other)
    looks = [model.predict(views, verbose=0) for views in (pictures, seen)]
    one, both = (helpers.score(some["class"], p)["auc"] for p in (looks[0], np.mean(looks, axis=0)))
    return f"AUC on {len(some)} validation images: {one:.3f} with one look, {both:.3f} with the mean of both."


# --- notebook 8 -----------------------------------------------------------------------------------------------------


def notebook_8_model():
    return make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=2000))


@checker
def check_8_1(answer):
    """answer: {"sensitivity": number, "specificity": number} of logistic regression on the external images.

    Its threshold finds 95 of 100 ill children among the validation images.
    """
    given = [as_share(value) for value in as_named(answer, "sensitivity", "specificity")]
    here, there = (helpers.read_predictions(split).query("model == 'logistic_regression'") for split in EXAMS)

    def measure(rows, ill=1, threshold=None):
        frozen = frozen_threshold(here.loc[here["label"] == ill, "probability"])
        scores = helpers.score(rows["label"], rows["probability"], threshold or frozen)
        return [scores["sensitivity"], scores["specificity"]]

    true = measure(there)
    mistakes = {
        "The two are exchanged: sensitivity is the share of the ill.": true[::-1],
        "That is the threshold 0.5: freeze the one of notebook 5.": measure(there, threshold=0.5),
        "These are the validation images: take the rows whose split is external.": measure(here),
        "Your threshold comes from the healthy validation images: take the ill ones.": measure(there, ill=0),
    }
    refuse_mistakes(given, true, mistakes, 0.006)
    elsewhere = "The threshold is np.sort(p)[int(0.05 * len(p))], where p are the validation answers of the ill."
    refuse_if(distance(given, true) > 0.006, elsewhere)
    return f"It promised .95 and finds {true[0]:.2f} of the ill; of the healthy it leaves {true[1]:.2f} in peace."


@checker
def check_8_2(called_ill):
    """called_ill: {"ill children": share, "healthy adults": share} of the model that learned hospital with disease."""
    given = [as_share(value) for value in as_named(called_ill, "ill children", "healthy adults")]
    images, labels, children, truth = training_and_validation()
    adults, adult_labels, _ = helpers.get_external_data()

    def measure(here, there):
        learned_from = grey_rows(np.concatenate([images[here], adults[there]]))
        model = notebook_8_model().fit(learned_from, np.concatenate([labels[here], adult_labels[there]]))
        return [model.predict(grey_rows(some)).mean() for some in (children[truth == 1], adults[adult_labels == 0])]

    true = np.array(measure(labels == 0, adult_labels == 1))
    mistakes = {
        "The two are exchanged.": true[::-1],
        "These are the shares called healthy: which share is called ill?": 1 - true,
        "You trained on all images: take the healthy children of training and the ill adults.": (
            measure(labels >= 0, adult_labels >= 0)
        ),
    }
    refuse_mistakes(given, true, mistakes, 0.01)
    rule = "Train make_model() on flat(...) of the healthy children of training and the ill adults, with their labels."
    refuse_if(distance(given, true) > 0.01, rule)
    return f"Of the ill children {true[0]:.0%} are called ill, of the healthy adults {true[1]:.0%}."


@checker
def check_8_3(change):
    """change: a function from images (N, 64, 64, 3) in [0, 1] to images that depend less on the hospital."""
    images, labels, *_ = training_and_validation()
    adults, adult_labels, _ = helpers.get_external_data()
    unlike = "Nobody could read these images any more: change them less. Look at some with plot_images."
    pairs = [(images, adults), [change_images(change, some, unlike) for some in (images, adults)]]
    model = notebook_8_model()
    aucs = [
        roc_auc_score(adult_labels, model.fit(grey_rows(here), labels).predict_proba(grey_rows(there))[:, 1])
        for here, there in pairs
    ]
    return f"AUC in the other hospital: {aucs[0]:.3f} before, {aucs[1]:.3f} after. Now it needs a third hospital."
