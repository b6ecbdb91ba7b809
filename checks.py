"""Checks of the exercises. Each prints a verdict: right, not yet (and where to look), or not answered yet.

check_N_M belongs to exercise M of notebook N. No check trains a network or judges by the test images, and none stops the
notebook, whatever it is given.
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

RIGHT, NOT_YET = "right. ", "not yet. "
NOT_ANSWERED = "not answered yet. Write your answer into the cell above and run it, then run this cell again."


def checker(function):
    """Make a function that returns a verdict into a check that prints it, also where the answer breaks the function."""
    exercise = function.__name__[-1]

    @functools.wraps(function)
    def check(*answers):
        try:
            inspect.signature(function).bind(*answers)
            verdict = NOT_ANSWERED if any(is_empty(answer) for answer in answers) else function(*answers)
        except Exception as error:
            verdict = NOT_YET + f"The check could not use this answer: {type(error).__name__}: {one_line(error)}"
        print(f"Exercise {exercise}: {verdict}")

    return check


def one_line(error):
    return " ".join(str(error).split())[:200]


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
    try:
        number = float(np.asarray(answer, dtype=float).reshape(()) if np.size(answer) == 1 else None)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def as_array(answer):
    """The answer as an array of floats without NaN; None where it is none."""
    try:
        array = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        return None
    return array if array.size and np.isfinite(array).all() else None


def as_curve(answer):
    """{number: number} from a dictionary, a Series or a list of pairs; None where it is none of these."""
    try:
        pairs = dict(answer).items()
    except (TypeError, ValueError):
        return None
    curve = {as_number(key): as_number(value) for key, value in pairs}
    return None if None in curve or None in curve.values() else curve


def as_interval(answer):
    """(lower, upper) from two numbers in a row; None where it is no such thing."""
    array = as_array(answer)
    return None if array is None or array.size != 2 else tuple(array.ravel())


def single_values(answer):
    """All values in nested lists, arrays and Series, in one list."""
    if isinstance(answer, (list, tuple, set, np.ndarray, pd.Series, pd.Index)):
        return [value for part in answer for value in single_values(part)]
    if isinstance(answer, dict):
        return single_values(list(answer.values()))
    return [answer]


def must_be_share(number):
    """What is wrong with a number that should be a share, such as an accuracy or an AUC; None where nothing is."""
    if number is None:
        return NOT_YET + "One number is expected, such as 0.93."
    if 1 < number <= 100:
        return NOT_YET + "A share lies between 0 and 1: is yours in percent? Divide by 100."
    if not 0 <= number <= 1:
        return NOT_YET + f"A share lies between 0 and 1; this is {number:g}."
    return None


def nearest(answer, candidates, tolerance):
    """The name of the candidate closest to the answer, None where none lies within the tolerance."""
    distances = {name: abs(answer - value) for name, value in candidates.items()}
    name = min(distances, key=distances.get)
    return name if distances[name] <= tolerance else None


# --- images ----------------------------------------------------------------------------------------------------------


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
    """(answer as array, what is wrong): calls a student's function with a copy of the images, and once image by image."""
    if not callable(function):
        return None, NOT_YET + "Pass the function itself, without brackets behind its name."
    given = images.copy()
    answer = as_array(function(given))
    if answer is None:
        return None, NOT_YET + "Your function must return an array of numbers, without NaN. Does it end with return?"
    if not np.array_equal(given, images):
        return None, NOT_YET + "Your function changes the images that it was given: work on a copy, images.copy()."
    if len(answer) != len(images):
        return None, NOT_YET + f"{len(images)} images went in, but {len(answer)} rows came out: one for each image."
    return answer, None


def change_images(function, images, unlike):
    """(images changed by a student's function, what is wrong); unlike: what to say where they are not the same images."""
    changed, fault = call_with_images(function, images)
    if fault:
        return None, fault
    if changed.shape != images.shape:
        return None, NOT_YET + f"Images of shape {images.shape} went in, {changed.shape} came out. Keep the shape."
    if changed.min() < -1e-3 or changed.max() > 1.001:
        return None, NOT_YET + "Grey values leave the range from 0 to 1: end with np.clip(..., 0, 1)."
    if np.abs(changed - images).mean() < 1e-4:
        return None, "not answered yet. Your function gives the images back as they were."
    if np.mean([likeness(a, b) for a, b in zip(changed, images, strict=True)]) < 0.2:
        return None, NOT_YET + unlike
    return changed, None


