"""Simulated chest X-rays of children: one image for every row of `metadata.csv`; and of adults in another hospital.

Each image is computed from a drawn thorax.  Body, bones, air and disease are thicknesses along the beam, and the
Beer-Lambert law turns their sum into the light that reaches the detector.  No real image is stored or needed.

Positions are in chest units: x = 0 at the spine, |x| = 1 at the widest rib, y = 0 at the top of the lungs and
y = 1 at the top of the diaphragm.  As on a real image, the left of the image is the patient's right side.
"""

import contextlib
import io
import math
import sys
import zlib
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from tqdm import tqdm

# Attenuation per chest thickness of soft tissue and extra attenuation of bone, about 70 kV.
TISSUE, BONE = 2.7, 1.0
LOBES = ("right upper", "right middle", "right lower", "left upper", "left lower")


def draw_images(metadata, size=64):
    """Draw the image of every row of the metadata.

    Parameters: `metadata`, a DataFrame with the columns class, split, patient and filename; `size`, the side in pixels.
    Returns uint8 (rows, size, size), 0 black to 255 white; dense tissue is bright.  The same row gives the same image.
    """
    return draw_rows(metadata, size, image)


def draw_masks(metadata, size=64):
    """Draw where the pneumonia is: bool (rows, size, size), True inside the opacity, all False for healthy rows."""
    return draw_rows(metadata, size, opacity_mask)


def draw_lungs(metadata, size=64):
    """Draw where the air-filled lungs show: bool (rows, size, size), without the parts behind heart and diaphragm."""
    return draw_rows(metadata, size, lung_field)


