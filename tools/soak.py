"""Execute the series many times in a row on simulated images and look for what changes or grows.

python tools/soak.py 10                  every notebook ten times, in quick mode
python tools/soak.py 1 01_metadata       one notebook once

After every run the checked outputs must be those stored in the notebooks, and after the first run the files of the
project and of the folder for temporary files must stay the same, the cache to the byte.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.run import NOTEBOOKS, PROJECT, execute

UNCHECKED = "nbval-ignore-output"
OWN_BUSINESS = {".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis"}


def checked_outputs(notebook):
    """The text of all outputs that `make test` compares: {(number of the cell, kind): text}."""
    found = {}
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or UNCHECKED in cell.metadata.get("tags", []):
            continue
        for output in cell.outputs:
            texts = {output.name: output.text} if output.output_type == "stream" else output.get("data", {})
            for kind, text in texts.items():
                if not kind.startswith("image/"):
                    found[number, kind] = found.get((number, kind), "") + text
    return found


def files_in(folder):
    """{path inside the folder: size in bytes} of the files that a run could leave behind."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not OWN_BUSINESS & set(path.relative_to(folder).parts)
    }


def what_changed(before, after):
    """A line for each file that came, went, or, in the cache, changed its size."""
    lines = [f"{name} was left behind" for name in after if name not in before]
    lines += [f"{name} is gone" for name in before if name not in after]
    both = [name for name in before if name in after and name.startswith("data/cache/")]
    return lines + [f"{name} grew or shrank" for name in both if before[name] != after[name]]


def run_once(paths):
    """A line for each notebook whose checked outputs are not the stored ones."""
    faults = []
    for path in paths:
        notebook, seconds, _ = execute(path)
        print(f"  {path.stem}: {seconds:.0f} s", flush=True)
        if checked_outputs(notebook) != checked_outputs(nbformat.read(path, as_version=4)):
            faults.append(f"{path.stem}: a checked output is not the stored one")
    return faults


def main(times, names):
    os.environ |= {"PNEUMONIA_DATA": "phantoms", "QUICK": "1"}
    paths = sorted(path for path in NOTEBOOKS.glob("*.ipynb") if not names or path.stem in names)
    if not paths:
        sys.exit(f"There is no notebook called {', '.join(names)} in notebooks/.")
    faults, before = [], None
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder  # so that every kernel puts its temporary files here
        for number in range(1, times + 1):
            print(f"run {number} of {times}", flush=True)
            faults += run_once(paths)
            after = files_in(PROJECT) | {f"temporary/{name}": size for name, size in files_in(Path(folder)).items()}
            faults += [f"run {number}: {name} was left behind" for name in after if name.startswith("temporary/")]
            faults += [f"run {number}: {line}" for line in (what_changed(before, after) if before else [])]
            before = after
    cache = sum(size for name, size in before.items() if name.startswith("data/cache/"))
    print(f"cache: {cache / 1e6:.1f} MB, files of the project: {len(before)}")
    sys.exit("\n".join(faults) if faults else None)


if __name__ == "__main__":
    if not sys.argv[1:2] or not sys.argv[1].isdecimal() or int(sys.argv[1]) < 1:
        sys.exit("Say how many times: python tools/soak.py 10")
    main(int(sys.argv[1]), sys.argv[2:])
