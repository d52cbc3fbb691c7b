"""Every flagfile of `configs/`: it parses, its network builds, and its specs name existing things."""

import pathlib

import keras
import numpy as np
import pytest
from absl import flags

import input_pipeline
import models
from input_pipeline import ops
from models import backbones
from tests import symbolic
from tfseg import config as config_lib
from tfseg import inference, losses, optimizers
from tfseg import spec as specs

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted((ROOT / "configs").glob("*.flags"))
RUNS = [path for path in FILES if not path.name.startswith("_")]
CLASSES = 3


@pytest.fixture(autouse=True)
def root(monkeypatch):
    """A flagfile names another relative to the root."""
    monkeypatch.chdir(ROOT)


def parse(path):
    flag_values = flags.FlagValues()
    config_lib.define_flags(flag_values)
    flag_values(["main.py", f"--flagfile={path}"])
    return config_lib.from_flags(flag_values)


def names(path):
    return path.stem


def test_there_are_some():
    assert RUNS


@pytest.mark.parametrize("path", FILES, ids=names)
def test_it_parses_and_says_what_it_is(path):
    text = path.read_text()
    assert text.startswith("# "), (
        f"{path.name}: expected a comment that says what the run is and where its numbers come from"
    )
    config = parse(path)
    call = specs.parse(config.dataset)
    data_set = call.kwargs.get("name", call.name)  # of tfds, the one that it reads
    assert path.stem == "quickstart" or path.stem.lstrip("_").startswith(data_set), f"expected {data_set}_<model>.flags"
    builder = specs.find("input_pipeline.datasets", call.name).Builder
    specs.check(builder, call, None, pathlib.Path())
    ops.build(config.augment, config.crop_size, (0.0, 0.0, 0.0), config.crop_max_class_share)
    if path in RUNS and path.stem != "quickstart":
        assert f"--flagfile=configs/{path.name} " in text, (
            f"{path.name}: expected the command that starts it, in the comment"
        )


@pytest.mark.parametrize("path", RUNS, ids=names)
def test_its_network_builds_at_its_crop_size(path):
    config = parse(path)
    model = symbolic.build(
        config.model, config.num_classes or CLASSES, (*config.crop_size, None), normalization=config.normalization
    )
    assert "logits" in model.output
    if config.init_from == "imagenet":
        backbones.weights(model.backbone)
    if config.freeze or config.backbone_learning_rate != 1 or config.layer_decay != 1:
        assert model.backbone, f"expected a network with a backbone. Received: {config.model}"


@pytest.mark.parametrize("path", RUNS, ids=names)
def test_its_loss_optimizer_and_schedule_are_there(path):
    config = parse(path)
    assert config.class_weights in ("none", *input_pipeline.CLASS_WEIGHTS) or (ROOT / config.class_weights).is_file()
    weights = None if config.class_weights == "none" else (1.0,) * CLASSES
    assert losses.build(config.loss, weights)
    schedule = optimizers.Schedule(config.schedule, config.learning_rate, 100, config.warmup_steps)
    rates = [float(schedule(step)) for step in (0, 50, 99)]
    assert all(np.isfinite(rates)), rates
    inputs = keras.Input((None, None, 3))
    small = keras.Model(inputs, {"logits": keras.layers.Conv2D(CLASSES, 1)(inputs)})
    assert optimizers.build(config.optimizer, schedule, small, weight_decay=config.weight_decay)
    assert inference.build(config.inference, small)


@pytest.mark.parametrize("name", [name for name in models.names() if name != "classifier"])
def test_every_network_is_run_by_a_flagfile(name):
    assert any(specs.parse(parse(path).model).name == name for path in RUNS), (
        f"expected configs/<data set>_{name}.flags"
    )


@pytest.mark.parametrize("name", input_pipeline.names())
def test_every_data_set_is_run_by_a_flagfile(name):
    assert any(specs.parse(parse(path).dataset).name == name for path in RUNS), (
        f"expected configs/{name}_<network>.flags"
    )


@pytest.mark.parametrize("path", [path for path in FILES if path not in RUNS], ids=names)
def test_what_runs_share_is_used(path):
    line = f"--flagfile=configs/{path.name}\n"
    assert any(line in other.read_text() for other in RUNS), f"expected a run that begins with {line.strip()}"
