"""Checks of what functions are given: images in [0, 1], as many labels or probabilities; a slip is a DataError."""

import numpy as np
import pandas as pd

from .sources import DataError


def check_images(images, name="images"):
    """The images, an array or a list of arrays; DataError where values leave [0, 1] by more than noise does."""
    values = [(np.min(image), np.max(image)) for image in images if np.size(image)]
    low, high = np.min(values, initial=0), np.max(values, initial=0)
    if not -0.25 <= low <= high <= 1.25:
        advice = "divide grey values up to 255 by 255" if high > 2 else "bring them into this range first"
        raise DataError(f"{name} have values from 0 to 1, and these go from {low:.4g} to {high:.4g}: {advice}.")
    return images


def check_several(images):
    """DataError where one image came or rows of numbers, not several images; those in colour must be in [0, 1]."""
    shapes = [np.shape(image) for image in images]  # a single image falls into rows of (64, 3)
    if not shapes or any(len(shape) < 2 or len(shape) == 2 and shape[0] != shape[1] == 3 for shape in shapes):
        advice = "put one image in a list, and give rows of numbers the shape (-1, 64, 64, 3)"
        raise DataError(f"Several images are wanted, and what came has the shape {np.shape(images)}: {advice}.")
    check_images([image for image in images if np.ndim(image) == 3])


def check_labels(labels, count):
    """The labels as ints (count,); DataError where there are not as many, or where one is neither 0 nor 1."""
    return _check(labels, count, "labels", "0 (healthy) or 1 (pneumonia)", lambda n: (n == 0) | (n == 1)).astype(int)


def check_probabilities(probabilities, count):
    """The probabilities as floats (count,); DataError where there are not as many, or where one is not in [0, 1]."""
    rule = "from 0 to 1 (divide percent by 100; log-odds want a sigmoid)"
    return _check(probabilities, count, "probabilities", rule, lambda n: (n >= 0) & (n <= 1))


def check_count(values, count, name):
    """DataError where there are not as many values as images."""
    if np.size(values) != count:
        came = f"these have the shape {np.shape(values)}"
        raise DataError(f"{count:,} images need as many {name}, one each; {came}: take those of the same images.")


def _check(values, count, name, rule, fits):
    check_count(values, count, name)
    numbers = np.asarray(pd.to_numeric(np.ravel(values), errors="coerce"), dtype=float)  # words become NaN
    if not fits(numbers).all():
        position = int(np.argmin(fits(numbers)))
        raise DataError(f"{name} are {rule}, and the one at position {position} is {np.ravel(values)[position]}.")
    return numbers
