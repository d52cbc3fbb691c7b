"""Every trainer: it resumes to the bit, gives the same on two replicas, and with weight 0 it is the ordinary one."""

import dataclasses
import pathlib

import numpy as np
import pytest

from tests.tfseg.test_train import lines, weights
from tests.tfseg.trainers.conftest import SPECS
from tests.tfseg.trainers.harness import Run
from tfseg import checkpoint, evaluate, train, trainers

WITHOUT = {
    "adversarial": "adversarial(labelled=0, unlabelled=0, semi=0, width=2)",
    "mean_teacher": "mean_teacher(weight=0)",
}
OTHERS = [name for name in trainers.names() if name != "supervised"]


def assert_equal(got, expected):
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)


@pytest.mark.parametrize("name", trainers.names())
def test_a_run_that_goes_back_to_a_checkpoint_is_the_same_to_the_bit(run, name, tmp_path):
    taken, numbers, half, end = run(SPECS.get(name, name))
    assert any(np.any(half[key] != end[key]) for key in half)
    taken.go_back()
    assert taken.state.step == 2
    assert taken.take(2, taken.batches()) == numbers[2:]
    assert_equal(taken.variables(tmp_path), end)


@pytest.mark.slow  # the graphs of two replicas take half a minute
@pytest.mark.parametrize("name", OTHERS)  # that of the ordinary one is in test_train.py
def test_two_replicas_equal_one(run, name):
    """A random share of the pixels is ignored, so each term of each replica has its own count."""
    (_, one, _, expected), (_, two, _, got) = (run(SPECS.get(name, name), s) for s in ("one_device", "mirrored"))
    for first, second in zip(one, two, strict=True):
        for key, value in first.items():
            # The discriminator's Adam turns rounding into steps of up to its learning rate, 1e-4.
            assert second[key] == pytest.approx(value, rel=2e-3, abs=1e-6), key
    for key, value in expected.items():
        if key.startswith(("model/", "optimizer/")) and value.dtype == np.float32:
            np.testing.assert_allclose(got[key], value, atol=1e-5 * max(1.0, np.abs(value).max()), err_msg=key)


@pytest.mark.parametrize("name", OTHERS)
def test_with_weights_of_0_it_is_the_ordinary_trainer_to_the_bit(run, name):
    (_, plain, _, expected), (_, none, _, got) = run("supervised"), run(WITHOUT[name])
    assert_equal({key: value for key, value in got.items() if key in expected}, expected)
    assert [numbers["loss"] for numbers in none] == [numbers["loss"] for numbers in plain]


@pytest.mark.slow  # trains for real three times: half a minute
@pytest.mark.parametrize("name", trainers.names())
def test_a_run_that_stops_and_resumes_is_the_whole_run_to_the_bit(base, normed_network, name, tmp_path):
    config = dataclasses.replace(
        base,
        trainer=SPECS.get(name, name),
        augment="affine(scale=(0.5, 1.0))",
        checkpoint_every=2,
        eval_every=0,
        log_every=1,
        workdir=str(tmp_path / "run"),
    )
    whole = dataclasses.replace(config, workdir=str(tmp_path / "whole"))
    result = train.train(whole)
    assert np.isfinite(result["miou"])
    # A checkpoint of a run of two steps would have other schedules: the run is stopped in the middle instead.
    (tmp_path / "run").mkdir()
    for file in ("flags", "labelled.txt"):
        (tmp_path / "run" / file).write_bytes((tmp_path / "whole" / file).read_bytes())
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "whole" / "checkpoints" / "last-00000002").rename(tmp_path / "run" / "checkpoints" / "last-00000002")
    train.train(config)
    assert_equal(weights(config), weights(whole))
    losses = [{line["step"]: line for line in lines(c) if "loss" in line} for c in (whole, config)]
    for step in (3, 4):
        same = [key for key in losses[0][step] if key not in ("images_per_second", "data_wait")]
        assert {key: losses[1][step][key] for key in same} == {key: losses[0][step][key] for key in same}
    # What evaluates is the average, as for any run that has one.
    assert evaluate.evaluate(dataclasses.replace(config, mode="evaluate", checkpoint="last")) == result
    assert checkpoint.latest(config.workdir, "last")[1].data["splits"] == {"train": 4, "unlabelled": 4, "val": 3}


def test_the_ids_that_have_labels_are_kept_in_the_workdir(base, normed_network, tmp_path):
    names, config = tmp_path / "names.txt", dataclasses.replace(base, workdir=str(tmp_path / "run"))
    Run(config)
    written = pathlib.Path(config.workdir, "labelled.txt").read_text()
    assert len(written.splitlines()) == 4
    # A file of ids is copied, and the copy holds when the run resumes.
    names.write_text("".join(f"{name}\n" for name in written.splitlines()[:3]))
    other = dataclasses.replace(config, workdir=str(tmp_path / "other"), labelled=str(names))
    run = Run(other)
    kept = (tmp_path / "other" / "labelled.txt").read_text()
    assert kept == names.read_text()
    run.save()
    names.write_text(written)
    assert Run(other).parts.prepared.splits["train"] == 3
    assert (tmp_path / "other" / "labelled.txt").read_text() == kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer": "adversary"}, "Expected a name in tfseg.trainers/: adversarial, .*Did you mean 'adversarial'"),
        ({"trainer": "adversarial(lambda_adv=1)"}, r"Expected adversarial\(labelled, unlabelled, semi, threshold"),
        ({"trainer": "adversarial(semi=-1)"}, "Expected weights of 0 or more"),
        ({"trainer": "adversarial(threshold=2)"}, r"threshold and start in 0\.\.1"),
        ({"trainer": "adversarial", "labelled": ""}, "Expected --labelled to leave some examples unlabelled"),
        ({"trainer": "adversarial", "labelled": "1"}, "Expected --labelled to leave some examples unlabelled"),
        ({"trainer": "adversarial", "accumulate_steps": 2}, "Expected --accumulate_steps=1"),
        ({"trainer": "adversarial", "crop_size": (16, 32)}, "Expected a --crop_size of 32 or more"),
        ({"trainer": "mean_teacher", "ema_decay": 0.0}, "Expected --ema_decay with --trainer=mean_teacher"),
        ({"trainer": "mean_teacher(confidence=95)"}, r"confidence in 0\.\.1"),
        ({"trainer": "mean_teacher(strong='cutmixx')"}, "Expected an augmentation: .*Did you mean 'cutmix'"),
        ({"trainer": "mean_teacher(strong='affine')"}, "that do not move pixels"),
        ({"labelled": "an eighth"}, "Expected --labelled as a share"),
    ],
)
def test_what_cannot_work_is_refused_before_the_run(base, normed_network, changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train.train(dataclasses.replace(base, workdir=str(tmp_path / "run"), **changes))
    assert not (tmp_path / "run" / "checkpoints").exists()
