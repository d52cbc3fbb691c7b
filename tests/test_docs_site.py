"""The pages of docs/ and README.md: every link has a target, every option and every line of Python works."""

import ast
import dataclasses
import importlib.util
import json
import pathlib
import re
import subprocess
import sys

import pytest

from tfseg import config
from tools import mkdocs_hooks

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
README = ROOT / "README.md"
OF_ABSL = {"flagfile", "verbosity", "help", "helpfull"}
# Options of other programs that the pages call.
OF_OTHERS = {
    "tensorboard": {"logdir"},
    "sbatch": {"nodes", "ntasks-per-node", "signal", "requeue"},
    "docker": {"rm"},
    "git": {"depth"},
    "benchmarks": {"movies", "networks", "turns", "steps", "size", "batch", "threads"},
    "tools": {"movies", "name", "data_license", "half", "recompute_norms"},
    "client.py": {"url", "grpc"},
    "batching": {"enable_batching", "batching_parameters_file"},
}
every_page = pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.name)


def text_of(path):
    return mkdocs_hooks.expand(path.read_text(encoding="utf-8"))


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def anchors(text):
    """The anchors of a page's headings, as Python-Markdown makes them."""
    found, text = set(), re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower())
        found.add(slug)
    return found


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) < 120


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"^ +- .+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == [path.name for path in PAGES]


@every_page
def test_links_lead_somewhere(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        if not file.exists() or (anchor and anchor not in anchors(text_of(file))):
            broken.append(target)
    assert not broken


@every_page
def test_every_option_exists(path):
    known = {field.name for field in dataclasses.fields(config.Config)} | OF_ABSL
    unknown = []
    for line in re.sub(r"\\\n", " ", text_of(path)).splitlines():
        allowed = known.union(*(options for program, options in OF_OTHERS.items() if program in line))
        unknown += [name for name in re.findall(r"(?<![\w-])--([a-zA-Z][\w-]*)", line) if name not in allowed]
    assert not unknown


@every_page
def test_python_can_be_parsed(path):
    for block in blocks(text_of(path), "python"):
        ast.parse(block)


@every_page
def test_flagfiles_and_modules_that_are_named_exist(path):
    if path.name in ("models.md", "changelog.md"):
        pytest.skip("It names files of other repositories, or files that there were.")
    text = text_of(path)
    folders = "configs|tests|tfseg|models|input_pipeline|tools|benchmarks"
    files = [name.rstrip("./") for name in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./<*]*)", text)]
    files = [name for name in files if not re.search(r"[<*]|_$", name)]  # `models/<name>.py` is a pattern
    missing = [name for name in files if not (ROOT / name).exists()]
    missing += [name for name in re.findall(r"python -m ((?:benchmarks|tools)\.\w+)", text) if not is_module(name)]
    missing += [
        name for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE) if not is_module(name.rpartition(".")[0])
    ]
    assert not missing


def is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("path", [README, DOCS / "results.md"], ids=lambda path: path.name)
def test_results_are_those_of_the_logs(path):
    """In a row of a table, the mIoU in percent and the evaluation that the row links to."""
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if "evaluation_" in line and line[:1] == "|"]
    assert len(rows) >= 5
    for row in rows:
        log = json.loads((path.parent / re.search(r"\(([^)]*evaluation_[^)]*)\)", row)[1]).read_text())
        assert f"{100 * log['miou']:.1f}" in row


@pytest.mark.parametrize("path", sorted((DOCS / "pictures").iterdir()), ids=lambda path: path.name)
def test_pictures_are_small_and_shown(path):
    assert path.stat().st_size < 200_000
    assert any(f"pictures/{path.name}" in page.read_text(encoding="utf-8") for page in PAGES)


def test_nothing_is_fetched_by_the_site(tmp_path):
    """`mkdocs build --strict` finds the other faults: pages that it cannot make, functions that do not exist."""
    if not all(importlib.util.find_spec(name) for name in ("material", "mkdocstrings")):
        pytest.skip("MkDocs is not installed: `make docs` installs it and builds the site.")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = sorted(tmp_path.glob("*.html"))
    assert len(pages) == len(PAGES) + 1  # and 404.html
    for page in pages:
        fetched = re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"?(https?://[^\">\s]+)", page.read_text()
        )
        assert not fetched, page.name