def likeness(one, other):
    """The correlation of two pictures, 0 where one is even."""
    if min(np.std(one), np.std(other)) < 1e-6:
        return 0.0
    return float(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


def depends_on_other_images(function, images, answer):
    """True where an image gets another answer when fewer images stand beside it."""
    alone = as_array(function(images[:2].copy()))
    return alone is None or alone.shape != answer[:2].shape or not np.allclose(alone, answer[:2], atol=1e-4)


# --- notebook 1 -----------------------------------------------------------------------------------------------------


@checker
def check_1_1(answer):
    """answer: the number of images and the name of the split, such as (7, "test")."""
    metadata = helpers.get_metadata()
    images_per_patient = metadata["patient"].value_counts()
    values = single_values(answer)
    numbers = [as_number(value) for value in values if as_number(value) is not None]
    names = [value.strip().lower() for value in values if isinstance(value, str)]
    if len(numbers) != 1 or len(names) != 1:
        return NOT_YET + 'Two things are expected: a number and the name of a split, such as (7, "test").'
    if names[0] in metadata["patient"].str.lower().to_numpy():
        return NOT_YET + 'That is the name of a patient. In which split do the images stand: see the column "split".'
    if names[0] not in set(metadata["split"]):
        return NOT_YET + f'There is no split "{names[0]}": see the values of metadata["split"].'
    if numbers[0] == images_per_patient.size:
        return NOT_YET + "That is the number of patients. How many images has the one with the most?"
    if numbers[0] in metadata["split"].value_counts().to_numpy():
        return NOT_YET + "That is the number of images in a split. How many has one patient? Use images_per_patient."
    if numbers[0] != images_per_patient.max():
        return NOT_YET + "Another patient has more images, or this one has fewer: look at images_per_patient.max()."
    most = images_per_patient.index[images_per_patient == images_per_patient.max()]
    if names[0] not in set(metadata.loc[metadata["patient"].isin(most), "split"]):
        return NOT_YET + "The number is right, the split is not. Look at the rows of this patient in metadata."
    return RIGHT + f"{int(numbers[0])} images, all in the split {names[0]}."


@checker
def check_1_2(answer):
    """answer: images by kind ("bacteria", "virus") and split, a table or a dictionary of dictionaries."""
    counts = read_counts(answer)
    if counts is None:
        return NOT_YET + "Give a table, such as pd.crosstab makes, with the names bacteria, virus, train, test, field."
    metadata = helpers.get_metadata()
    name, split, ill = metadata["filename"], metadata["split"], metadata["class"] == 1
    virus = name.str.contains("virus")
    true = {("virus", s): (virus & (split == s)).sum() for s in set(split)}
    true |= {("bacteria", s): (name.str.contains("bacteria") & (split == s)).sum() for s in set(split)}
    if all(counts[key] == true[key] for key in true):
        return RIGHT + "Bacteria caused about two thirds of the cases."
    if sum(counts.values()) <= 6.001:
        return NOT_YET + "These are shares. The question is how many images: counts, without normalize."
    if all(counts["bacteria", s] == (~virus & (split == s)).sum() for s in set(split)):
        return NOT_YET + "Your bacteria include healthy images: not every image without a virus shows bacteria."
    if all(counts["bacteria", s] == true["virus", s] for s in set(split)):
        return NOT_YET + "Bacteria and virus are exchanged."
    if all(counts[kind, s] == (ill & (split == s)).sum() for kind, s in true):
        return NOT_YET + "These are all images with pneumonia. Divide them by what stands in the file name."
    kind, s = next(key for key in sorted(true) if counts[key] != true[key])
    return NOT_YET + f"Look at {kind} in {s}: you have {counts[kind, s]:g}, and the table has another number."


def read_counts(answer):
    """{(kind, split): number} from a table either way round, or a dictionary; None where something is missing."""
    try:
        if isinstance(answer, dict) and all(isinstance(key, tuple) for key in answer):
            answer = pd.Series(answer)
        table = answer.unstack() if isinstance(answer, pd.Series) else pd.DataFrame(answer)
        if any(str(name).startswith(("bact", "vir")) for name in table.columns):
            table = table.T
        rows = {str(name)[:3]: name for name in table.index}  # viral or virus, bacterial or bacteria
        splits = sorted(set(helpers.get_metadata()["split"]))
        return {(kind, s): float(table.loc[rows[kind[:3]], s]) for kind in ("bacteria", "virus") for s in splits}
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


@checker
def check_1_3(difference):
    """difference: array (64, 64) or (64, 64, 3), mean healthy test image minus mean healthy train image."""
    array = as_array(difference)
    if array is None or array.size not in (64 * 64, 64 * 64 * 3):
        shape = "no array of numbers" if array is None else f"an array of shape {array.shape}"
        return NOT_YET + f"One picture is expected, of shape (64, 64, 3); this is {shape}. Take mean(axis=0) of images."
    picture = array.reshape(64 * 64, -1).mean(axis=1)
    train, train_labels = helpers.get_train_data()
    test, test_labels = helpers.get_test_data()

    def mean(images, chosen):
        return images[chosen].mean(axis=0).reshape(64 * 64, 3).mean(axis=1)

    candidates = {
        RIGHT + "Where it is not zero, the two folders differ, and no child is ill on these images.": (
            mean(test, test_labels == 0) - mean(train, train_labels == 0)
        ),
        NOT_YET + "You took the images with pneumonia. Healthy images have label 0.": (
            mean(test, test_labels == 1) - mean(train, train_labels == 1)
        ),
        NOT_YET + "You took images of both classes. Choose those with label 0 first.": (
            mean(test, test_labels >= 0) - mean(train, train_labels >= 0)
        ),
        NOT_YET + "That is ill minus healthy, within the train split. Compare the healthy images of two splits.": (
            mean(train, train_labels == 1) - mean(train, train_labels == 0)
        ),
        NOT_YET + "That is one of the two means. Subtract the other one.": mean(test, test_labels == 0),
        NOT_YET + "That is one of the two means. Subtract the other.": mean(train, train_labels == 0),
        NOT_YET + "The difference is zero everywhere: did you subtract a mean from itself?": np.zeros(64 * 64),
    }
    for verdict, candidate in candidates.items():
        if np.allclose(picture, candidate, atol=0.002) or np.allclose(-picture, candidate, atol=0.002):
            return verdict
    return NOT_YET + "This is another picture. Mean of all healthy test images, minus mean of all healthy train images."


# --- notebook 2 -----------------------------------------------------------------------------------------------------


@checker
def check_2_1(k):
    """k: the one of ks with the highest sensitivity on the validation images."""
    ks = [1, 3, 5, 10, 20, 40, 80]
    number = as_number(k)
    if number is None:
        return NOT_YET + "One number is expected: the k that you would choose."
    if 0 < number < 1:
        return NOT_YET + "That looks like a sensitivity. The question is for which k it is highest."
    if number not in ks:
        return NOT_YET + f"Choose one of ks: {ks}."
    training_images, training_labels, images, labels = training_and_validation()
    scores, best = {}, set()
    for neighbours in ks:
        model = KNeighborsClassifier(neighbours).fit(grey_rows(training_images), training_labels)
        scores[neighbours] = model.predict_proba(grey_rows(images))[:, 1]
    for threshold in (0.5, 0.500001):  # a vote of five against five may count as ill, or not
        by_k = {n: helpers.score(labels, p, threshold) for n, p in scores.items()}
        top = {name: max(s[name] for s in by_k.values()) for name in ("sensitivity", "specificity", "accuracy")}
        best |= {n for n in ks if by_k[n]["sensitivity"] == top["sensitivity"]}
    if number in best:
        return RIGHT + "But look at its specificity, too: more of the ill found, more false alarms."
    for name in ("accuracy", "specificity"):
        if by_k[number][name] == top[name]:
            return NOT_YET + f"This k has the highest {name}. Sensitivity looks at the ill images only."
    return NOT_YET + "Another k finds more of the ill. Take the validation images with label 1: which share is found?"


@checker
def check_2_2(curve):
    """curve: {number of training images: accuracy on the validation images} of the 10 nearest neighbours."""
    curve = as_curve(curve)
    if curve is None:
        return NOT_YET + "A dictionary is expected: {50: 0.7, 100: 0.8, ...}."
    training_images, training_labels, images, labels = training_and_validation()
    rows, sizes = grey_rows(training_images), sorted(curve)
    if len(sizes) < 4 or sizes[0] > 100 or sizes[-1] < 800:
        return NOT_YET + "Try at least four sizes, from 50 or 100 images up to 800 or more."
    if sizes[0] < 10 or sizes[-1] > len(rows) or any(size != int(size) for size in sizes):
        return NOT_YET + f"The number of images goes from 10, the neighbours asked, to {len(rows)}, all training images."
    for size in sizes:
        if must_be_share(curve[size]):
            return must_be_share(curve[size])
    fitted = {n: KNeighborsClassifier(10).fit(rows[: int(n)], training_labels[: int(n)]) for n in sizes}
    wrong = [n for n, model in fitted.items() if abs(model.score(grey_rows(images), labels) - curve[n]) >= 0.006]
    if not wrong:
        return RIGHT + f"From {sizes[0]:g} to {sizes[-1]:g} images: {curve[sizes[-1]] - curve[sizes[0]]:+.3f}."
    on_fit = [model.score(rows[: int(n)], training_labels[: int(n)]) for n, model in fitted.items()]
    if np.allclose(on_fit, [curve[n] for n in sizes], atol=0.006):
        return NOT_YET + "You scored the images that the model had learned from. Score the validation images."
    test_images, test_labels = helpers.get_test_data()
    on_test = [model.score(grey_rows(test_images), test_labels) for model in fitted.values()]
    if np.allclose(on_test, [curve[n] for n in sizes], atol=0.006):
        return NOT_YET + "You used the test images: they are only for the exam. Score the validation images."
    n = wrong[0]
    return NOT_YET + f"Look at {n:g} images: fit the first {n:g} training images with k = 10, score validation images."


@checker
def check_2_3(prepare):
    """prepare: a function from images (N, 4096) to as many rows of numbers, each image prepared alone."""
    training_images, training_labels, images, labels = training_and_validation()
    training_rows, rows = grey_rows(training_images), grey_rows(images)
    prepared, fault = call_with_images(prepare, rows)
    if fault:
        return fault
    if prepared.shape == rows.shape and np.allclose(prepared, rows):
        return "not answered yet. Your function gives the images back as they were."
    if prepared.ndim != 2:
        return NOT_YET + f"Each image must stay one row of numbers; the result has shape {prepared.shape}."
    if depends_on_other_images(prepare, rows, prepared):
        return NOT_YET + "An image must be prepared alone, whatever images stand beside it: use axis=1, keepdims=True."
    if np.ptp(prepared, axis=0).max() == 0:
        return NOT_YET + "After your function all images are equal: nothing is left to learn from."
    raw = KNeighborsClassifier(10).fit(training_rows, training_labels).score(rows, labels)
    model = KNeighborsClassifier(10).fit(prepare(training_rows.copy()), training_labels)
    yours = model.score(prepared, labels)
    numbers = f"Ten nearest neighbours are right on {raw:.3f} of the validation images before, and {yours:.3f} after it."
    if yours < raw - 0.03:
        return NOT_YET + f"{numbers} Your function takes away what tells the classes apart."
    return RIGHT + numbers + (" A gain." if yours > raw + 0.01 else " A difference this small may be chance.")


# --- notebook 3 -----------------------------------------------------------------------------------------------------


@checker
def check_3_1(kernel):
    """kernel: 3 x 3 numbers that make an image sharper."""
    kernel = as_array(kernel)
    if kernel is None or kernel.squeeze().shape != (3, 3):
        return NOT_YET + "A kernel is an array of 3 x 3 numbers: np.array([[...], [...], [...]])."
    kernel = kernel.squeeze()
    if abs(kernel.sum()) < 0.01:
        return (
            NOT_YET + "Its numbers add up to 0: it keeps the edges, but the image itself is gone. They should add to 1."
        )
    if abs(kernel.sum() - 1) > 0.01:
        return NOT_YET + f"Its numbers add up to {kernel.sum():g}, so even areas change in brightness. Make it 1."
    if (kernel >= 0).all() and kernel[1, 1] < 0.99:
        return NOT_YET + "It mixes each pixel with its neighbours: that blurs. Sharpening subtracts the neighbours."
    if kernel[1, 1] < 1.01:
        return NOT_YET + "It does not strengthen a pixel against its neighbours: the middle must be larger than 1."
    if not (np.allclose(kernel, kernel.T) and np.allclose(kernel, kernel[::-1])):
        return NOT_YET + "It treats the four sides differently, so it shifts or tilts edges. Make it symmetric."
    return RIGHT + "A pixel brighter than its neighbours gets brighter still, and even areas stay as they are."


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
    },
}


