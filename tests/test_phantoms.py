"""The simulated images: the same for everybody, without a shortcut, with a known truth."""

import hashlib

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import helpers
from data import phantoms, sources
from tools import publish


@pytest.fixture(scope="module")
def train():
    return sources.read_table().query("split == 'train'")


@pytest.fixture(scope="module")
def images(train):
    return sources.phantom_images()[train["index"]]  # drawn once, for the notebooks, too


def test_every_row_has_a_grey_image_of_its_own_whatever_rows_stand_beside_it(train, images):
    assert images.shape == (2000, 64, 64) and images.dtype == np.uint8
    assert 100 < images.mean() < 150 and images.std(axis=(1, 2)).min() > 15 and (images == 255).mean() < 0.02
    assert len(np.unique(images.reshape(2000, -1), axis=0)) == 2000
    assert np.array_equal(phantoms.draw_images(train.iloc[[1500, 3, 777]]), images[[1500, 3, 777]])


def test_border_does_not_tell_the_class(train, images):
    edge = np.pad(np.zeros((56, 56), bool), 4, constant_values=True)
    border, y = images[:, edge] / 255, train["class"].to_numpy()
    training, validation = helpers.split_by_patient(train)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=2000))
    assert model.fit(border[training], y[training]).score(border[validation], y[validation]) <= 0.60


def test_disease_lies_in_the_lungs_and_brightens_them_there_alone(train):
    ill, healthy = train[train["class"] == 1].iloc[:100], train[train["class"] == 0].iloc[:100]
    masks, lungs = phantoms.draw_masks(ill), phantoms.draw_lungs(ill)
    assert masks.any(axis=(1, 2)).all() and not (masks & ~lungs).any() and not phantoms.draw_masks(healthy).any()
    assert 0.1 < lungs.mean() < 0.35 and masks.sum() < 0.8 * lungs.sum()
    change = phantoms.draw_images(ill).astype(int) - phantoms.draw_images(ill.assign(**{"class": 0}))
    inside = [image[mask].mean() for image, mask in zip(change, masks, strict=True)]
    assert min(inside) > 2 and np.median(inside) > max(20, 5 * abs(np.median(change[~lungs])))


def test_images_of_one_child_share_the_anatomy_and_larger_ones_show_the_same(train, images):
    several = train[train["patient"].map(train["patient"].value_counts()) > 1].sort_values("patient").iloc[:200]
    alike = np.corrcoef(phantoms.draw_lungs(several).reshape(200, -1))
    same = several["patient"].to_numpy()[:, None] == several["patient"].to_numpy()
    assert alike[same & ~np.eye(200, dtype=bool)].mean() > alike[~same].mean() + 0.02
    small = phantoms.draw_images(train.iloc[:40], size=128).reshape(40, 64, 2, 64, 2).mean(axis=(2, 4))
    for one, other in zip(small, images[:40], strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.985


def test_models_learn_from_phantoms_what_they_learn_from_real_images():
    measured = sources.read_json(helpers.RESULTS / "phantom_realism.json")
    assert measured["phantoms_sha256"] == hashlib.sha256((sources.DATA / "phantoms.py").read_bytes()).hexdigest()
    phantom, real = publish.figures("phantoms"), publish.figures()
    for model in ("knn", "logistic_regression", "cnn"):
        assert abs(phantom[model]["test"] - real[model]["test"]) <= 0.08
        assert model == "cnn" or all(of[model]["validation"] > of[model]["test"] + 0.03 for of in (phantom, real))
    assert min(measured["auc_on_real_test_after_training_on_phantoms"].values()) >= 0.8
