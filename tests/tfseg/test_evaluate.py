"""--mode=evaluate of weights without a run, of networks with more classes, and by both conventions of unlabelled pixels."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import models
from tfseg import evaluate, prepare
from tfseg.config import Config

NORMALIZATION = "affine(order='bgr', mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))"


@pytest.fixture
def folder(tmp_path):
    """Three images, the left half of class a or b; the right half has no label."""
    root = tmp_path / "data"
    mask = np.full((32, 48), 255, np.uint8)
    mask[:16, :24], mask[16:, :24] = 0, 1
    for i in range(3):
        for kind, pixels in (("images", 50 * i + 50 * mask[..., None].repeat(3, 2) // 255), ("masks", mask)):
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(root / kind / f"{i}.png")
    (root / "classes.csv").write_text("id,name\n0,a\n1,b\n255,ignore\n")
    return root


@pytest.fixture
def weights(tmp_path):
    """Of a network that gives every pixel one of three classes, a, b or neither, whatever the image."""

    def save(predicted):
        model = models.build("segnet_basic", 3, normalization=NORMALIZATION)
        *_, kernel, bias = model.trainable_variables
        kernel.assign(np.zeros(kernel.shape))
        bias.assign(np.eye(3)[predicted])
        model.save_weights(tmp_path / "net.weights.h5")
        return str(tmp_path / "net.weights.h5")

    return save


@pytest.fixture
def options(config, folder, tmp_path):
    return dataclasses.replace(
        config,
        mode="evaluate",
        workdir=str(tmp_path / "out"),
        dataset="folder(val_fraction=0.4)",
        data_dir=str(folder),
        model="segnet_basic",
        num_classes=3,
        normalization=NORMALIZATION,
        eval_batch_size=3,  # more than the split has: the batch is filled up
    )


# Half of the labelled pixels are a, half b; as many pixels as both have no label. All that is predicted is of one class.
@pytest.mark.parametrize(
    ("predicted", "iou", "with_unlabelled", "accuracy"),
    [
        (0, {"a": 1 / 2, "b": 0.0}, {"a": 1 / 4, "b": 0.0}, 1 / 2),
        (1, {"a": 0.0, "b": 1 / 2}, {"a": 0.0, "b": 1 / 4}, 1 / 2),
        (2, {"a": 0.0, "b": 0.0}, {"a": 0.0, "b": 0.0}, 0.0),  # the extra class is wrong everywhere
    ],
)
def test_both_conventions_of_a_larger_network_without_a_run(
    options, weights, capsys, predicted, iou, with_unlabelled, accuracy
):
    result = evaluate.evaluate(dataclasses.replace(options, init_from=weights(predicted)))
    assert result == json.loads(pathlib.Path(options.workdir, "evaluation_val.json").read_text())
    assert (result["iou"], result["miou"]) == (iou, sum(iou.values()) / 2)
    assert result["with_unlabelled"] == {"miou": sum(with_unlabelled.values()) / 2, "iou": with_unlabelled}
    assert result["pixel_accuracy"] == result["mean_accuracy"] == accuracy
    assert (
        f"miou with unlabelled pixels in the unions {50 * sum(with_unlabelled.values()):.2f} %"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"init_from": ""}, ValueError, "Expected --workdir of a run with a checkpoint, or --model and --init_from"),
        ({"init_from": "/no/such.pth"}, FileNotFoundError, r"Expected weights in --init_from=/no/such\.pth"),
        ({"model": "segnet_basics"}, ValueError, "segnet_basics"),
        ({"normalization": "affine(order='brg')"}, ValueError, "Expected order 'rgb' or 'bgr'. Received: order='brg'"),
    ],
)
def test_refuses_before_the_data_are_prepared(options, weights, monkeypatch, change, error, message):
    monkeypatch.setattr(prepare, "records", lambda config: pytest.fail("The data were prepared before the check."))
    with pytest.raises(error, match=message):
        evaluate.evaluate(dataclasses.replace(options, **{"init_from": weights(0), **change}))


def test_a_network_of_fewer_classes_is_refused(options, tmp_path):
    models.build("segnet_basic", 1, normalization=NORMALIZATION).save_weights(tmp_path / "one.weights.h5")
    with pytest.raises(ValueError, match=r"Expected a network of 2 classes.*or more\. Received: 1"):
        evaluate.evaluate(dataclasses.replace(options, num_classes=1, init_from=str(tmp_path / "one.weights.h5")))


SHARED = pathlib.Path(__file__).parents[3] / "shared"


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared, which holds CamVid and the checkpoint, is not there")
def test_espnet_as_its_authors_trained_it_on_camvid(tmp_path):
    """PyTorch's numbers on the 101 images of val: a pixel that is given the twelfth class, void, counts as wrong."""
    result = evaluate.evaluate(
        Config(
            mode="evaluate",
            workdir=str(tmp_path / "out"),
            cache_dir=str(tmp_path / "cache"),
            dataset="camvid",
            data_dir=str(SHARED / "data" / "camvid"),
            model="espnet(p=2, q=8, skip_channels=19)",
            num_classes=12,
            init_from=str(SHARED / "weights" / "espnet_p_2_q_8_camvid.pth"),
            normalization="affine(order='bgr', mean=(110.33103, 108.40886, 105.03319), std=(18392.1, 18536.1, 17825.6))",
            strategy="one_device",
        )
    )
    assert (result["images"], len(result["iou"])) == (101, 11)
    assert result["miou"] == pytest.approx(0.7010, abs=5e-4)
    assert result["mean_accuracy"] == pytest.approx(0.7971, abs=5e-4)
    assert result["pixel_accuracy"] == pytest.approx(0.9268, abs=5e-4)
    assert result["with_unlabelled"]["miou"] < result["miou"]
