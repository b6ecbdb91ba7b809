from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from PIL import Image, ImageOps
FILM_TYPES = (".jpeg", ".jpg", ".png")
def read_film(path, size=64):
    with Image.open(path) as film:
        film.draft("L", (2*size, 2*size))
        return np.asarray(film.convert("L").resize((size, size), Image.Resampling.BOX, reducing_gap=None))
def read_films(folder, filenames, size=64):
    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(lambda n: read_film(Path(folder)/n, size), filenames)))