def draw_phantoms(metadata):
    """Simulated images of the rows of the table, and where their pneumonia is: the only images whose truth is known.

    Returns (images, masks): images float32 (N, 64, 64, 3) in [0, 1]; masks bool (N, 64, 64), False for healthy rows.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # a progress bar for a few seconds would only disturb
        grey, masks = draw_images(metadata), draw_masks(metadata)
    return np.repeat(grey[..., np.newaxis] / np.float32(255), 3, axis=-1), masks


def draw_rows(metadata, size, draw):
    rows = metadata[["class", "split", "patient", "filename"]].itertuples(index=False, name=None)
    hide = len(metadata) * size**2 < 500 * 64**2
    rows = tqdm(rows, total=len(metadata), desc="Drawing", file=sys.stdout, leave=False, disable=hide)
    return np.stack([draw(*row, size) for row in rows])


# ---------------------------------------------------------------- what differs between children and between images


def random_numbers(text):
    return np.random.default_rng(zlib.crc32(text.encode()))


def child(patient):
    """The anatomy of one patient, the same on all images of that patient."""
    rng = random_numbers(patient)
    normal, uniform = rng.normal, rng.uniform
    return SimpleNamespace(
        width=normal(0.39, 0.018),
        height=normal(0.565, 0.025),
        apex_roundness=uniform(0.42, 0.60),
        apex_slope=uniform(0.8, 2.5),
        wall=uniform(0.06, 0.18),
        mediastinum=normal(0.205, 0.025),
        right_heart=normal(0.07, 0.03),
        left_heart=min(max(normal(0.36, 0.07), 0.2), 0.55),
        thymus=uniform(0, 0.12),
        knob=uniform(0, 0.06),
        left_dome=normal(0.04, 0.03),
        dome_curve=uniform(0.12, 0.26),
        rib_spacing=normal(0.138, 0.01),
        rib_phase=uniform(0, 1),
        trunk=normal(1, 0.02),
        abdomen=normal(0.12, 0.02),
        rib_drop=normal(0.27, 0.04),
        front_drop=normal(0.50, 0.08),
        bone=uniform(0.7, 1.2),
        collar=normal(-0.04, 0.03),
        shoulder=normal(-0.27, 0.05),
        vessel_seed=rng.integers(2**31),
        vessels=uniform(0.6, 1.3),
    )


def exposure(filename, split):
    """How one image was taken.

    The `test` images come from another machine: the child lies off centre and fills more of the image, breathes less
    deep and is placed with less care; there is more stray light, and the display is darker.
    """
    rng = random_numbers(filename)
    normal, uniform = rng.normal, rng.uniform
    other = split == "test"
    careless = rng.random() < (0.6 if other else 0.2)
    spread = (1.3 if other else 1.0) if careless else 0.6
    squeeze = uniform(1.05, 1.3) if rng.random() < 0.2 else 1
    return SimpleNamespace(
        rng=rng,
        centre=0.5 + 0.06 * other + spread * normal(0, 0.022),
        apex=0.175 + spread * normal(0, 0.035),
        zoom_x=squeeze * (1 + 0.04 * other + spread * normal(0, 0.05)),
        zoom_y=1 + 0.04 * other + spread * normal(0, 0.05),
        tilt=np.radians(spread * normal(0, 2.0)),
        turn=spread * normal(0, 0.05),
        bend=spread * normal(0, 0.05),
        breath=normal(0, 0.03),
        air=normal(1, 0.22) - 0.1 * other,
        arm_angle=uniform(0.9, 1.25) if rng.random() < 0.3 else uniform(-1.35, -0.7),
        head=normal(-0.24, 0.13),
        head_side=normal(0, 0.15),
        fog=uniform(0.015, 0.045) + 0.03 * other,
        black=normal(0.0, 0.03) - 0.03 * other,
        veil=0.2 * rng.random() ** 4,
        contrast=normal(1.0, 0.08) - 0.06 * other,
        photons=10 ** uniform(5, 6),
        blur=uniform(0.0015, 0.0045),
    )


def grow_up(body, shot, label, rng):
    """Make the child an adult of another hospital (split "external"): taller, without thymus, ribs closer together.

    The fall is built in: pneumonia is fainter; the ill mostly lie below a portable machine, which sees them larger and
    darker, with leads on the chest; the healthy mostly stand, and are seen brighter. Returns whether it is portable.
    """
    portable = rng.random() < (0.8 if label else 0.2)
    body.width, body.height, body.thymus = 1.08 * body.width, 1.15 * body.height, 0
    body.rib_spacing, body.left_heart, body.wall = 0.75 * body.rib_spacing, 0.85 * body.left_heart, 1.5 * body.wall
    shot.arm_angle, shot.head, shot.fog = 1.1, shot.head - 0.2, shot.fog + 0.05
    shot.air *= 1.6 if portable else 0.5
    shot.black += -0.03 if portable else 0.03
    shot.zoom_x, shot.breath = shot.zoom_x * (1.08 if portable else 1), shot.breath + (0 if portable else 0.08)
    return portable


# ------------------------------------------------------------------------------------------------ small tools


def step(distance, width):
    """Soft edge: 0 far below zero, 1 far above."""
    return 0.5 + 0.5 * np.tanh(distance / width)


def bump(value, centre, width):
    return np.exp(-(((value - centre) / width) ** 2))


def rod(x, y, start, end, radius):
    """Thickness of a round rod seen from the side, 1 in the middle."""
    (x0, y0), (x1, y1) = start, end
    along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
    along = np.clip(along, 0, 1)
    squared = (x - x0 - along * (x1 - x0)) ** 2 + (y - y0 - along * (y1 - y0)) ** 2
    return np.sqrt(np.maximum(1 - squared / radius**2, 0))


@lru_cache
def stretch_matrix(cells, size):
    """Weights that stretch `cells` values smoothly over `size` pixels."""
    places = (np.arange(size) + 0.5) / size * (cells - 1)
    grid = np.meshgrid(range(cells), places)
    return ndimage.map_coordinates(np.eye(cells), grid, order=3, mode="nearest").astype("f")


def clouds(rng, cells, size):
    """Smooth random pattern with about `cells` spots per side, mean 0, spread about 1."""
    weights = stretch_matrix(cells, size)
    return weights @ rng.standard_normal((cells, cells), dtype="f") @ weights.T * 1.3


def chest_coordinates(body, shot, size):
    places = ((np.arange(size) + 0.5) / size).astype("f")
    u, v = places[None, :] - shot.centre, places[:, None] - shot.apex
    cos, sin = np.cos(shot.tilt), np.sin(shot.tilt)
    x = (u * cos + v * sin) / (body.width * shot.zoom_x)
    y = (v * cos - u * sin) / (body.height * shot.zoom_y)
    return (x + shot.bend * (y - 0.5) ** 2).astype("f"), y.astype("f")


def image_position(points, body, shot):
    """The way back from chest units (..., 2) to shares of the image's sides."""
    x, y = points[..., 0], points[..., 1]
    u, v = (x - shot.bend * (y - 0.5) ** 2) * body.width * shot.zoom_x, y * body.height * shot.zoom_y
    cos, sin = np.cos(shot.tilt), np.sin(shot.tilt)
    return np.stack([shot.centre + u * cos - v * sin, shot.apex + u * sin + v * cos], axis=-1)


