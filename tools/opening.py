"""What every notebook opens with: the badge and the setup cell. `make refresh` writes them; a test compares.

To publish the course under another address, change REPOSITORY and run `python tools/opening.py`.
"""

from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
# GitHub allows no underscore in an owner's name: until the publisher puts theirs, this address leads nowhere
REPOSITORY = "your_organisation/pneumonia-x-ray-course"

SETUP = f'''\
# Run this cell first. It finds the course's files; in Colab it fetches them.
import subprocess
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents, Path("{REPOSITORY.split("/")[1]}").resolve()]
if not any((folder / "helpers.py").exists() for folder in folders):
    address = "https://github.com/{REPOSITORY}"
    subprocess.run(["git", "clone", "--depth", "1", address], check=True)
sys.path.insert(0, str(next(folder for folder in folders if (folder / "helpers.py").exists())))

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import helpers

helpers.describe_setup()'''


def badge(name):
    """The line that opens notebooks/NAME in Colab; a solution's name is solutions/NAME."""
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    page = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{name}"
    return f"[![Open in Colab]({picture})]({page})"


def set_opening(notebook, name):
    """Put the badge below the title in the first cell, and the setup cell in the place of the one tagged "setup"."""
    lines = [line for line in notebook.cells[0].source.splitlines() if "colab-badge.svg" not in line]
    notebook.cells[0].source = "\n".join([lines[0], "", badge(name), "", *"\n".join(lines[1:]).strip().splitlines()])
    setup = next(cell for cell in notebook.cells if "setup" in cell.metadata.get("tags", []))
    setup.source = SETUP


def find_notebooks(folder=NOTEBOOKS):
    """The paths of the series in order, then those of the solutions."""
    return [*sorted(folder.glob("*.ipynb")), *sorted(folder.glob("solutions/*.ipynb"))]


if __name__ == "__main__":
    for path in find_notebooks():
        notebook = nbformat.read(path, as_version=4)
        set_opening(notebook, path.relative_to(NOTEBOOKS).as_posix())
        nbformat.write(notebook, path)