@checker
def check_3_2(convolution, dense):
    """convolution, dense: weights of Conv2D(32, 3) and of Dense(32) on an image of 64 x 64 pixels with 3 colours."""
    for name, given, true in [("Conv2D", convolution, 896), ("Dense", dense, 393_248)]:
        number = as_number(given)
        if number is None:
            return NOT_YET + f"For {name} one whole number is expected."
        if number != true:
            return NOT_YET + f"{name}: {MISCOUNTS[name].get(number, 'count inputs times outputs, then the biases')}."
    return RIGHT + "A convolution uses the same 27 weights at every place; Dense has one for each pixel and neuron."


@checker
def check_3_3(model, aucs):
    """model: a Keras network of three blocks; aucs: {"two blocks": [...], "three blocks": [...]}, one AUC per seed."""
    kinds = [type(layer).__name__ for layer in getattr(model, "layers", [])]
    if not kinds:
        return NOT_YET + "The first answer must be a Keras network."
    if kinds.count("Conv2D") < 3 or kinds.count("MaxPooling2D") < 3:
        return (
            NOT_YET + f"Three blocks are asked for; I count {kinds.count('Conv2D')} Conv2D layers, each with pooling?"
        )
    images = training_and_validation()[2][:20]
    answer = np.asarray(model.predict(images, verbose=0), dtype=float)
    if answer.size != len(images) or answer.min() < 0 or answer.max() > 1:
        return NOT_YET + "The network must give one number from 0 to 1 per image: end with Dense(1), sigmoid."
    if not isinstance(aucs, dict) or set(aucs) != {"two blocks", "three blocks"}:
        return NOT_YET + 'A dictionary is expected: {"two blocks": [...], "three blocks": [...]}.'
    lists = [as_array(aucs[name]) for name in ("two blocks", "three blocks")]
    if any(values is None or values.ndim != 1 or len(values) < 2 for values in lists):
        return NOT_YET + "Each network needs at least two seeds, so two numbers or more in each list."
    for value in np.concatenate(lists):
        if must_be_share(value):
            return must_be_share(value)
    if any(len(set(values)) < len(values) for values in lists):
        return NOT_YET + "Two seeds gave exactly the same AUC: was the seed set before the network was built?"
    two, three = lists
    if min(two.min(), three.min()) < 0.6:
        return NOT_YET + "An AUC below 0.6 is close to chance: train longer before you compare."
    between, within = three.mean() - two.mean(), max(np.ptp(two), np.ptp(three))
    larger = "larger" if round(abs(between), 3) > round(within, 3) else "not larger"
    return RIGHT + f"Third block: {between:+.3f}; between seeds: {within:.3f}. The difference is {larger}."