# ---------------------------------------------------------------------------------------------------- anatomy


def cage_half_width(y, body):
    down = np.clip((y + 0.08) / 1.38, 0, 1)
    return (1 - (1 - down) ** 3) ** body.apex_roundness + 0.001


def lungs(x, y, body, shot):
    """Air thickness in front of the detector, and the part of it that shows as dark lung field."""
    half = cage_half_width(y, body)
    depth = 1 - (x / half) ** 2
    apex = 0.02 + body.apex_slope * (np.abs(x) - 0.34) ** 2
    inside = step(0.97 - np.abs(x) / half, 0.03) * step(y - apex, 0.02)
    out = np.abs(x)
    shifted = out + np.sign(x) * shot.turn
    down = np.clip((y - 0.27) / 0.5, 0, 1)
    right_edge = body.mediastinum + body.right_heart * bump(y, 0.78, 0.3) + 0.5 * body.thymus * bump(y, 0.25, 0.2)
    left_heart = body.left_heart * np.sin(np.pi / 2 * down) ** 1.25 - 0.25 * np.maximum(y - 0.85, 0)
    left_edge = body.mediastinum + left_heart + body.knob * bump(y, 0.27, 0.07) + body.thymus * bump(y, 0.25, 0.2)
    beside_heart = step(shifted - np.where(x < 0, right_edge, left_edge), 0.022)
    dome = 1 + shot.breath + np.where(x < 0, 0, body.left_dome) + body.dome_curve * ((out - 0.45) / 0.5) ** 2
    above = step(dome - y, 0.02)
    field = inside * beside_heart * above
    behind = inside * step(out - 0.17, 0.04) * step(dome + 0.1 - y, 0.08)
    chord = np.sqrt(np.maximum(depth, 0)) ** 0.6
    return chord * (0.8 * field + 0.2 * behind), field


def soft_body(x, y, body, shot):
    """Thickness of trunk, arms, neck and head, 1 in the middle of the trunk."""
    out = np.abs(x)
    half = 1.0 + body.wall + 0.05 * (y - 0.5)
    trunk = body.trunk * np.sqrt(np.maximum(1 - (out / half) ** 2, 0)) ** 0.8
    trunk = trunk * (1 - 0.3 * step(0.15 - y, 0.3) + body.abdomen * step(y - 1.05, 0.12))
    trunk = trunk * step(y - body.shoulder + 0.12 - 0.16 * out, 0.12)
    arm = 0.5 * rod(out, y, (0.82, 0.3), arm_end(shot, 0.98), 0.31)
    neck = 0.75 * rod(x, y, (0, 0.1), (shot.head_side, -0.8), 0.42)
    head = rod(x, y, (shot.head_side - 0.2, shot.head - 0.5), (shot.head_side + 0.2, shot.head - 0.5), 0.5)
    return np.sqrt(np.sqrt(trunk**4 + arm**4 + neck**4 + head**4))


