"""Every decoder that takes any backbone, with every backbone: shape at an odd and at a regular size, and gradients.

`pytest tests/models/test_matrix.py -m slow -k fpn` walks one decoder, `-k "resnet18-"` one backbone. Without -m slow the
backbones whose maps are of other sizes than most are built as shapes.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import backbones
from tests import symbolic

CLASSES = 3
DECODERS = ("unet", "linknet", "pspnet", "fpn")
# With fewer strides; without padding; with only one output stride; none of these.
UNUSUAL = ("convnext_tiny", "drn_a_18", "squeezenet1_1", "inception_v3", "xception", "mobilenet_v3_small")
# Impossible pairs: {(decoder, backbone): the reason in the error}. At present all pairs are possible.
IMPOSSIBLE = {}

each = pytest.mark.parametrize("decoder", DECODERS)


def spec(decoder, backbone):
    return f'{decoder}(backbone="{backbone}")'


def images(height, width, batch):
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3)).astype("float32")


@pytest.mark.slow
@each
@pytest.mark.parametrize("backbone", backbones.names())
def test_every_backbone(decoder, backbone):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    if reason := IMPOSSIBLE.get((decoder, backbone)):
        with pytest.raises(ValueError, match=reason):
            models.build(spec(decoder, backbone), CLASSES)
        return
    model = models.build(spec(decoder, backbone), CLASSES)
    first, *_, last = [v for v in model.trainable_variables if v.name in ("kernel", "depthwise_kernel")]
    assert last.shape[-1] == CLASSES or last.shape[-2] == CLASSES  # of a transposed convolution
    for size, batch in (((33, 47), 2), ((64, 96), 1)):
        with tf.GradientTape() as tape:
            outputs = model(images(*size, batch), training=True)
            logits = outputs["logits"]
            labels = np.random.default_rng(1).integers(0, CLASSES, (batch, *size))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        assert logits.shape == (batch, *size, CLASSES)
        assert np.isfinite(logits).all()
        assert np.std(logits) > 0
        for variable, gradient in zip((first, last), tape.gradient(loss, [first.value, last.value]), strict=True):
            assert np.isfinite(gradient).all(), variable.path
            assert np.any(gradient), variable.path


@each
@pytest.mark.parametrize("backbone", UNUSUAL)
def test_backbones_of_other_strides(decoder, backbone):
    odd = symbolic.build(spec(decoder, backbone), CLASSES, (33, 47, 3))
    assert odd.output["logits"].shape == (None, 33, 47, CLASSES)


@pytest.mark.parametrize("backbone", ["inception_v3", "squeezenet1_1"])
def test_linknet_has_logits_to_the_edge_without_padding(backbone):
    logits = models.build(spec("linknet", backbone), CLASSES)(images(96, 128, 1))["logits"]
    # Without this, zeros of the padding would be probabilities of 1 each.
    np.testing.assert_allclose(np.exp(logits).sum(axis=-1), 1, rtol=1e-4)


def test_pspnet_stays_at_the_least_stride_that_its_backbone_takes():
    # Of a 97x97 image an eighth is 13x13, a 32nd 4x4. Xception's 3x3 without padding leave 3x3.
    expected = {
        'pspnet(backbone="resnet18")': 13,
        'pspnet(backbone="resnet18", output_stride=32)': 4,
        'pspnet(backbone="xception")': 3,
    }
    for name, size in expected.items():
        model = symbolic.build(name, CLASSES, (97, 97, 3))
        assert model.get_layer("cls.4").output.shape[1:3] == (size, size), name
    with pytest.raises(ValueError, match="Expected output_stride 32 of xception"):
        models.build('pspnet(backbone="xception", output_stride=8)', CLASSES)
