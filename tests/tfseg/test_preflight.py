"""Faults of the options are reported before anything is prepared or written."""

import dataclasses
import os

import pytest

import input_pipeline
from tfseg import preflight, train


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": ""}, "Expected --dataset, one of: .*streets"),
        ({"dataset": "street"}, "streets.*Received: 'street'"),
        ({"dataset": "streets(trian=3)"}, "train"),
        ({"dataset": "folder"}, "Expected data_dir, the source tree of folder"),
        ({"dataset": "folder", "data_dir": "/no/such/folder"}, "/no/such/folder, which is not"),
        ({"model": ""}, "Expected --model, one of: .*unet"),
        ({"model": "unett"}, "models/: .*unet.*Received: 'unett'"),
        ({"model": "unet(widht=4)"}, r"Expected unet\(.*width.*Received: unet\(widht=4\)"),
        ({"model": "unet(width=-4)"}, r"--model=unet\(width=-4\): .*filters=-4"),
        ({"model": "unet(width='a')"}, r"--model. Received: --model=unet\(width='a'\)"),
        ({"loss": "focaal"}, "focal.*Received: 'focaal'"),
        ({"loss": "focal(gamma=-1)"}, "gamma of 0 or more"),
        ({"loss": "focal(gamma='x')"}, r"Expected valid options in --loss. Received: --loss=focal\(gamma='x'\)"),
        ({"loss": "dice", "class_weights": "enet"}, "Expected a loss that takes class weights"),
        ({"class_weights": "enett"}, r"--class_weights=none\|enet"),
        ({"augment": "afine"}, "Expected an augmentation: affine"),
        ({"augment": "affine(scale=(0, 1))"}, "0 < low"),
        ({"augment": "brightness('a')"}, "--augment=brightness"),
        ({"optimizer": "sgd(momentun=0.9)"}, "momentum"),
        ({"optimizer": "sgd(momentum='a')"}, "--optimizer=sgd"),
        ({"schedule": "poli"}, "poly"),
        ({"schedule": "poly(power='a')"}, "--schedule=poly"),
        ({"schedule": "poly(end=-1)"}, "learning rates of 0 or more"),
        ({"inference": "sliding_windw(size=8)"}, "sliding_window"),
        ({"inference": "sliding_window(size=(8, 8), overlap=1)"}, "overlap"),
        ({"freeze": "backbone"}, "which has none"),
        ({"backbone_learning_rate": 0.1}, "which has none"),
        ({"layer_decay": 0.9}, "which has none"),
        ({"init_from": "imagenet"}, "which has none"),
        ({"init_from": "nowhere.pth"}, "Expected weights in --init_from"),
        ({"init_from": __file__}, "Expected --init_from as a workdir"),
        ({"batch_size": 3, "accumulate_steps": 2}, "--batch_size to be a multiple"),
    ],
)
def test_a_mistake_is_found_before_the_data_is_prepared_and_locks_nothing(config, monkeypatch, change, message):
    def prepared(*_, **__):
        raise AssertionError("the data set was prepared before the options were checked")

    monkeypatch.setattr(input_pipeline, "prepare", prepared)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train.train(dataclasses.replace(config, **change))
    assert not os.path.exists(os.path.join(config.workdir, "flags"))


def test_the_right_options_pass(config):
    options = {
        "loss": "focal(gamma=2.0) + 0.5*dice",
        "class_weights": "enet",
        "inference": "multi_scale(scales=(0.5, 1))",
    }
    preflight.check(dataclasses.replace(config, **options), replicas=1)


def test_a_workdir_without_a_checkpoint_belongs_to_no_run(config, monkeypatch):
    """As after running out of memory at step 1: the same folder takes a smaller batch."""

    def no_memory(*_, **__):
        raise MemoryError("at step 1")

    monkeypatch.setattr(train.gradients_lib, "check_finite", no_memory)
    with pytest.raises(MemoryError):
        train.train(dataclasses.replace(config, batch_size=8))
    monkeypatch.undo()
    train.train(dataclasses.replace(config, batch_size=2, steps=1))
    with open(os.path.join(config.workdir, "flags")) as file:
        assert "--batch_size=2\n" in file.read()
    with pytest.raises(ValueError, match="Expected the options of the run"):
        train.train(dataclasses.replace(config, batch_size=4, steps=2))
