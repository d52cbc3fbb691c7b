"""Mask propagation in the loop: six channels from any data set with instances; what is refused before the first step."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest

import models
from input_pipeline import pairs, pipeline
from tests.tfseg.test_train import lines
from tfseg import evaluate, network, predict, preflight, prepare, train, workdir

DATA = "streets(train=4, val=3, size=(32, 48), instances=('car', 'pedestrian'))"


@pytest.fixture
def of_pairs(config, monkeypatch):
    """The options of a run, and a network of three convolutions over six channels."""

    def build(spec, num_classes, **_):
        inputs = keras.Input((None, None, 6), dtype="float32")
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs / 255.0)
        features = keras.layers.Conv2D(4, 3, strides=8, padding="same", name="features")(x)
        model = keras.Model(
            inputs, {"logits": keras.layers.Conv2D(num_classes, 3, padding="same")(x), "features": features}
        )
        model.aux_weights, model.aux_resolution, model.backbone = {}, "label", ""
        return model

    monkeypatch.setattr(models, "build", build)
    return dataclasses.replace(
        config, dataset=DATA, pairs="deformed()", class_weights="none", steps=1, augment="", eval_batch_size=2
    )


@pytest.mark.slow  # a run, and an evaluation; parts of it are in the tests below
def test_a_run(of_pairs):
    result = train.train(of_pairs)
    assert result["images"] == 3
    assert next(line["loss"] for line in lines(of_pairs) if "loss" in line) > 0
    again = evaluate.evaluate(dataclasses.replace(of_pairs, mode="evaluate"))
    assert again["miou"] == result["miou"], "the pairs of an evaluation are the same every time"
    with pytest.raises(ValueError, match=r"Expected for --mode=predict a network of RGB images.*use --mode=track"):
        predict.predict(dataclasses.replace(of_pairs, mode="predict", output_dir=of_pairs.workdir + "/out"))
    with pytest.raises(
        ValueError, match=r"Expected a network of 3 channels without --pairs\. Received: .*which sees 6"
    ):
        evaluate.evaluate(dataclasses.replace(of_pairs, mode="evaluate", pairs=""))


@pytest.mark.slow  # seconds, for records and the graph of the stream; test_pairs.py tests what makes the pairs
def test_a_batch_has_six_channels_and_two_labels(of_pairs):
    prepared = prepare.records(of_pairs)
    options = {"augment": "", "crop_size": (32, 32), "batch_size": 2, "seed": 0, "make_pairs": "deformed(blank=0)"}
    batch = next(iter(pipeline.training(prepared, **options)))
    assert batch["image"].shape == (2, 32, 32, 6)
    assert set(np.unique(batch["label"])) <= {0, 1, 255}
    assert np.any(np.abs(batch["image"][..., 3:5] - pairs.FLOW_ZERO) > 1)
    assert batch["instances"].numpy().max() == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dataset": "streets(train=4, val=3)"}, "Expected a data set with instances for --pairs"),
        ({"augment": "cutmix"}, "augmentation on the host that mixes no images"),
        ({"augment_device": "device"}, "augmentation on the host that mixes no images"),
        ({"pairs": "deformed(shift=99)"}, r"shift=0\.\.15"),
    ],
)
def test_what_cannot_make_pairs_is_refused_first(of_pairs, changed, message):
    with pytest.raises(ValueError, match=message):
        preflight.check_pairs(dataclasses.replace(of_pairs, **changed))


def test_networks_and_pairs_fit_together():
    inputs = keras.Input((None, None, 3))
    enet = keras.Model(inputs, inputs, name="enet")
    network.check_channels(enet, "")
    network.check_images(enet, "predict")
    with pytest.raises(
        ValueError, match=r"Expected a network of 6 channels with --pairs\. Received: enet, which sees 3"
    ):
        network.check_channels(enet, "deformed()")
    inputs = keras.Input((None, None, 6))
    wide = keras.Model(inputs, inputs, name="wide")
    network.check_channels(wide, "deformed()")
    with pytest.raises(
        ValueError, match=r"Expected a network of 3 channels without --pairs\. Received: wide, which sees 6"
    ):
        network.check_channels(wide, "")
    with pytest.raises(ValueError, match=r"Expected for --mode=predict a network of RGB images.*use --mode=track"):
        network.check_images(wide, "predict")


def test_a_run_keeps_its_pairs(config):
    folder = pathlib.Path(config.workdir)
    (folder / "checkpoints" / "last-00000001").mkdir(parents=True)
    config.save(folder / "flags")
    assert workdir.claim(config) == config
    with pytest.raises(ValueError, match=r"Expected the options of the run.*--pairs= ?\. Received: --pairs=deformed"):
        workdir.claim(dataclasses.replace(config, pairs="deformed()"))