def arm_end(shot, shoulder):
    return shoulder + 0.9 * math.cos(shot.arm_angle), 0.1 + math.sin(shot.arm_angle)


def bones(x, y, body, shot):
    """Bone thickness; ribs leave the spine, turn down at the side (back) and run steeply to the middle (front)."""
    out = np.abs(x)
    half = cage_half_width(y, body)
    ratio = np.minimum(out / half, 1.1)
    level = y + 0.15 * y * (1 - y)
    back = (level + 0.10 * ratio - body.rib_drop * ratio**3) / body.rib_spacing + body.rib_phase
    at_side = body.rib_drop - 0.10
    front = (level - at_side - body.front_drop * (1 - ratio)) / body.rib_spacing + body.rib_phase
    rim = (1 + 0.5 * ratio**8) * step(1.04 - ratio, 0.03) * step(y + 0.04, 0.03) * (1 - 0.6 * step(y - 1.05, 0.1))
    ribs = (0.14 + 0.27 * ratio) * rib_band(back) * step(out - 0.08, 0.03)
    ribs += 0.11 * rib_band(front) * step(ratio - 0.55, 0.1)
    ribs += 0.15 * bump(ratio, 1.0, 0.025)
    vertebra = 0.75 + 0.25 * np.cos(2 * np.pi * (level / body.rib_spacing + body.rib_phase))
    spine = 0.36 * step(0.145 - out, 0.025) * vertebra + 0.1 * bump(out, 0.09, 0.03) * vertebra
    collar = body.collar - 0.12 * (out - 0.12) + 0.035 * np.sin(6 * out + 1)
    clavicle = 0.5 * bump(y, collar, 0.028) * step(out - 0.13, 0.03) * step(0.92 - out, 0.05)
    scapula = 0.16 * rod(out, y, (1.1, 0.03), (0.88, 0.5), 0.07)
    humerus = 0.3 * rod(out, y, (1.16, 0.02), arm_end(shot, 1.16), 0.065)
    humerus += 0.3 * bump(out, 1.16, 0.1) * bump(y, 0.02, 0.1)
    jaw = 0.35 * rod(x, y, (shot.head_side - 0.25, shot.head - 0.2), (shot.head_side + 0.25, shot.head - 0.2), 0.15)
    return body.bone * (ribs * rim + spine + clavicle + scapula + humerus + jaw)


def rib_band(phase):
    return np.clip(0.5 + 1.3 * np.cos(2 * np.pi * phase), 0, 1)


def vessel_paths(body):
    """Points (paths, 6, 2) in chest units of vessels that leave both hila, branch and wind, and their widths."""
    rng = np.random.default_rng(body.vessel_seed)
    side = np.repeat([-1, 1], 9)
    start = np.stack([side * 0.24, rng.normal(0.47, 0.09, 18)], axis=1)
    angle, length, width = np.tile(np.linspace(-1.5, 1.6, 9), 2), 0.5, 0.026
    paths, widths = [], []
    for children in (3, 2, 0):
        angle = angle + rng.normal(0, 0.15, len(angle))
        turns = angle[:, None] + np.cumsum(rng.normal(0, 0.16, (len(angle), 5)), axis=1)
        steps = np.stack([side[:, None] * np.cos(turns), np.sin(turns)], axis=2) * length / 5
        path = np.concatenate([start[:, None], start[:, None] + np.cumsum(steps, axis=1)], axis=1)
        paths.append(path)
        widths += [width] * len(path)
        forks = rng.integers(1, 6, (len(path), children))
        start = np.take_along_axis(path, forks[..., None], axis=1).reshape(-1, 2)
        angle = (angle[:, None] + rng.choice([-1, 1], forks.shape) * rng.uniform(0.3, 0.8, forks.shape)).ravel()
        side = np.repeat(side, children)
        length, width = 0.62 * length, 0.6 * width
    return np.concatenate(paths), widths


