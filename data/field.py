"""Field images: how a portable machine would have taken an X-ray."""

import numpy as np
from scipy.ndimage import affine_transform

from .arguments import check_images
from .sources import DataError


def disturb(image, seed):
    """One grey image as a portable machine might give it: turned, sheared, wrongly exposed and noisy.

    image: float in [0, 1] of shape (64, 64). Returns float32 of that shape and range; the same seed, the same image.
    """
    if np.ndim(image) != 2:
        raise DataError(f"One grey image (64, 64) is wanted, and this has the shape {np.shape(image)}: take [..., 0].")
    rng, image = np.random.default_rng(seed), check_images([image])[0]
    for change in (turn, expose, add_noise):
        image = change(image, rng)
    return np.clip(image, 0, 1).astype(np.float32)


def turn(image, rng):
    """The image turned by up to 20 degrees and sheared by up to 0.15; what comes in from outside is black."""
    angle = np.deg2rad(rng.uniform(-20, 20))
    shear = rng.uniform(-0.15, 0.15)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turned @ [[1, shear], [0, 1]]
    middle = (np.array(image.shape) - 1) / 2
    return affine_transform(image, matrix, offset=middle - matrix @ middle, order=1)


def expose(image, rng):
    """The image with its grey values raised to a power from 0.6 (brighter) to 1.6 (darker)."""
    return np.clip(image, 0, 1) ** rng.uniform(0.6, 1.6)


def add_noise(image, rng):
    """The image with normal noise of a standard deviation from 0.01 to 0.04."""
    return image + rng.normal(0, rng.uniform(0.01, 0.04), image.shape)
