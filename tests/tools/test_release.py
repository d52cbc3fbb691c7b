"""A run becomes an entry of the zoo."""

import dataclasses
import json

import pytest

from tests.tfseg.conftest import STREETS
from tfseg import checkpoint, config, evaluate, train, zoo
from tools import release


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The options of a run of two steps on drawn streets."""
    folder = tmp_path_factory.mktemp("release")
    options = config.Config(
        workdir=str(folder / "run"),
        dataset=STREETS,
        cache_dir=str(folder / "cache"),
        model="unet(width=2)",
        crop_size=(32, 32),
        batch_size=4,
        steps=2,
        strategy="one_device",
    )
    train.train(options)
    return options


@pytest.fixture(autouse=True)
def empty_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "zoo")


def test_an_entry_says_all_and_gives_its_score(run, tmp_path):
    release.release(run.workdir, "streets_tiny", "", "none", half=True, recompute_norms=False)
    entry = zoo.find("zoo:streets_tiny")
    options = config.Config(
        mode="evaluate",
        dataset=STREETS,
        cache_dir=run.cache_dir,
        workdir=str(tmp_path / "again"),
        init_from="zoo:streets_tiny",
    )
    assert evaluate.evaluate(zoo.completed(options))["miou"] == entry.miou
    card = (zoo.FOLDER / "streets_tiny.md").read_text()
    for text in (
        "--init_from=zoo:streets_tiny",
        "--model='unet(width=2)'",
        "--steps=2",
        f"| mIoU | {100 * entry.miou:.2f} |",
        "| road |",
        "float16",
    ):
        assert text in card
    assert run.workdir not in card  # no path of this machine
    assert run.cache_dir not in card
    numbers = json.loads((zoo.FOLDER / "streets_tiny.json").read_text())
    assert numbers["miou"] == entry.miou
    assert len(numbers["frames"]) == 3  # of the 3 images of val; all labelled pixels of one
    assert sum(next(iter(numbers["frames"].values()))[1]) == 32 * 48


def test_a_score_below_the_runs_is_refused(run, monkeypatch):
    folder, state = checkpoint.latest(run.workdir)
    monkeypatch.setattr(checkpoint, "latest", lambda workdir: (folder, dataclasses.replace(state, best=1.0)))
    with pytest.raises(ValueError, match=r"at least the run's mIoU, 1\.0"):
        release.release(run.workdir, "streets_tiny", "", "none")
    assert not list(zoo.FOLDER.glob("*.safetensors"))
    assert json.loads((zoo.FOLDER / "index.json").read_text()) == {}


def test_norms_are_computed_again_from_the_train_split(run, monkeypatch):
    """With a mark of 0 for the run, since the statistics of two steps of training may give any score."""
    folder, state = checkpoint.latest(run.workdir)
    monkeypatch.setattr(checkpoint, "latest", lambda workdir: (folder, dataclasses.replace(state, best=0.0)))
    release.release(run.workdir, "kept", "", "none")
    release.release(run.workdir, "again", "", "none", recompute_norms=True)
    kept, again = (release_arrays(name) for name in ("kept", "again"))
    changed = {key for key in kept if (kept[key] != again[key]).any()}
    assert changed
    assert all("running_" in key for key in changed)
    assert "computed again" in (zoo.FOLDER / "again.md").read_text()


def release_arrays(name):
    from safetensors.numpy import load_file

    return load_file(zoo.FOLDER / f"{name}.safetensors")


@pytest.mark.parametrize("init_from", ["", "imagenet", "run"])
def test_the_command_does_not_say_where_the_first_run_was(init_from, tmp_path):
    (tmp_path / "run").mkdir()
    source = str(tmp_path / "run") if init_from == "run" else init_from
    command = release.command(config.Config(init_from=source, steps=2))
    given = {"": [], "imagenet": ["--init_from=imagenet"], "run": ["--init_from=<the first run>"]}[init_from]
    parts = [part.strip() for part in command.split("\\\n")]
    assert parts[0].startswith("python main.py")
    assert [part for part in parts if part.startswith("--init_from")] == given
    assert str(tmp_path) not in command
