"""Every trainer: it trains, resumes to the bit, gives the same on two replicas, and with weight 0 it is the ordinary one."""

import dataclasses
import pathlib

import numpy as np
import pytest

from tests.tfseg.test_train import lines, weights
from tfseg import checkpoint, evaluate, train, trainers

# The smallest options that use all of a trainer; a new one runs with its defaults. Nothing is as sure as 0.95 in four steps.
SPECS = {
    "adversarial": "adversarial(labelled=0.1, unlabelled=0.1, semi=1.0, start=0.5, width=2)",
    "mean_teacher": "mean_teacher(confidence=0.1, strong='brightness(0.3) | cutmix')",
}
WITHOUT = {
    "adversarial": "adversarial(labelled=0, unlabelled=0, semi=0, width=2)",
    "mean_teacher": "mean_teacher(weight=0)",
}


@pytest.fixture
def config(config):
    return dataclasses.replace(config, labelled="0.5", ema_decay=0.6, optimizer="sgd")


def variables(config):
    """What a run's network and optimizer hold at the end, without the counter of saves."""
    return {key: value for key, value in weights(config).items() if key.startswith(("model/", "optimizer/"))}


@pytest.mark.parametrize("name", trainers.names())
def test_a_run_that_stops_and_resumes_is_the_whole_run_to_the_bit(config, normed_network, name, tmp_path):
    config = dataclasses.replace(config, trainer=SPECS.get(name, name), schedule="constant", checkpoint_every=2)
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
    expected, got = weights(whole), weights(config)
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)
    losses = [{line["step"]: line for line in lines(c) if "loss" in line} for c in (whole, config)]
    for step in (3, 4):
        same = [key for key in losses[0][step] if key not in ("images_per_second", "data_wait")]
        assert {key: losses[1][step][key] for key in same} == {key: losses[0][step][key] for key in same}
    # What evaluates is the average, as for any run that has one.
    assert evaluate.evaluate(dataclasses.replace(config, mode="evaluate", checkpoint="last")) == result
    assert checkpoint.latest(config.workdir, "last")[1].data["splits"] == {"train": 4, "unlabelled": 4, "val": 3}


@pytest.mark.parametrize("name", trainers.names())
def test_two_replicas_equal_one(config, normed_network, name, tmp_path):
    """Zoomed out, a crop holds a random share of ignored pixels, so each term of each replica has its own count."""
    config = dataclasses.replace(
        config, trainer=SPECS.get(name, name), augment="affine(scale=(0.5, 1.0))", class_weights="none", batch_size=8
    )
    one, two = (
        dataclasses.replace(config, strategy=strategy, workdir=str(tmp_path / strategy))
        for strategy in ("one_device", "mirrored")
    )
    for run in (one, two):
        train.train(run)
    for first, second in zip(lines(one), lines(two), strict=True):
        for key, value in first.items() if "loss" in first else ():
            if key not in ("images_per_second", "data_wait"):
                # The discriminator's Adam turns rounding into steps of up to its learning rate, 1e-4.
                assert second[key] == pytest.approx(value, rel=2e-3, abs=1e-6), key
    expected, got = variables(one), variables(two)
    for key, value in expected.items():
        if value.dtype == np.float32:
            np.testing.assert_allclose(got[key], value, atol=1e-5 * max(1.0, np.abs(value).max()), err_msg=key)


@pytest.mark.parametrize("name", [name for name in trainers.names() if name != "supervised"])
def test_with_weights_of_0_it_is_the_ordinary_trainer_to_the_bit(config, normed_network, name, tmp_path):
    plain = dataclasses.replace(config, workdir=str(tmp_path / "plain"), optimizer="adam")
    none = dataclasses.replace(plain, workdir=config.workdir, trainer=WITHOUT[name])
    train.train(plain)
    train.train(none)
    expected, got = variables(plain), variables(none)
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)
    losses = [[line["loss"] for line in lines(c) if "loss" in line] for c in (plain, none)]
    assert losses[0] == losses[1]


def test_the_ids_that_have_labels_are_kept_in_the_workdir(config, normed_network, tmp_path):
    names = tmp_path / "names.txt"
    train.train(dataclasses.replace(config, steps=1))
    written = pathlib.Path(config.workdir) / "labelled.txt"
    assert len(written.read_text().splitlines()) == 4
    # A file of ids is copied, and the copy holds when the run resumes.
    names.write_text("".join(f"{name}\n" for name in written.read_text().splitlines()[:3]))
    other = dataclasses.replace(config, workdir=str(tmp_path / "other"), labelled=str(names))
    train.train(dataclasses.replace(other, steps=1))
    kept = (tmp_path / "other" / "labelled.txt").read_text()
    assert kept == names.read_text()
    names.write_text(written.read_text())
    train.train(dataclasses.replace(other, steps=2))
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
def test_what_cannot_work_is_refused_before_the_run(config, normed_network, changes, message):
    with pytest.raises(ValueError, match=message):
        train.train(dataclasses.replace(config, **changes))
    assert not (pathlib.Path(config.workdir) / "checkpoints").exists()
