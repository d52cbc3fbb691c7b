"""Options of the loop: parts of a batch, averages, precision, XLA, patience, recovery."""

import dataclasses
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.test_train import lines, weights
from tfseg import checkpoint, evaluate, gradients, losses, network, train, workdir

CLASSES = 10  # of streets


def saved(config, step, which):
    """The weights of a step's checkpoint: of the "model", or its "average"."""
    model = network.build(config, CLASSES)
    path = pathlib.Path(config.workdir) / "checkpoints" / f"last-{step:08d}" / "variables"
    tf.train.Checkpoint(**{which: model}).read(str(path)).expect_partial().assert_existing_objects_matched()
    return model.get_weights()


def test_a_batch_in_parts_is_the_batch(config, small_network, tmp_path):
    """Crops with unequal numbers of valid pixels, two terms, an auxiliary output; one and two replicas."""
    config = dataclasses.replace(
        config, steps=2, optimizer="sgd", augment="affine(scale=(0.3, 1.0))", loss="cross_entropy + 0.5*dice"
    )
    whole = dataclasses.replace(config, workdir=str(tmp_path / "whole"))
    train.train(whole)
    expected = weights(whole)
    for parts, strategy in ((2, "one_device"), (4, "one_device"), (2, "mirrored")):
        other = dataclasses.replace(
            config, workdir=str(tmp_path / f"{parts}{strategy}"), accumulate_steps=parts, strategy=strategy
        )
        train.train(other)
        for first, second in zip(lines(whole), lines(other), strict=True):
            if "loss" in first:
                assert second["loss"] == pytest.approx(first["loss"], rel=1e-5)
                assert second["aux_0/cross_entropy"] == pytest.approx(first["aux_0/cross_entropy"], rel=1e-5)
        got = weights(other)
        for key, value in expected.items():
            if value.dtype == np.float32:
                np.testing.assert_allclose(got[key], value, atol=1e-5, err_msg=key)
    with pytest.raises(ValueError, match="multiple of the 1 replicas times --accumulate_steps=3"):
        train.train(dataclasses.replace(config, accumulate_steps=3))


def test_the_average_of_the_weights_is_evaluated_and_resumed(config, normed_network, tmp_path):
    """After step t: average = d average + (1 - d) weights, d = min(0.6, (1 + t) / (10 + t)): 2/11, 3/12, 4/13."""
    config = dataclasses.replace(config, steps=3, ema_decay=0.6, checkpoint_every=1, keep=9)
    result = train.train(config)
    assert evaluate.evaluate(dataclasses.replace(config, mode="evaluate", checkpoint="last")) == result
    average, model = ({t: saved(config, t, which) for t in (1, 2, 3)} for which in ("average", "model"))
    for t, decay in ((2, 3 / 12), (3, 4 / 13)):
        for before, now, value in zip(average[t - 1], average[t], model[t], strict=True):
            np.testing.assert_allclose(now, decay * before + (1 - decay) * value, rtol=1e-5, atol=1e-7)
    assert not np.allclose(average[3][0], model[3][0])

    # Stopped after step 2 and resumed: the same averages.
    again = dataclasses.replace(config, workdir=str(tmp_path / "again"))
    train.train(dataclasses.replace(again, steps=2, schedule="constant"))
    os.rename(tmp_path / "again", tmp_path / "stopped")
    whole = dataclasses.replace(again, workdir=str(tmp_path / "whole"), schedule="constant")
    train.train(whole)
    stopped = dataclasses.replace(whole, workdir=str(tmp_path / "stopped"))
    train.train(stopped)
    for key, value in weights(whole).items():
        np.testing.assert_array_equal(weights(stopped)[key], value, err_msg=key)


def test_half_precision_trains_and_evaluates_as_training_did(config, normed_network):
    config = dataclasses.replace(config, precision="mixed_bfloat16", steps=2)
    result = train.train(config)
    assert all(np.isfinite(line["loss"]) for line in lines(config) if "loss" in line)
    model, _ = evaluate.trained_model(config)
    assert {v.dtype for v in model.weights} == {"float32"}
    assert model.get_layer("conv").compute_dtype == "bfloat16"
    assert model.output["logits"].dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"  # as before
    assert evaluate.evaluate(dataclasses.replace(config, mode="evaluate", checkpoint="last")) == result


def test_an_overflow_in_float16_takes_no_step_and_halves_the_scale(config, normed_network, monkeypatch):
    config = dataclasses.replace(config, precision="mixed_float16", steps=2, checkpoint_every=1, optimizer="sgd")
    with monkeypatch.context() as patch:
        patch.setattr(gradients, "INITIAL", 2.0**126)  # any gradient above 4 overflows float32 itself
        train.train(config)
    scales = [line["loss_scale"] for line in lines(config) if "loss" in line]
    assert scales == [2.0**126, 2.0**125]
    assert [line["gradient_norm"] for line in lines(config) if "loss" in line] == [0, 0]
    changed = [
        not np.array_equal(a, b) for a, b in zip(saved(config, 1, "model"), saved(config, 2, "model"), strict=True)
    ]
    trained = [v.trainable for v in network.build(config, CLASSES).weights]
    assert not any(c for c, t in zip(changed, trained, strict=True) if t)
    assert any(changed)  # the statistics of the norms have seen the images

    other = dataclasses.replace(config, workdir=config.workdir + "2")
    train.train(other)
    assert [line["gradient_norm"] > 0 for line in lines(other) if "loss" in line] == [True, True]


