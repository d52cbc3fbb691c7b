"""What goes wrong around a run ends with a clear message and the last good state intact."""

import contextlib
import dataclasses
import pathlib
import resource
import shutil

import pytest

import input_pipeline
import models
from tests.tfseg.conftest import normed
from tests.tfseg.test_train import weights
from tfseg import checkpoint, summaries, train, workdir


def test_two_runs_in_one_workdir(config):
    with (
        workdir.held(config),
        pytest.raises(ValueError, match=r"no other process is training in. Received: .*run, held by process \d+"),
    ):
        train.train(config)
    with workdir.held(config):  # let go
        pass


def test_a_workdir_that_cannot_be_made(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        train.train(dataclasses.replace(config, workdir=str(tmp_path / "file" / "run")))


@contextlib.contextmanager
def little_room(room):
    """As on a full disk, no file can become larger than `room` bytes. (Python ignores the signal that comes with the error.)"""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_a_full_disk(config, monkeypatch):
    monkeypatch.setattr(models, "build", normed(width=500))  # its checkpoint is larger than the other files of a run
    config = dataclasses.replace(config, steps=2)
    train.train(config)
    before = weights(config)
    folder = pathlib.Path(config.workdir) / "checkpoints"
    largest = max(f.stat().st_size for f in folder.rglob("*"))
    with little_room(largest // 2), pytest.raises(OSError, match="Expected room for a checkpoint"):
        train.train(dataclasses.replace(config, steps=4))
    assert checkpoint.latest(config.workdir, "last")[1].step == 2
    for key, value in weights(config).items():
        assert value.tobytes() == before[key].tobytes(), key
    train.train(dataclasses.replace(config, steps=4))  # with enough room it resumes
    assert checkpoint.latest(config.workdir, "last")[1].step == 4
    assert not [f for f in folder.iterdir() if f.name.startswith(".")]


def test_a_record_file_that_is_deleted_mid_epoch(config, small_network, monkeypatch, tmp_path):
    prepared = input_pipeline.prepare(config.dataset, config.data_dir, config.cache_dir)
    records = tmp_path / "records"
    shutil.copytree(prepared.directory, records)
    config = dataclasses.replace(config, dataset="streets", data_dir=str(records), steps=50, checkpoint_every=1)
    log_training = summaries.Log.training

    def delete(self, step, values, model):
        log_training(self, step, values, model)
        if step == 1:
            for path in records.glob("*train*"):
                path.unlink()

    monkeypatch.setattr(summaries.Log, "training", delete)
    with pytest.raises(ValueError, match=r"Expected readable records of streets. Received: .*train.*Make them again"):
        train.train(config)
    assert 1 <= checkpoint.latest(config.workdir, "last")[1].step < 50
