"""The layout of the code: allowed imports, the length of files, definitions that exist only once."""

import ast
import pathlib
import re
import sys

import pytest

import input_pipeline
import models

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("input_pipeline", "models", "tfseg")
LIMITS = {"main.py": 80, "export.py": 150, "tfseg/train.py": 300}  # lines; of other files 400
EMPTY_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|misc|base|manager)(_|$)")
FOLDERS = (*PACKAGES, "tests", "benchmarks", "tools")
FILES = [path for top in FOLDERS for path in sorted((ROOT / top).rglob("*.py"))] + sorted(ROOT.glob("*.py"))


def name(path):
    return path.relative_to(ROOT).as_posix()


def module(path):
    """`tfseg.losses` of tfseg/losses/__init__.py, `tfseg.losses.dice` of tfseg/losses/dice.py."""
    return name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module(path): path for path in FILES if path.relative_to(ROOT).parts[0] in PACKAGES}
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def imported(path):
    """The modules that a file imports, inside functions too; for our own packages the module itself, not its package."""
    found = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)}: expected imports by the full name. Received: a relative one."
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            ours = within & MODULES.keys()
            found |= ours | ({node.module} if len(ours) < len(within) else set())
    return found


IMPORTS = {path: imported(path) for path in FILES}
of_packages = pytest.mark.parametrize("path", MODULES.values(), ids=name)


@of_packages
def test_imports_go_from_the_loop_to_networks_and_data(path):
    """main -> tfseg -> models, input_pipeline. The last two import neither each other nor tfseg, except tfseg.spec."""
    top = path.relative_to(ROOT).parts[0]
    heads = {found.split(".")[0] for found in IMPORTS[path] - {"tfseg.spec"}}
    forbidden = {"input_pipeline": {"models", "tfseg"}, "models": {"input_pipeline", "tfseg"}, "tfseg": set()}[top]
    assert not heads & (forbidden | {"main", "export", "tests", "benchmarks", "tools"})


@pytest.mark.parametrize("path", [p for m, p in MODULES.items() if m.startswith("models")], ids=name)
def test_networks_are_written_in_keras(path):
    """Networks run on Keras' other backends: only layers whose kernels were measured to be worth it import TensorFlow."""
    top = "/".join(path.relative_to(ROOT).parts[:2])
    heads = {found.split(".")[0] for found in IMPORTS[path]} - set(sys.stdlib_module_names)
    allowed = {"keras", "numpy", "models", "tfseg"}
    allowed |= {"models/layers": {"tensorflow"}, "models/weights": heads - {"tensorflow"}}.get(top, set())
    assert heads <= allowed


@pytest.mark.parametrize("path", [p for m, p in MODULES.items() if m.startswith("tfseg")], ids=name)
def test_the_loop_names_no_architecture_and_no_data_set(path):
    by_name = {f"models.{n}" for n in models.names()} | {f"input_pipeline.datasets.{n}" for n in input_pipeline.names()}
    by_name |= {m for m in MODULES if m.startswith("models.backbones.")}
    assert not IMPORTS[path] & by_name


def test_no_module_imports_itself_through_others():
    graph = {m: (IMPORTS[path] & MODULES.keys()) - {m} for m, path in MODULES.items()}

    def path_back(start):
        """The shortest chain of imports from `start` to itself, [] if there is none."""
        chains, seen = [[start]], set()
        for chain in chains:
            for following in sorted(graph[chain[-1]]):
                if following == start:
                    return [*chain, start]
                if following not in seen:
                    seen.add(following)
                    chains.append([*chain, following])
        return []

    cycles = [" -> ".join(found) for found in map(path_back, graph) if found]
    assert not cycles, min(cycles, key=len)


def test_the_ignored_id_is_defined_once():
    places = [
        name(path)
        for path in MODULES.values()
        for node in TREES[path].body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == "IGNORE"
    ]
    assert len(places) == 1, places


def test_no_file_is_too_long():
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {file: length for file, length in lengths.items() if length > LIMITS.get(file, 400)}


@of_packages
def test_names_say_something_and_checks_raise(path):
    assert not EMPTY_NAMES.search(path.stem), "utils, helpers, common, ..: name the file after what it does"
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(TREES[path])), (
        "an assert outside tests: raise instead"
    )