# --- notebook 4 -----------------------------------------------------------------------------------------------------


def features_model():
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))


def auc_candidates(features):
    """The right AUC of logistic regression on features, and the AUCs that common mistakes give."""
    _, labels = helpers.get_train_data()
    all_training, validation = helpers.split_by_patient(helpers.get_metadata())
    candidates = {}
    for part, training in (("all", all_training), ("quick", all_training[:640])):
        model = features_model().fit(features[training], labels[training])
        p = model.predict_proba(features[validation])[:, 1]
        candidates["right", part] = roc_auc_score(labels[validation], p)
        candidates["fit", part] = roc_auc_score(labels[training], model.predict_proba(features[training])[:, 1])
        candidates["classes", part] = roc_auc_score(labels[validation], p >= 0.5)
        candidates["turned", part] = 1 - candidates["right", part]
    return candidates


def judge_auc(auc, features):
    """What is wrong with an AUC that should be that of logistic regression on the features; None where nothing is."""
    number = as_number(auc)
    if must_be_share(number):
        return must_be_share(number)
    candidates = auc_candidates(features)
    if nearest(number, {k: v for k, v in candidates.items() if k[0] == "right"}, 0.002):
        return None
    mistakes = {
        "fit": "That is the AUC on the images that the model had learned from. Take the validation images.",
        "classes": "That is the AUC of classes, 0 or 1. Give the probabilities: predict_proba(...)[:, 1].",
        "turned": "That is the wrong way round: take column 1 of predict_proba, the probability of pneumonia.",
    }
    found = nearest(number, {k: v for k, v in candidates.items() if k[0] in mistakes}, 0.002)
    if found:
        return NOT_YET + mistakes[found[0]]
    return NOT_YET + "Another number is expected: StandardScaler, C=0.01, fitted on training_rows, AUC on validation images."


