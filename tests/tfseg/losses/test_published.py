"""Losses against PyTorch's and segmentation_models_pytorch's, value and gradient to 1e-5, if those are installed.

    pip install torch segmentation-models-pytorch

Definitions that differ from theirs, so that the test compares what is the same:
- theirs of regions take the batch as one image (ours each image by itself), and average over all classes with 0 for those
  that the label lacks (ours over those it has): compared image by image, times the share of classes present;
- their `smooth` of the dice loss is added to TP, which in 2 TP makes it twice ours;
- smp.losses.FocalLoss is a sigmoid for each class; its softmax form, which is the paper's, knows no ignored label.
"""

import importlib
import sys

import numpy as np
import pytest
import tensorflow as tf

torch = pytest.importorskip("torch", reason="needs the torch package")
WEIGHTS = (1.0, 2.0, 0.5, 1.5)
CLASSES = 4


def batch(seed=0):
    """Three images of four classes, a third ignored; the last has no pixel of class 3."""
    random = np.random.default_rng(seed)
    label = random.integers(0, CLASSES, (3, 9, 11)).astype("uint8")
    label[2][label[2] == 3] = 0
    label[random.random(label.shape) < 1 / 3] = 255
    return random.normal(scale=2, size=(*label.shape, CLASSES)).astype("float32"), label


def ours(name, logits, label, **options):
    function = getattr(importlib.import_module(f"tfseg.losses.{name}"), name)
    logits = tf.convert_to_tensor(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total, count = function(logits, label, **options)
        loss = total / count
    return float(loss), tape.gradient(loss, logits).numpy()


def theirs(function, logits, label):
    """The loss and gradient of a function of torch logits [batch, classes, height, width] and labels."""
    given = torch.tensor(logits.transpose(0, 3, 1, 2), requires_grad=True)
    loss = function(given, torch.tensor(label.astype("int64")))
    loss.backward()
    return float(loss.detach()), given.grad.numpy().transpose(0, 2, 3, 1)


def assert_same(received, expected, scale=1.0):
    assert received[0] * scale == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(received[1] * scale, expected[1], rtol=1e-4, atol=1e-5 * np.abs(expected[1]).max())


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(weights, smoothing):
    expected = torch.nn.CrossEntropyLoss(
        None if weights is None else torch.tensor(weights), ignore_index=255, label_smoothing=smoothing
    )
    received = ours("cross_entropy", *batch(), class_weights=weights, label_smoothing=smoothing)
    assert_same(received, theirs(expected, *batch()))


@pytest.fixture
def published(monkeypatch):
    # torch's GPU builds contain triton, which aborts the process if TensorFlow is already loaded; no test here needs it.
    monkeypatch.setitem(sys.modules, "triton", None)
    return pytest.importorskip("segmentation_models_pytorch", reason="needs segmentation-models-pytorch").losses


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal(published, gamma):
    def valid_pixels(logits, label):
        logits, label = torch.movedim(logits, 1, -1)[label != 255], label[label != 255]
        return published._functional.softmax_focal_loss_with_logits(logits, label, gamma=gamma)

    assert_same(ours("focal", *batch(), gamma=gamma), theirs(valid_pixels, *batch()))


@pytest.mark.parametrize(
    ("name", "theirs_name", "options"),
    [
        ("dice", "DiceLoss", {}),
        ("dice", "DiceLoss", {"smooth": 2.0}),
        ("jaccard", "JaccardLoss", {}),
        ("jaccard", "JaccardLoss", {"smooth": 1.0}),
        ("tversky", "TverskyLoss", {"alpha": 0.3, "beta": 0.7}),
        ("tversky", "TverskyLoss", {"alpha": 0.6, "beta": 0.2, "smooth": 1.0}),
    ],
)
def test_regions(published, name, theirs_name, options):
    logits, label = batch()
    given = {**options, "smooth": options.get("smooth", 0.0) / (2 if name == "dice" else 1)}
    function = getattr(published, theirs_name)("multiclass", ignore_index=255, **given)
    for i, present in enumerate([4, 4, 3]):
        image = logits[i : i + 1], label[i : i + 1]
        assert len(set(image[1].ravel()) - {255}) == present
        assert_same(ours(name, *image, **options), theirs(function, *image), scale=present / CLASSES)


@pytest.mark.parametrize("per_image", [True, False])
def test_lovasz_softmax(published, per_image):
    expected = published.LovaszLoss("multiclass", per_image=per_image, ignore_index=255)
    assert_same(ours("lovasz_softmax", *batch(), per_image=per_image), theirs(expected, *batch()))
