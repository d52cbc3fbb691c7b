"""What `pip install .` installs: every package, its data and two commands. The wheel is built here without a network."""

import ast
import configparser
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

import tfseg
from tfseg import __main__ as commands

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("tfseg", "models", "input_pipeline")
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that a wheel of the checkout is unpacked to. One data file and one that must stay out are added."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=IGNORED)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    (source / "input_pipeline" / "datasets" / "tables").mkdir()
    (source / "input_pipeline" / "datasets" / "tables" / "classes.csv").write_text("id,name\n")
    (source / "models" / "__pycache__").mkdir()
    (source / "models" / "__pycache__" / "old.pyc").write_text("")
    done = subprocess.run([sys.executable, "-c", BUILD, "."], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    zipfile.ZipFile(source / done.stdout.split()[-1]).extractall(target)
    return target


def _files(folder):
    return {str(path.relative_to(folder)) for name in PACKAGES for path in (folder / name).rglob("*") if path.is_file()}


def test_the_wheel_has_every_file_of_the_packages(installed):
    here = {name for name in _files(ROOT) if "__pycache__" not in name}
    assert len(here) > 100
    assert _files(installed) == here | {"input_pipeline/datasets/tables/classes.csv"}
    others = {path.name for path in installed.iterdir()} - set(PACKAGES)
    assert others == {f"tfseg-{tfseg.__version__}.dist-info"}  # the three packages and no other general name


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_modules_is_a_package(package):
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]


def test_the_commands_are_functions(installed):
    file = installed / f"tfseg-{tfseg.__version__}.dist-info" / "entry_points.txt"
    parser = configparser.ConfigParser()
    parser.read(file)
    assert dict(parser["console_scripts"]) == {"tfseg": "tfseg.__main__:main", "tfseg-export": "tfseg.__main__:export"}
    assert callable(commands.main)
    assert callable(commands.export)


def test_the_version_is_written_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "tfseg.__version__"}


OTHER_NAMES = {"skimage": "scikit-image"}  # packages of extras that may be missing here, and are called otherwise


def test_every_import_is_declared():
    """What tests need is not installed for users, so the extra `test` does not count."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for extra, lines in project["optional-dependencies"].items() if extra != "test" for line in lines]
    declared = {_plain(re.match(r"[\w.-]+", line)[0]) for line in (*project["dependencies"], *extras)}
    provided_by = importlib.metadata.packages_distributions()
    undeclared = {
        f"{file.relative_to(ROOT)} imports {module}"
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        for module in _imports(ast.parse(file.read_text()))
        if module not in sys.stdlib_module_names and module not in PACKAGES
        if not declared & {_plain(name) for name in provided_by.get(module, [OTHER_NAMES.get(module, module)])}
    }
    assert not undeclared


def _imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def _plain(name):
    return name.lower().replace("_", "-")


def _command(name, installed, cwd, *arguments, path=""):
    """Runs a command as its console script does, in an empty folder, with the installed files."""
    code = f"import sys; from tfseg.__main__ import {name}; sys.exit({name}())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, str(installed)]))}
    command = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_commands_run_in_another_folder(installed, tmp_path):
    streets = "--dataset=streets(train=2, val=1, size=(32, 32))"
    done = _command("main", installed, tmp_path, "--mode=prepare", streets, f"--cache_dir={tmp_path / 'cache'}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert list((tmp_path / "cache").rglob("*train*tfrecord*"))
    # --mode=export is the other command's default, so it asks for what an export needs.
    done = _command("export", installed, tmp_path, f"--workdir={tmp_path / 'none'}", f"--output_dir={tmp_path / 'out'}")
    assert done.returncode == 1
    assert str(tmp_path / "none") in done.stderr.splitlines()[-1]


def test_another_package_called_models_is_named(installed, tmp_path):
    assert commands.foreign_package() == ""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("")
    done = _command("main", installed, tmp_path, "--mode=prepare", path=str(tmp_path))
    assert done.returncode == 1
    assert f"Expected the package `models` of tfseg, in {installed / 'models'}" in done.stderr
    assert str(tmp_path / "models" / "__init__.py") in done.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize(
    ("nvidia_smi", "system", "given", "expected"),
    [
        ("exit 0", "Linux x86_64", [], "-gpu"),
        ("exit 9", "Linux x86_64", [], ""),  # a driver that does not run
        ("exit 0", "Linux aarch64", [], ""),  # TensorFlow is published without CUDA for it
        ("exit 0", "Linux x86_64", ["GPU="], ""),
        ("exit 9", "Linux x86_64", ["GPU=-gpu"], "-gpu"),
    ],
)
def test_setup_installs_for_the_gpu_that_is_there(tmp_path, nvidia_smi, system, given, expected):
    for name in ("Makefile", "requirements.txt", "requirements-gpu.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name, line in {"nvidia-smi": nvidia_smi, "uname": f"echo {system}"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "GPU": "0"}  # of other programs
    command = ["make", "-n", "setup", f"PYTHON={sys.executable}", *given]
    printed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert f"-r requirements{expected}.txt\n" in printed
    assert f"touch .venv/installed{expected}\n" in printed


def test_the_gpu_has_the_same_versions_and_the_cuda_libraries():
    plain, gpu = ((ROOT / f"requirements{kind}.txt").read_text().splitlines() for kind in ("", "-gpu"))
    assert not set(plain) - set(gpu), "requirements-gpu.txt is older than requirements.txt: run `make requirements`"
    added = [line.partition("==")[0] for line in gpu if line not in plain]
    assert "nvidia-cudnn-cu12" in added
    assert all(name.startswith("nvidia-") for name in added)