def test_the_scale_grows_and_falls_by_hand(monkeypatch):
    monkeypatch.setattr(gradients, "GROWTH_STEPS", 3)
    scale = gradients.LossScale()
    seen = []
    for finite in (True, True, True, True, False, True, True, True, False, False):
        scale.update(tf.constant(finite))
        seen.append(float(scale.value) / 2**15)
    # Doubled at the third good step, halved at the bad one, which restarts the count, and so on.
    assert seen == [1, 1, 2, 2, 1, 1, 1, 2, 1, 0.5]


def test_xla_computes_the_same_step(config, normed_network, tmp_path):
    plain, compiled = (
        dataclasses.replace(config, steps=2, optimizer="sgd", workdir=str(tmp_path / str(jit)), jit_compile=jit)
        for jit in (False, True)
    )
    train.train(plain)
    train.train(compiled)
    for first, second in zip(lines(plain), lines(compiled), strict=True):
        if "loss" in first:
            assert second["loss"] == pytest.approx(first["loss"], rel=1e-4)
            assert second["gradient_norm"] == pytest.approx(first["gradient_norm"], rel=1e-4)
    with pytest.raises(ValueError, match="Expected one replica with --jit_compile"):
        train.train(dataclasses.replace(config, jit_compile=True, strategy="mirrored"))


def test_several_steps_a_call_are_the_same_steps(config, small_network, tmp_path):
    config = dataclasses.replace(config, steps=7, log_every=5, checkpoint_every=3)
    one, several = (dataclasses.replace(config, workdir=str(tmp_path / str(n)), steps_per_call=n) for n in (1, 2))
    assert train.train(one) == train.train(several)
    for key, value in weights(one).items():
        np.testing.assert_array_equal(weights(several)[key], value, err_msg=key)
    assert [line["step"] for line in lines(several) if "loss" in line] == [5]
    assert sorted(os.listdir(tmp_path / "2" / "checkpoints"))[-2:] == ["last-00000006", "last-00000007"]


def test_patience_ends_a_run_that_no_longer_improves(config, small_network, monkeypatch):
    """mIoU by evaluation 0.2, 0.5, 0.4, 0.5, 0.3: the best is the second; two more without a better one end it."""
    scores = iter([0.2, 0.5, 0.4, 0.5, 0.3])
    report = evaluate.report
    monkeypatch.setattr(evaluate, "report", lambda *args: {**report(*args), "miou": next(scores)})
    config = dataclasses.replace(config, steps=20, eval_every=0.5, patience=2)
    train.train(config)
    _, state = checkpoint.latest(config.workdir, "last")
    assert (state.step, state.best, state.best_step, state.stale) == (4, 0.5, 2, 2)
    train.train(config)  # resumed, it has ended already
    assert checkpoint.latest(config.workdir, "last")[1].step == 4
    assert next(scores) == 0.3


def _plant(monkeypatch, times):
    """A NaN in the image of batch 3, in the first `times` streams."""
    training, streams = train.pipeline.training, []

    def planted(*args, **kwargs):
        streams.append(kwargs["first_batch"])
        wrong = 2 - kwargs["first_batch"] if len(streams) <= times else -1
        plant = lambda number, x: {**x, "image": tf.where(number == wrong, float("nan"), x["image"])}  # noqa: E731
        return training(*args, **kwargs).enumerate().map(plant)

    monkeypatch.setattr(train.pipeline, "training", planted)
    return streams


def test_a_loss_that_is_not_finite_goes_back_and_on_at_half_the_rate(config, small_network, monkeypatch):
    streams = _plant(monkeypatch, times=1)
    config = dataclasses.replace(config, recover=1, checkpoint_every=2, schedule="constant", steps=4)
    train.train(config)
    assert streams == [0, 2]
    rates = [line["learning_rate"] for line in lines(config) if "loss" in line]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.005, 0.005])
    (reason,) = workdir.recoveries(pathlib.Path(config.workdir))
    assert "at step 3" in reason


def test_recoveries_come_to_an_end_also_before_the_first_checkpoint(config, small_network, monkeypatch):
    streams = _plant(monkeypatch, times=9)
    with pytest.raises(FloatingPointError, match="at step 3"):
        train.train(dataclasses.replace(config, recover=2))
    assert streams == [0, 0, 0]
    assert len(workdir.recoveries(pathlib.Path(config.workdir))) == 2


def test_auxiliary_losses_are_computed_where_the_model_says():
    """A 2x2 output of a 4x4 label: pixel i of it lies at 2 i + 0.5 of the label, whose nearest (upper) pixel is 2 i + 1."""
    label = tf.constant(np.arange(16, dtype=np.uint8).reshape(1, 4, 4))
    logits = tf.reshape(tf.constant([0.0, 1.0, 2.0, 3.0]), [1, 2, 2, 1])
    kept, scaled = losses.at_one_size(logits, label, "output")
    assert kept is logits
    np.testing.assert_array_equal(scaled[0], [[5, 7], [13, 15]])
    # As the logits are resized: output pixel i lies at (i - 0.5) / 2 of the input, 0, 0.25, 0.75, 1 within its borders.
    resized, kept = losses.at_one_size(logits, label, "label")
    assert kept is label
    np.testing.assert_allclose(resized[0, 0, :, 0], [0, 0.25, 0.75, 1])
    np.testing.assert_allclose(resized[0, :, 0, 0], [0, 0.5, 1.5, 2])