def vessel_tree(body, shot, size):
    """Thickness of the vessels, drawn with fine lines four times as large and averaged."""
    paths, widths = vessel_paths(body)
    canvas = Image.new("L", (4 * size, 4 * size))
    draw = ImageDraw.Draw(canvas)
    for path, width in zip(image_position(paths, body, shot) * 4 * size, widths, strict=True):
        shade, pixels = int(255 * (width / 0.026) ** 0.5), max(1, round(1.5 * width * size))
        draw.line(path.ravel().tolist(), fill=shade, width=pixels)
    return np.asarray(canvas.reduce(4), dtype="f") / 255


# ---------------------------------------------------------------------------------------------------- disease


def pneumonia(x, y, kind, rng, size):
    """Share of the air that is replaced by fluid, 0 to 1."""
    shares = [0.1, 0.3, 0.6] if kind == "virus" else [0.5, 0.35, 0.15]
    pattern = rng.choice(["lobar", "patchy", "interstitial"], p=shares)
    severity = max(rng.beta(2.6, 1.1), 0.2)  # the weakest are easy to miss
    rough = clouds(rng, 24, size)
    # Haze fills both lungs, and the roots of the lungs beside heart and spine become dense.
    haze = rng.uniform(0.3, 1.1) * bump(x, 0.1, 0.9) * bump(y, 0.5, 0.8)
    haze += rng.uniform(0.1, 1.4) * bump(np.abs(x), 0.25, 0.2) * bump(y, 0.5, 0.4)
    if pattern == "lobar":
        spots = lobe(x, y, rng) * (0.9 + 0.1 * rough)
    elif pattern == "patchy":
        spots = patches(x, y, rng) * (0.9 + 0.1 * rough)
    else:
        spots = 0.7 * bump(x, 0.1, 0.9) * bump(y, 0.55, 0.6) * (0.9 + 0.1 * rough)
    return np.clip(severity * (spots + haze), 0, 0.95)


def lobe(x, y, rng):
    """One lobe filled up to its fissure."""
    name = rng.choice(LOBES, p=[0.18, 0.15, 0.19, 0.22, 0.26])
    side = step(-x if name.startswith("right") else x, 0.02)
    out = np.abs(x)
    fissure = rng.normal(0.45, 0.04) + rng.normal(0.1, 0.05) * out
    if name.endswith("upper"):
        part = step(fissure - y, 0.02)
    elif name.endswith("middle"):
        part = step(y - fissure, 0.02) * step(0.75 - out - 0.3 * (y - 0.7), 0.12)
    else:
        part = step(y - fissure - rng.uniform(0, 0.15), 0.15)
    return 0.95 * side * part


def patches(x, y, rng):
    """Scattered soft spots of bronchopneumonia."""
    spots = np.zeros_like(x)
    side = 1 if rng.random() < 0.6 else -1
    for _ in range(rng.integers(2, 8)):
        side = -side if rng.random() < 0.4 else side
        centre_x = side * min(max(rng.normal(0.5 + 0.06 * side, 0.18), 0.2), 0.9)
        centre_y = rng.normal(0.65, 0.2)
        radius = rng.uniform(0.1, 0.28)
        spots += rng.uniform(0.4, 1) * np.exp(-(((x - centre_x) ** 2 + (y - centre_y) ** 2) / radius**2))
    return np.minimum(spots, 1)


# -------------------------------------------------------------------------------------------- from child to image


def scene(label, split, patient, filename, size):
    body, shot = child(patient), exposure(filename, split)
    portable = split == "external" and grow_up(body, shot, label, random_numbers("adult " + filename))
    x, y = chest_coordinates(body, shot, size)
    air, field = lungs(x, y, body, shot)
    fluid = np.zeros_like(x)
    if label == 1:
        kind = "virus" if "virus" in filename else "bacteria"
        fluid = pneumonia(x, y, kind, random_numbers("disease " + filename), size) * (1 - 0.5 * (split == "external"))
    return SimpleNamespace(body=body, shot=shot, x=x, y=y, air=air, field=field, fluid=fluid, portable=portable)