@checker
def check_4_1(auc, features):
    """auc: on validation images, of logistic regression on the features; features: (2000, 512), as in the notebook."""
    features = as_array(features)
    if features is None or features.shape != (len(helpers.get_train_data()[1]), 512):
        return NOT_YET + "Give the features of the notebook as they are, 512 for each image."
    fault = judge_auc(auc, features)
    return fault or RIGHT + "A model of notebook 2, on features that a network found in photographs."


@checker
def check_4_2(features, auc, trunk):
    """features: (2000, 256), the mean of each map of block3_pool; auc: as in check_4_1; trunk: their VGG16."""
    features = as_array(features)
    images, _ = helpers.get_train_data()
    if features is None or len(features) != len(images):
        return NOT_YET + f"One row of features for each of the {len(images)} images is expected."
    if features.ndim == 4:
        return NOT_YET + f"These are maps, {features.shape[1:]} for each image. Average each: mean(axis=(1, 2))."
    if features.shape[1] == 512:
        return NOT_YET + "512 features: that is the end of the trunk, or block 4 or 5. block3_pool has 256 maps."
    if features.shape[1] != 256:
        return NOT_YET + f"block3_pool has 256 maps, so 256 features for each image; these are {features.shape[1]}."
    from keras import Model, ops
    from keras.applications.vgg16 import preprocess_input

    early = Model(trunk.input, trunk.get_layer("block3_pool").output)

    def mean_maps(pictures):
        return ops.convert_to_numpy(early(pictures)).astype(float).mean(axis=(1, 2))

    some = slice(0, 8)
    candidates = {
        "right": mean_maps(preprocess_input(images[some] * 255)),
        "not prepared": mean_maps(images[some] * 255),
        "0 to 1": mean_maps(images[some]),
        "0 to 1, prepared": mean_maps(preprocess_input(images[some].copy())),
    }
    errors = {name: np.abs(features[some] - c).mean() / np.abs(c).mean() for name, c in candidates.items()}
    closest = min(errors, key=errors.get)
    if errors[closest] > 0.1:
        return (
            NOT_YET
            + "These are not the means of block3_pool. Has the trunk its old weights, and the images their order?"
        )
    if closest != "right":
        return NOT_YET + "The images were not prepared as VGG16 wants them: preprocess_input(images * 255)."
    fault = judge_auc(auc, features)
    return fault or RIGHT + "Compare with exercise 1: features from half-way up, and features from the end."


@checker
def check_4_3(augmentation, auc_without, auc_with):
    """augmentation: list of Keras layers; auc_without, auc_with: on validation images, without and with its images."""
    layers = list(augmentation) if isinstance(augmentation, (list, tuple)) else [augmentation]
    if not all(callable(layer) and hasattr(layer, "get_config") for layer in layers):
        return NOT_YET + "augmentation must be a list of Keras layers, such as [layers.RandomZoom(0.2)]."
    from keras import ops

    images = training_and_validation()[0][:40]

    def pass_through(training):
        pictures = ops.convert_to_tensor(images)
        for layer in layers:
            pictures = layer(pictures, training=training)
        return ops.convert_to_numpy(pictures).astype(float)

    changed = pass_through(training=True)
    if changed.shape != images.shape:
        return NOT_YET + f"Images of {images.shape[1:]} went in, {changed.shape[1:]} came out. Keep the size."
    if changed.min() < -0.5 or changed.max() > 1.5:
        return NOT_YET + "Grey values leave the range from 0 to 1 by far: many layers want value_range=(0, 1)."
    if np.abs(changed - images).mean() < 3e-3:
        return NOT_YET + "The images come out as they went in: this augments nothing."
    if not np.allclose(pass_through(training=False), images, atol=0.02):
        return NOT_YET + "A layer changes images outside of training, too. Use layers that work in training only."
    upright, mirrored, overturned = (
        np.array([likeness(a, b) for a, b in zip(changed, images[:, ::v, ::h], strict=True)])
        for v, h in [(1, 1), (1, -1), (-1, 1)]
    )
    if (overturned > np.maximum(upright, mirrored)).mean() > 0.2:
        return NOT_YET + "It stands images on their heads. No image comes like that; flip left and right at most."
    if np.maximum(upright, mirrored).mean() < 0.3:
        return NOT_YET + "Hardly anything of the images is left: look at five of them with plot_images, and disturb less."
    for auc in (auc_without, auc_with):
        if must_be_share(as_number(auc)):
            return must_be_share(as_number(auc))
    without, with_it = as_number(auc_without), as_number(auc_with)
    if without == with_it:
        return NOT_YET + "Both AUCs are exactly the same: did the second model learn from the augmented images?"
    if min(without, with_it) < 0.6:
        return NOT_YET + "An AUC below 0.6 is close to chance: something went wrong in one of the two fits."
    heart = (
        " Mirrored, the heart lies on the wrong side: say why that may be allowed."
        if (mirrored > upright).mean() > 0.2
        else ""
    )
    return RIGHT + f"AUC on validation images: {with_it - without:+.3f} with your augmentation.{heart}"


