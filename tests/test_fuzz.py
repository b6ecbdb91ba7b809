"""Made-up and damaged tables, arrays and pictures: a loader gives what it promises or raises one line of DataError."""

import io
import random
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from data import sources

settings.register_profile("course", deadline=None, max_examples=150, derandomize=True)
settings.load_profile("course")


def load_or_refuse(load):
    """What `load` gives, or None where it raised a DataError of one line; any other error goes on."""
    try:
        return load()
    except sources.DataError as error:
        assert str(error) and "\n" not in str(error)
        return None


def with_file(content, load):
    """load_or_refuse(load(path)) for a file of this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made"
        path.write_bytes(content)
        return load_or_refuse(lambda: load(path))


# --- tables -----------------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
ODD_CELLS = st.one_of(
    st.sampled_from(["", " ", "0", "1", "1.0", "-1", "2", "1e400", "nan", "inf", "True", "NULL", '"', "a,b", "0x1"]),
    st.integers().map(str),
    st.floats().map(str),
    WORDS,
)
COLUMNS = {
    "index": st.integers(0, 6).map(str),
    "class": st.sampled_from(["0", "1"]),
    "split": st.sampled_from(["train", "test", "field"]),
    "patient": st.sampled_from(["person1", "IM-2", "7"]),
    "filename": st.sampled_from(["train/NORMAL/a.jpeg", "test/b.jpeg", "3"]),
}


@st.composite
def tables(draw):
    """A table as bytes: right or nearly so."""
    names = draw(st.permutations(list(COLUMNS)))
    rows = []
    for number in range(draw(st.integers(0, 4))):
        row = {name: draw(cells) for name, cells in COLUMNS.items()} | {"index": str(number)}
        rows.append([row[name] for name in names])
    lines = [names, *rows]
    for _ in range(draw(st.integers(0, 2))):
        line = draw(st.sampled_from(lines))
        line[draw(st.integers(0, len(line) - 1))] = draw(ODD_CELLS)
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return end.join(",".join(line) for line in lines).encode()


def check_the_table(table):
    assert list(table.columns) == sources.COLUMNS and len(table) > 0
    assert table["index"].tolist() == list(range(len(table)))
    assert table["index"].dtype == table["class"].dtype == int
    assert set(table["class"]) <= {0, 1} and set(table["split"]) <= sources.SPLITS
    assert all(isinstance(value, str) and value for value in [*table["patient"], *table["filename"]])


@given(st.one_of(tables(), st.binary(max_size=200), WORDS.map(str.encode)))
def test_a_made_up_table_is_right_or_refused(content):
    table = with_file(content, lambda path: sources.check_table(sources.read_csv(path), path.name))
    if table is not None:
        check_the_table(table)
        # an image of each name is looked for, and only inside the folder's tree
        with tempfile.TemporaryDirectory() as folder:
            assert load_or_refuse(lambda: sources.read_images(Path(folder), table["filename"])) is None


@given(st.one_of(tables(), st.binary(max_size=200)))
def test_a_made_up_table_of_the_article_is_right_or_refused(content):
    table = with_file(content, sources.inspirit_table)
    if table is not None:
        check_the_table(table)


# --- arrays -----------------------------------------------------------------------------------------------------------

TYPES = st.one_of(
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.complex_number_dtypes(),
    hnp.boolean_dtypes(),
    hnp.unicode_string_dtypes(max_len=3),
    hnp.datetime64_dtypes(),
)
SHAPES = st.one_of(
    st.sampled_from([(2, 64, 64, 3), (2, 64, 64), (2, 12288), (24576,), (1, 64, 64, 3), (2, 1), (2,), ()]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)


@st.composite
def arrays(draw):
    """Any array, all of one or two values, so that large ones are made quickly."""
    kind = draw(TYPES)
    values = draw(hnp.arrays(kind, 2))
    array = np.full(draw(SHAPES), values[0])
    if array.size:
        array.flat[array.size // 2] = values[1]
    return array


def saved(save, *some, **named):
    file = io.BytesIO()
    save(file, *some, **named)
    return file.getvalue()


@given(arrays())
def test_a_made_up_array_of_the_article_gives_images_or_is_refused(array):
    images = with_file(saved(np.save, array), lambda path: sources.inspirit_images(path, 2))
    assert images is None or (images.shape == (2, 64, 64) and images.dtype == np.uint8)


@given(arrays())
def test_a_made_up_array_in_the_cache_gives_images_or_nothing(array):
    images = with_file(saved(np.save, array), sources.read_prepared)
    assert images is None or (images.shape[1:] == (64, 64) and images.dtype == np.uint8)


IMAGES, LABELS = np.zeros((2, 64, 64), np.uint8), np.zeros((2, 1), np.uint8)
SOUND = {"train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES, "test_labels": LABELS}


def medmnist_table_of(path):
    """The table and all images of an archive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "download", lambda name: path)
        opened = sources.open_medmnist()
        table = sources.medmnist_table(opened)
        return table, np.stack([sources.pick_medmnist(opened, name) for name in table["filename"]])


