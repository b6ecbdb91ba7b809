"""The embedded data set: seeded, without a shortcut, and teaching the same lesson as real images."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import helpers
from data import phantoms

ROOT = Path(__file__).resolve().parents[1]
METADATA = pd.read_csv(ROOT / "data/metadata.csv")


@pytest.fixture(scope="module")
def train():
    return METADATA[METADATA["split"] == "train"].reset_index(drop=True)


@pytest.fixture(scope="module")
def images(train):
    return phantoms.draw_images(train)


@pytest.fixture(scope="module")
def realism():
    return json.loads((ROOT / "results/phantom_realism.json").read_text())


def test_a_row_gives_the_same_image_whatever_rows_stand_beside_it(train, images):
    some = train.iloc[[1500, 3, 777]]
    assert np.array_equal(phantoms.draw_images(some), images[some.index])


def test_images_are_grey_images_in_the_range_of_real_images(images):
    assert images.shape == (2000, 64, 64) and images.dtype == np.uint8
    assert 100 < images.mean() < 150
    assert images.mean(axis=(1, 2)).std() < 25
    assert images.std(axis=(1, 2)).min() > 15
    assert (images == 255).mean() < 0.02


def test_images_of_different_rows_differ(images):
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_border_does_not_tell_the_class(train, images):
    inside = np.zeros((64, 64), bool)
    inside[4:-4, 4:-4] = True
    border, y = images[:, ~inside] / 255, train["class"]
    training, val = helpers.split_by_patient(train)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=2000)).fit(border[training], y[training])
    assert model.score(border[val], y[val]) <= 0.60


def test_masks_are_empty_for_healthy_and_lie_inside_the_lungs_for_ill(train):
    rows = train.iloc[:300]
    masks, lungs, ill = phantoms.draw_masks(rows), phantoms.draw_lungs(rows), rows["class"] == 1
    assert masks.dtype == lungs.dtype == bool and masks.shape == lungs.shape == (300, 64, 64)
    assert not masks[~ill].any()
    assert masks[ill].any(axis=(1, 2)).all()
    assert not (masks & ~lungs).any()
    assert 0.1 < lungs.mean() < 0.35
    assert masks[ill].sum() < 0.8 * lungs[ill].sum()


def test_disease_brightens_the_image_inside_the_mask_and_nowhere_near_the_border(train):
    ill = train[train["class"] == 1].iloc[:100]
    change = phantoms.draw_images(ill).astype(int) - phantoms.draw_images(ill.assign(**{"class": 0}))
    masks = phantoms.draw_masks(ill)
    inside = np.array([image[mask].mean() for image, mask in zip(change, masks, strict=True)])
    assert inside.min() > 2
    assert np.median(inside) > 20
    assert np.median(inside) > 5 * abs(np.median(change[~phantoms.draw_lungs(ill)]))


def test_images_of_one_patient_share_the_anatomy(train):
    counts = train["patient"].value_counts()
    pairs = train[train["patient"].isin(counts[counts >= 2].index)].groupby("patient").head(2)
    pairs = pairs.sort_values("patient", kind="stable").iloc[:200]
    lungs = phantoms.draw_lungs(pairs).reshape(len(pairs), -1).astype(float)
    alike = np.corrcoef(lungs)
    same = alike[np.arange(0, len(pairs), 2), np.arange(1, len(pairs), 2)].mean()
    other = alike[np.arange(0, len(pairs) - 2, 2), np.arange(3, len(pairs), 2)].mean()
    assert same > other + 0.02


def test_other_sizes_show_the_same_image(train, images):
    large = phantoms.draw_images(train.iloc[:40], size=128)
    assert large.shape == (40, 128, 128)
    small = large.reshape(40, 64, 2, 64, 2).mean(axis=(2, 4))
    for one, other in zip(small, images[:40], strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.985
    ill = train[train["class"] == 1].iloc[:20]
    masks = phantoms.draw_masks(ill)
    large_masks = phantoms.draw_masks(ill, size=128).reshape(20, 64, 2, 64, 2).mean(axis=(2, 4)) > 0.5
    assert (masks & large_masks).sum() > 0.9 * (masks | large_masks).sum()


def test_realism_figures_belong_to_this_version(realism):
    assert realism["phantoms_sha256"] == hashlib.sha256((ROOT / "data/phantoms.py").read_bytes()).hexdigest()


def test_models_learn_the_same_lesson_as_on_real_images(realism):
    phantom, real = realism["test_accuracy"]["phantom"], realism["test_accuracy"]["real"]
    for model, accuracy in phantom.items():
        assert abs(accuracy - real[model]) <= 0.08
    for accuracies in (phantom, real):
        assert accuracies["cnn"] > max(accuracies["knn"], accuracies["logistic_regression"])
    for side in ("phantom", "real"):
        for model in ("knn", "logistic_regression"):
            assert realism["val_accuracy"][side][model] > realism["test_accuracy"][side][model] + 0.03
        assert realism["val_accuracy"][side]["logistic_regression"] < 0.99


def test_models_trained_on_phantoms_recognise_real_images(realism):
    auc = realism["auc_on_real_test_after_training_on_phantoms"]
    assert auc["logistic_regression"] >= 0.85
    assert auc["cnn"] >= 0.85
    assert realism["border_val_accuracy"]["phantom"] <= 0.60
    assert realism["seconds_for_2800_images"] < 10
