"""The site of the course, from the stored outputs: python tools/make_site.py (`make site` prepares what it needs).

Gathers the pages in build/site-source, in the folders that they have in the project, so that their links hold. Then
Sphinx builds them into build/site. Nothing is executed and nothing fetched.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import glossary
from tools.opening import REPOSITORY
from tools.slides import PACKAGES, is_form

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "build" / "site-source"
SITE = PROJECT / "build" / "site"
ADDRESS = f"https://github.com/{REPOSITORY}/blob/main/"


def find_pages(project):
    """The pages of the site by part: {caption: [path in the project]}. Only what exists."""
    docs = sorted(path for path in (project / "docs").glob("*.md") if path.name != "glossary.md")
    parts = {
        "Notebooks": sorted((project / "notebooks").glob("*.ipynb")),
        "Solutions": sorted((project / "notebooks" / "solutions").glob("*.ipynb")),
        "About the course": [project / "data" / "README.md", *docs, project / "docs" / "glossary.md"],
    }
    return {caption: [path.relative_to(project) for path in paths] for caption, paths in parts.items() if paths}


def without_outside_pictures(text):
    """Markdown in which badges and other pictures on the web are replaced by their text."""
    return re.sub(r"!\[([^\]]*)\]\((?:https?:)?//[^)]*\)", r"\1", text)


def mend_links(text, page, pages, project):
    """Markdown in which links to files that the site does not have lead to the project's address.

    page: the path of the text in the project; pages: the paths of all pages. Pictures are left as they are.
    """

    def mend(match):
        before, target, anchor = match.groups(default="")
        path = (project / page.parent / target).resolve()
        if not path.exists() or not path.is_relative_to(project):
            return match[0]
        inside = PurePosixPath(path.relative_to(project).as_posix())
        if inside == PurePosixPath("README.md"):
            return f"{before}({'../' * len(page.parent.parts)}index.md{anchor})"
        return match[0] if Path(inside) in pages else f"{before}({ADDRESS}{inside}{anchor})"

    return re.sub(r"((?<!!)\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\])\((?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?\)", mend, text)


def copy_pictures(text, page, project):
    """Bring the pictures that a page shows from its folder in the project."""
    for target in re.findall(r"!\[[^\]]*\]\((?!https?:|//|data:)([^)\s]+)", text):
        picture = (project / page.parent / target).resolve()
        if picture.is_relative_to(project) and picture.is_file():
            copy = SOURCE / picture.relative_to(project)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, copy)


def prepare_notebook(notebook, mend):
    """Make a notebook ready for its page: texts of the figures, setup folded, no names of forms. Changes it."""
    notebook.metadata.setdefault("language_info", {"name": "python"})  # for the colours of code
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = mend(cell.source)
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if not is_form(output)]
        tags = cell.metadata.get("tags", [])
        if "setup" in tags:
            cell.metadata["tags"] = [*tags, "hide-input"]
        texts = [output.metadata.get("image/png", {}).get("alt") for output in cell.outputs if "metadata" in output]
        if any(texts):
            cell.metadata["mystnb"] = {"image": {"alt": " ".join(filter(None, texts))}}
    return notebook


def minutes_in_class(notebook):
    """What the table at the top of a notebook says about time."""
    found = re.search(r"^\| \*\*Time\*\* \| (.+?) \|$", notebook.cells[0].source, flags=re.MULTILINE)
    return found[1] if found else ""


def write_times(notebooks, times):
    """The page of run times, as Markdown. notebooks: {path: notebook}; times: {name: seconds}."""
    lines = [
        "# How long it takes",
        "",
        "Measured on two processor cores, without a GPU, on the real images.",
        "",
        "| notebook | runs in | in class |",
        "| --- | --- | --- |",
    ]
    for path, notebook in notebooks.items():
        title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        measured = f"{times[path.stem]:.0f} s" if path.stem in times else "not measured"
        lines.append(f"| [{title}]({path.as_posix()}) | {measured} | {minutes_in_class(notebook)} |")
    return "\n".join(lines) + "\n"


def write_front_page(readme, parts):
    """README with the table of contents of the site."""
    trees = []
    for caption, pages in parts.items():
        names = "\n".join(page.with_suffix("").as_posix() for page in pages)
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{names}\n```")
    return readme + "\n" + "\n\n".join(trees) + "\n"


def gather(project=PROJECT):
    """Write all pages into SOURCE."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    parts = find_pages(project)
    pages = {page for paths in parts.values() for page in paths}

    def mend(text, page):
        copy_pictures(text, page, project)
        return mend_links(without_outside_pictures(text), page, pages, project)

    notebooks = {}
    for page in sorted(pages):
        target = SOURCE / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".ipynb":
            notebook = nbformat.read(project / page, as_version=4)
            notebooks[page] = notebook
            nbformat.write(prepare_notebook(notebook, lambda text, page=page: mend(text, page)), target)
        else:
            text = (project / page).read_text(encoding="utf-8")
            text = glossary.as_directive(text) if page.name == "glossary.md" else mend(text, page)
            target.write_text(text, encoding="utf-8")

    times = json.loads((project / "results" / "times.json").read_text(encoding="utf-8"))
    of_course = {page: notebook for page, notebook in notebooks.items() if page.parent.name == "notebooks"}
    (SOURCE / "times.md").write_text(write_times(of_course, times), encoding="utf-8")
    parts["About the course"].insert(1, Path("times.md"))
    readme = mend((project / "README.md").read_text(encoding="utf-8"), Path("README.md"))
    (SOURCE / "index.md").write_text(write_front_page(readme, parts), encoding="utf-8")

    static = SOURCE / "_static"
    static.mkdir()
    shutil.copyfile(project / "docs" / "site.css", static / "site.css")
    shutil.copyfile(PACKAGES / "mathjax" / "es5" / "tex-svg.js", static / "tex-svg.js")


def main():
    if not (PACKAGES / "mathjax").exists():
        sys.exit("The npm packages are missing: run `make site`, which fetches them.")
    gather()
    shutil.rmtree(SITE, ignore_errors=True)
    folders = ["-c", PROJECT / "docs", "-d", PROJECT / "build" / "site-doctrees", SOURCE, SITE]
    strict = ["-q", "-E", "-W", "--keep-going"]  # short, all anew, and a warning is a fault
    if subprocess.run([sys.executable, "-m", "sphinx", *strict, *folders]).returncode:
        sys.exit("The site was not built: see the lines above.")
    print(f"The site begins at {(SITE / 'index.html').relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