# --- notebook 5 -----------------------------------------------------------------------------------------------------


def last_model(predictions):
    """The model that notebook 5 calls the last one: VGG16."""
    return "vgg16" if "vgg16" in predictions else predictions.columns[-1]


@checker
def check_5_1(prevalence):
    """prevalence: at which half of the last model's alarms on the test images are true."""
    number = as_number(prevalence)
    if must_be_share(number):
        return must_be_share(number)

    def break_even(split):
        images = helpers.load_predictions(split)
        scores = helpers.score(images["label"], images[last_model(images)])
        false_alarms = 1 - scores["specificity"]
        return false_alarms / (scores["sensitivity"] + false_alarms), scores

    true, scores = break_even("test")
    missed, false_alarms = 1 - scores["sensitivity"], 1 - scores["specificity"]
    candidates = {
        RIGHT + "Where fewer are ill, most alarms of this model are false.": true,
        NOT_YET + "That is one minus the answer: the share of true alarms where half of the children are ill.": 1
        - true,
        NOT_YET + "That is with the scores on validation images. Take those on the test images.": break_even(
            "validation"
        )[0],
        NOT_YET
        + "That is the share of false alarms among the healthy. How many ill children are called ill?": false_alarms,
        NOT_YET + "Sensitivity and specificity are exchanged in your formula.": missed
        / (missed + scores["specificity"]),
        NOT_YET + "Half of the children ill is our exam. The question: when is half of the alarms true?": 0.5,
    }
    return nearest(number, candidates, 0.006) or NOT_YET + (
        "Put your prevalence into share_really_ill, with sensitivity and specificity on the test images: is it one half?"
    )


@checker
def check_5_2(by_patient, by_image):
    """by_patient, by_image: (lower, upper), 95 % intervals of the last model's sensitivity on the test images."""
    images = helpers.load_predictions("test")
    truth, p = images["label"].to_numpy(), images[last_model(images)].to_numpy()
    patients = helpers.get_metadata().set_index("index")["patient"][images["index"]].to_numpy()

    def interval(name, groups):
        return helpers.bootstrap_interval(lambda rows: helpers.score(truth[rows], p[rows])[name], groups, draws=300)

    given = {"by_patient": as_interval(by_patient), "by_image": as_interval(by_image)}
    for name, pair in given.items():
        if pair is None:
            return NOT_YET + f"{name}: two numbers are expected, (lower, upper)."
        for end in pair:
            if must_be_share(end):
                return must_be_share(end)
        if pair[0] >= pair[1]:
            return NOT_YET + f"{name}: the lower end comes first, and it is below the upper one."
    if given["by_patient"] == given["by_image"]:
        return (
            NOT_YET + "Both are the same. For by_image every image must count as a patient of its own: range(len(test))."
        )
    for name, groups in (("by_patient", patients), ("by_image", np.arange(len(images)))):
        low, high = interval("sensitivity", groups)

        def is_near(ends, pair=given[name]):
            return np.abs(np.subtract(ends, pair)).max() < 0.02

        if is_near((low, high)) and given[name][1] - given[name][0] > 0.6 * (high - low):
            continue
        if low - 0.02 < given[name][0] and given[name][1] < high + 0.02:
            return NOT_YET + f"{name} is too narrow for 95 %: the ends are the percentiles 2.5 and 97.5."
        for other in ("specificity", "accuracy", "auc"):
            if is_near(interval(other, groups)):
                return NOT_YET + f"{name} looks like an interval of another score, {other}. Take the sensitivity."
        return NOT_YET + f"{name} lies elsewhere: the last model, threshold 0.5, test images, 95 % interval."
    wider = np.diff(given["by_patient"])[0] - np.diff(given["by_image"])[0]
    word = "wider" if wider > 0.002 else "narrower" if wider < -0.002 else "as wide"
    return RIGHT + f"Drawing patients gives an interval {word}{' as' if word == 'as wide' else ' than'} drawing images."