def image(label, split, patient, filename, size):
    s = scene(label, split, patient, filename, size)
    rng = s.shot.rng
    tissue = soft_body(s.x, s.y, s.body, s.shot) * (1 + 0.02 * clouds(rng, 8, size))
    air = 0.64 * s.shot.air * s.air * (1 + 0.05 * clouds(rng, 30, size))
    vessels = 0.18 * s.body.vessels * vessel_tree(s.body, s.shot, size) * s.field
    lung = (air - vessels) * (1 - s.fluid)  # fluid hides the vessels
    tissue = np.maximum(tissue - lung - gas(s.x, s.y, rng, size), 0)
    attenuation = TISSUE * tissue + BONE * bones(s.x, s.y, s.body, s.shot)
    grey = detect(attenuation, s.shot, size)
    marks = random_numbers("marks " + filename)
    return annotate(add_leads(grey, marks, size) if s.portable else grey, marks, size)


def gas(x, y, rng, size):
    """Air in the windpipe, the stomach and the bowel."""
    windpipe = 0.12 * rod(x, y, (0, -0.5), (0.02, 0.3), 0.09)
    stomach = rng.uniform(0, 0.3) * bump(x, rng.normal(0.5, 0.1), 0.22) * bump(y, rng.normal(1.3, 0.06), 0.1)
    return windpipe + stomach * np.clip(0.6 + 0.6 * clouds(rng, 12, size), 0, 1)


def detect(attenuation, shot, size):
    """Beer-Lambert law, scattered light, photon noise and the display of the image."""
    light = np.exp(-attenuation)
    light = ndimage.gaussian_filter(light, shot.blur * size) + shot.fog
    photons = shot.photons * (64 / size) ** 2
    light = shot.rng.poisson(light * photons) / photons
    density = -np.log(np.maximum(light, 1e-4) / (1 + shot.fog))
    shade = shot.contrast * density / 3.35 + shot.black
    shade = shot.veil + (1 - shot.veil) * np.maximum(shade, 0)
    shade = np.where(shade < 0.85, shade, 0.85 + 0.15 * np.tanh((shade - 0.85) / 0.15))
    return np.clip(255 * shade, 0, 255)


def add_leads(grey, rng, size):
    """Three bright discs on the chest, and the wires that lead from them to the lower edge."""
    image = Image.fromarray(grey.astype("u1"))
    draw = ImageDraw.Draw(image)
    for x, y in rng.uniform([0.2, 0.25], [0.8, 0.7], (3, 2)) * size:
        draw.line([x, y, size / 2 + rng.normal(0, 0.1) * size, size], fill=170, width=max(1, size // 64))
        draw.circle((x, y), 0.025 * size, fill=235)
    return np.asarray(image)


def annotate(grey, rng, size):
    """Side marker, and the black frame that the collimator leaves on some images."""
    image = Image.fromarray(grey.astype("u1"))
    marker = rng.choice(["R", "L", "", "A-P"], p=[0.78, 0.08, 0.12, 0.02])
    place = (rng.uniform(0.01, 0.12) * size, rng.uniform(0.02, 0.55) * size)
    ImageDraw.Draw(image).text(place, marker, fill=int(rng.uniform(150, 250)), font=marker_font(size))
    grey = np.asarray(image).copy()
    for side in range(4):
        if rng.random() < 0.05:
            edge = int(rng.uniform(0.01, 0.06) * size)
            np.rot90(grey, side)[:edge] = rng.integers(0, 12)
    return grey


@lru_cache
def marker_font(size):
    return ImageFont.load_default(size=max(5, round(0.07 * size)))


def lung_field(label, split, patient, filename, size):
    return scene(label, split, patient, filename, size).field > 0.5


def opacity_mask(label, split, patient, filename, size):
    s = scene(label, split, patient, filename, size)
    fluid = s.fluid * (s.field > 0.5)
    return fluid > max(0.4 * fluid.max(), 1e-6)