@given(st.dictionaries(st.sampled_from(sorted(SOUND)), arrays(), max_size=2), st.sets(st.sampled_from(sorted(SOUND))))
def test_made_up_medmnist_arrays_give_images_or_are_refused(odd, left_out):
    named = {name: array for name, array in (SOUND | odd).items() if name not in left_out or len(left_out) > 1}
    loaded = with_file(saved(np.savez, **named), medmnist_table_of)
    if loaded is not None:
        check_the_table(loaded[0])
        assert loaded[1].shape == (len(loaded[0]), 64, 64) and loaded[1].dtype == np.uint8


# --- damaged files ----------------------------------------------------------------------------------------------------


def pictures():
    """[bytes] of JPEG and PNG pictures of every kind that images come in, with noise inside."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 90, 4), dtype=np.uint8), "RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6
    made = [(mode, "JPEG", {}) for mode in ("L", "RGB", "CMYK")]
    made += [("L", "JPEG", {"progressive": True}), ("RGB", "JPEG", {"exif": exif})]
    made += [(mode, "PNG", {}) for mode in ("L", "RGB", "RGBA", "LA", "P", "1", "I;16")]
    made += [("P", "PNG", {"transparency": 0}), ("L", "PNG", {"exif": exif})]
    files = []
    for mode, kind, options in made:
        file = io.BytesIO()
        picture = noise.convert("L").convert("I;16") if mode == "I;16" else noise.convert(mode)
        picture.save(file, kind, **options)
        files.append(file.getvalue())
    return files


def mutate(whole, rng):
    """The bytes with one to four damages: changed, cut, doubled, wiped or swapped parts."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        # the header, where damage has the most consequences, as often as the rest
        place = rng.randrange(min(len(data), 200) if rng.random() < 0.5 else len(data)) if data else 0
        length = rng.choice([1, 2, 4, 16, 100])
        kind = rng.randrange(6)
        if kind == 0:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del data[rng.randrange(len(data)) if data else 0 :]
        elif kind == 2:
            data[place:place] = data[place : place + length]
        elif kind == 3:
            data[place : place + length] = bytes(len(data[place : place + length]))
        elif kind == 4:
            data[place : place + length] = rng.randbytes(length)
        else:
            data[place : place + 4] = struct.pack(">I", rng.choice([0, 1, 7000, 65535, 2**31 - 1, 2**32 - 1]))
    return bytes(data)


def mend_sums(data):
    """A PNG with right checksums, so that the decoder gets to see the damage."""
    mended, place = bytearray(data), 8
    while place + 12 <= len(mended):
        length = struct.unpack(">I", mended[place : place + 4])[0]
        end = place + 8 + length
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(mended[place + 4 : end]))
        place = end + 4
    return bytes(mended)


def damaged_pictures(count):
    """`count` damaged pictures, the same ones at every call."""
    rng, whole = random.Random(0), pictures()
    for number in range(count):
        data = mutate(whole[number % len(whole)], rng)
        yield mend_sums(data) if data.startswith(b"\x89PNG") and number % 3 else data


def damaged_archives(count):
    """`count` damaged .npz files: the archive's bytes, or the bytes of an array inside a sound archive."""
    rng = random.Random(0)
    whole = saved(np.savez, **SOUND), saved(np.savez_compressed, **SOUND)
    for number in range(count):
        if number % 3:
            yield mutate(whole[number % 2], rng)
        else:
            yield archive_of({name: saved(np.save, array) for name, array in SOUND.items()}, rng)


def archive_of(files, rng):
    """A sound ZIP file of .npy files, one of them damaged."""
    import zipfile

    harmed = rng.choice(sorted(files))
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.npy", mutate(content, rng) if name == harmed else content)
    return body.getvalue()


def load_all_damaged():
    """Load a thousand damaged files; prints what came of them, the longest seconds, and the largest memory in MB."""
    counts, longest = {"loaded": 0, "refused": 0}, 0
    tasks = [(data, sources.read_image) for data in damaged_pictures(700)]
    tasks += [(data, medmnist_table_of) for data in damaged_archives(300)]
    for data, load in tasks:
        start = time.perf_counter()
        result = with_file(data, load)
        longest = max(longest, time.perf_counter() - start)
        counts["refused" if result is None else "loaded"] += 1
        if load is sources.read_image and result is not None:
            assert result.shape == (64, 64) and result.dtype == np.uint8
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    print(counts["loaded"], counts["refused"], round(longest, 2), round(peak))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the largest memory of a process")
def test_a_thousand_damaged_files_are_read_or_refused_in_bounded_time_and_memory():
    """In a process of its own, so that a crash or a hang of a decoder is seen, too."""
    code = "import sys; sys.path.insert(0, 'tests'); import test_fuzz; test_fuzz.load_all_damaged()"
    line = [sys.executable, "-c", code]
    result = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    loaded, refused, longest, peak = map(float, result.stdout.split()[-4:])
    assert loaded + refused == 1000 and loaded > 100 and refused > 300
    assert longest < 5 and peak < 1000  # seconds for one file, MB for the whole process