@checker
def check_5_3(shortcut):
    """shortcut: a function from images (N, 64, 64, 3) to (N,) or (N, few) numbers that do not depend on the lungs."""
    training_images, training_labels, images, labels = training_and_validation()
    measured, fault = call_with_images(shortcut, images)
    if fault:
        return fault
    rows = measured.reshape(len(images), -1)
    if np.ptp(rows, axis=0).max() == 0:
        return "not answered yet. Your function gives the same number for every image."
    if depends_on_other_images(shortcut, images, measured):
        return NOT_YET + "Measure each image alone, whatever images stand beside it: use axis=(1, 2), not axis=0."
    hidden = images.copy()
    hidden[:, 10:-10, 10:-10] = 0.5
    if not np.allclose(as_array(shortcut(hidden)), measured, atol=1e-4):
        return NOT_YET + "Your number changes when the middle of the image is hidden: so it looks at the lungs, too."
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(np.asarray(shortcut(training_images.copy()), dtype=float).reshape(len(training_images), -1), training_labels)
    auc = roc_auc_score(labels, model.predict_proba(rows)[:, 1])
    if auc >= 0.55:
        return (
            RIGHT + f"Without a look at the lungs it has an AUC of {auc:.2f} on validation images. Now the test images!"
        )
    if helpers.are_simulated():
        return (
            RIGHT + f"AUC {auc:.2f} on validation images: chance. Simulated images have no shortcut there; real ones do."
        )
    return NOT_YET + f"It has an AUC of {auc:.2f} on validation images: that is chance. Measure something else."


# --- notebook 6 -----------------------------------------------------------------------------------------------------


POWERS = {"darker": 1.6, "brighter": 0.6}


@checker
def check_6_1(accuracies, model):
    """accuracies: {"darker": number, "brighter": number} of the model on validation images ** 1.6 and ** 0.6."""
    if not isinstance(accuracies, dict) or set(accuracies) != {"darker", "brighter"}:
        return NOT_YET + 'A dictionary is expected: {"darker": ..., "brighter": ...}.'
    given = {name: as_number(value) for name, value in accuracies.items()}
    for value in given.values():
        if must_be_share(value):
            return must_be_share(value)
    _, _, images, labels = training_and_validation()
    true = {name: accuracy(model, images**power, labels) for name, power in POWERS.items()}

    def equals(expected):
        return all(abs(given[name] - expected[name]) < 0.004 for name in given)

    if equals(true):
        worse = min(true, key=true.get)
        return RIGHT + (
            "Both cost the same." if len(set(true.values())) == 1 else f"The {worse} images are worse for it."
        )
    if equals({"darker": true["brighter"], "brighter": true["darker"]}):
        return NOT_YET + "They are exchanged: a number between 0 and 1 becomes smaller, so darker, when raised to 1.6."
    if equals(dict.fromkeys(given, accuracy(model, images, labels))):
        return NOT_YET + "Both are the accuracy on undisturbed images: raise the images to 1.6 and to 0.6 first."
    aucs = {n: helpers.score(labels, model.predict(images**e, verbose=0))["auc"] for n, e in POWERS.items()}
    if equals(aucs):
        return NOT_YET + "These are AUCs, and the AUC does not see a shifted threshold. Take the accuracy."
    test_images, test_labels = helpers.get_test_data()
    if equals({name: accuracy(model, test_images**e, test_labels) for name, e in POWERS.items()}):
        return NOT_YET + "You used the test images: they had their exam. Take the validation images, images[held_out]."
    wrong = next(name for name in given if abs(given[name] - true[name]) >= 0.004)
    return NOT_YET + f"Look at the {wrong} images: accuracy of cnn on images[held_out] ** {POWERS[wrong]}, threshold 0.5."


@checker
def check_6_2(accuracy_by_angle, model):
    """accuracy_by_angle: a function from a model to {angle: accuracy on validation images turned by it}."""
    if not callable(accuracy_by_angle):
        return NOT_YET + "Pass the function itself, without brackets behind its name."
    answer = accuracy_by_angle(model)
    if is_empty(answer):
        return "not answered yet. Your function returns nothing so far."
    curve = as_curve(answer)
    if curve is None:
        return NOT_YET + "Your function must return a dictionary {angle: accuracy}."
    angles = [0, 10, 20, 30, 40]
    if sorted(curve) != angles:
        return (
            NOT_YET + f"The angles are {angles}, in degrees; you have {[round(angle, 2) for angle in sorted(curve)]}."
        )
    for value in curve.values():
        if must_be_share(value):
            return must_be_share(value)
    _, _, images, labels = training_and_validation()
    test_images, test_labels = helpers.get_test_data()
    if abs(curve[0] - accuracy(model, images, labels)) > 0.004:
        if abs(curve[0] - accuracy(model, test_images, test_labels)) < 0.004:
            return NOT_YET + "You used the test images: they had their exam. Take the validation images, images[held_out]."
        return NOT_YET + "At 0 degrees nothing is turned, so the accuracy on validation images must come out."
    if len(set(curve.values())) == 1:
        return NOT_YET + "All angles give the same: do you predict the turned images, or the images as they were?"

    def fits(angle, sign):
        turned = rotate(images[..., :1], sign * angle, axes=(1, 2), reshape=False, order=1)
        return abs(curve[angle] - accuracy(model, np.repeat(turned, 3, axis=-1), labels)) <= 0.04

    for angle in angles[1:]:
        if not fits(angle, 1) and not fits(angle, -1):
            return NOT_YET + f"Look at {angle} degrees: turn rows against columns, axes=(1, 2), with reshape=False."
    return RIGHT + f"From 0 to 40 degrees: {curve[40] - curve[0]:+.3f}. Draw it, and a second network beside it."


