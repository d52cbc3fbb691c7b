"""--mode=evaluate with --monte_carlo: all numbers, compared with a second count of the pixels."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
from input_pipeline import pipeline
from tests.tfseg.conftest import STREETS
from tfseg import checkpoint, evaluate, inference
from tfseg.config import Config
from tfseg.inference import monte_carlo


@pytest.fixture
def prepared(cache):
    return input_pipeline.prepare(STREETS, cache_dir=cache)


def evaluated(monkeypatch, prepared, cache, table, workdir, **options):
    """Evaluates a network of one convolution and dropout, whose classes are those of `table`."""

    def trained_model(config, num_classes=0):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((None, None, 3), dtype="float32")
        x = keras.layers.Dropout(0.5)(inputs / 255.0)
        kernel = keras.initializers.RandomNormal(stddev=3.0, seed=0)
        model = keras.Model(
            inputs, {"logits": keras.layers.Conv2D(num_classes, 3, padding="same", kernel_initializer=kernel)(x)}
        )
        order = [c.name for c in prepared.classes].index
        weights = model.get_weights()
        model.set_weights([w[..., [order(name) for name, *_ in table]] for w in weights])
        return model, checkpoint.State(classes=table)

    monkeypatch.setattr(evaluate, "trained_model", trained_model)
    monkeypatch.setattr(evaluate, "_is_run", lambda config: True)
    config = Config(
        mode="evaluate",
        dataset=STREETS,
        cache_dir=cache,
        workdir=str(workdir),
        batch_size=2,
        monte_carlo=4,
        seed=3,
        **options,
    )
    return evaluate.evaluate(config), trained_model(config, prepared.num_classes)[0]


def table(prepared):
    return [[c.name, list(c.color), c.raw] for c in prepared.classes]


def test_numbers_of_right_and_wrong_pixels(monkeypatch, prepared, cache, tmp_path, capsys):
    result, model = evaluated(monkeypatch, prepared, cache, table(prepared), tmp_path, strategy="one_device")
    assert json.loads((pathlib.Path(tmp_path) / "evaluation_val.json").read_text()) == result
    assert "ranks errors" in capsys.readouterr().out
    found = result["monte_carlo"]
    assert (found["samples"], found["seed"]) == (4, 3)
    run = tf.function(inference.build_sampled("whole", model, 4, 3))
    values, rights = {kind: [] for kind in monte_carlo.KINDS}, []
    for batch in pipeline.evaluation(prepared, "val", 2):
        scores, maps = run(batch["image"])
        valid = batch["label"].numpy() != 255
        rights.append((np.argmax(scores, -1) == batch["label"])[valid])
        for kind in values:
            values[kind].append(maps[kind].numpy()[valid])
    right = np.concatenate(rights)
    assert result["pixel_accuracy"] == pytest.approx(right.mean())
    for kind, parts in values.items():
        value = np.concatenate(parts)
        assert found[kind]["right"] == pytest.approx(value[right].mean(), rel=1e-4)
        assert found[kind]["wrong"] == pytest.approx(value[~right].mean(), rel=1e-4)
        ranked = np.mean([np.mean(v > value[right]) + np.mean(v == value[right]) / 2 for v in value[~right][::7]])
        assert found[kind]["auc"] == pytest.approx(ranked, abs=0.02)


def test_classes_in_another_order_and_two_replicas_change_nothing(monkeypatch, prepared, cache, tmp_path):
    """The masks depend on the place in the batch, so batches of one image are compared."""
    options = {"eval_batch_size": 1}
    one, _ = evaluated(monkeypatch, prepared, cache, table(prepared), tmp_path, strategy="one_device", **options)
    other, _ = evaluated(
        monkeypatch, prepared, cache, table(prepared)[::-1], tmp_path, strategy="one_device", **options
    )
    two, _ = evaluated(monkeypatch, prepared, cache, table(prepared), tmp_path, strategy="mirrored", **options)
    for same in (other, two):
        assert same["miou"] == pytest.approx(one["miou"])
        for kind in monte_carlo.KINDS:
            assert same["monte_carlo"][kind] == pytest.approx(one["monte_carlo"][kind], rel=1e-5), kind


def test_a_network_without_dropout_is_refused_before_the_data(tmp_path):
    config = Config(
        mode="evaluate", dataset="camvid", data_dir=str(tmp_path / "none"), model="unet(width=1)", monte_carlo=2
    )
    with pytest.raises(ValueError, match="network with dropout"):
        evaluate.evaluate(dataclasses.replace(config, init_from=str(tmp_path / "none.weights.h5")))