@checker
def check_6_3(disturbance, model):
    """disturbance: a function from images (N, 64, 64, 3) in [0, 1] to disturbed images of the same shape and range."""
    _, _, images, labels = training_and_validation()
    unreadable = "Nobody could read these images any more: disturb them less. Look at some with plot_images."
    disturbed, fault = change_images(disturbance, images, unreadable)
    if fault:
        return fault
    before, after = accuracy(model, images, labels), accuracy(model, disturbed.astype("float32"), labels)
    withstands = "withstands" if after > before - 0.03 else "does not withstand"
    return RIGHT + f"Accuracy on validation images: {before:.3f} before, {after:.3f} after. The network {withstands} it."


# --- notebook 7 -----------------------------------------------------------------------------------------------------


@checker
def check_7_1(everyone_ill, ill, healthy):
    """everyone_ill: {"accuracy": number, "balanced accuracy": number} of a network that calls all images ill.

    ill, healthy: numbers of images.
    """
    given = {name: as_number(dict(everyone_ill)[name]) for name in ("accuracy", "balanced accuracy")}
    for value in given.values():
        if must_be_share(value):
            return must_be_share(value)
    share_ill = ill / (ill + healthy)

    def is_near(name, value):
        return abs(given[name] - value) < 0.004

    if is_near("accuracy", share_ill) and is_near("balanced accuracy", 0.5):
        return RIGHT + f"Accuracy {share_ill:.3f} without having looked at an image, and a balanced accuracy of one half."
    if is_near("balanced accuracy", share_ill) and is_near("accuracy", 0.5):
        return NOT_YET + "You have exchanged the two."
    if is_near("accuracy", 1 - share_ill):
        return NOT_YET + "That is the accuracy of a network that calls every image healthy."
    if not is_near("accuracy", share_ill):
        return NOT_YET + "Look at the accuracy: which share of these images is ill? It is right about those."
    return NOT_YET + "Look at the balanced accuracy: it finds which share of the ill, which of the healthy? The mean."


@checker
def check_7_2(gigabytes, images, size):
    """gigabytes: {"float32, three colours": number, "one byte, grey": number} for all images with size x size pixels."""
    names = ("float32, three colours", "one byte, grey")
    given = {name: as_number(dict(gigabytes)[name]) for name in names}
    if None in given.values():
        return NOT_YET + "Two numbers are expected, in gigabytes."
    pixels = len(images) * size**2
    true = {names[0]: pixels * 3 * 4 / 1e9, names[1]: pixels / 1e9}

    def times(factor):
        """True where both are the true numbers times the factor, also with gigabytes of 2**30 bytes."""
        units = (1, 1e9 / 2**30)
        return any(all(abs(given[n] / (true[n] * factor * unit) - 1) < 0.02 for n in names) for unit in units)

    if times(1):
        return RIGHT + f"{true[names[0]]:.2f} GB against {true[names[1]]:.2f} GB: twelve times as much."
    if times(1e3) or times(1e9):
        return NOT_YET + "That is too large by a power of ten: a gigabyte has 1,000,000,000 bytes."
    if times(32 / len(images)):
        return NOT_YET + "That is one batch. How much do all images need?"
    for factor, words in [(1 / 3, "three colours"), (1 / 4, "four bytes in a float32"), (1 / 12, "both factors")]:
        if abs(given[names[0]] / (true[names[0]] * factor) - 1) < 0.02:
            return NOT_YET + f"Look at float32, three colours: you forgot {words}."
    wrong = next(name for name in names if abs(given[name] / true[name] - 1) > 0.02)
    return NOT_YET + f"Look at {wrong}: images times pixels times bytes of a pixel, divided by 1e9."


@checker
def check_7_3(view, model, images):
    """view: a function from pictures (N, size, size, 3) in [0, 1] to another view of each, of that shape and range."""
    some = images.sample(min(len(images), 96), random_state=0)
    pictures = np.concatenate([batch.numpy() for batch, _ in networks.stream_images(some, model.input_shape[1])])
    other = "This shows something else: a view must still be the same image. Look at some with plot_images."
    seen, fault = change_images(view, pictures, other)
    if fault:
        return fault
    looks = [model.predict(views, verbose=0) for views in (pictures, seen.astype("float32"))]
    one, both = (helpers.score(some["class"], p)["auc"] for p in (looks[0], np.mean(looks, axis=0)))
    return RIGHT + f"AUC on {len(some)} validation images: {one:.3f} with one look, {both:.3f} with the mean of both."
