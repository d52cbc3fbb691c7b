import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import uolo
from tests.tfseg.inference import reference

FILES = reference.files("yolo_v2_boxes")


@pytest.mark.parametrize("case", [c for f in FILES for c in f["cases"]], ids=lambda c: f"seed {c['seed']}")
def test_boxes_are_those_of_the_reference(case):
    side, count = case["S"], len(case["anchors"])
    raw = np.random.default_rng(case["seed"]).standard_normal((side, side, count, 5 + case["classes"]))
    layer = uolo.AnchorBoxes(case["anchors"], dtype="float64")
    found = keras.ops.convert_to_numpy(layer(raw.reshape(1, side, side, -1)))[0]
    rows, columns = np.mgrid[:side, :side][..., np.newaxis]  # ours are places in the cell
    found[..., 0], found[..., 1] = (columns + found[..., 0]) / side, (rows + found[..., 1]) / side
    np.testing.assert_allclose(found.reshape(-1, 5 + case["classes"]), case["boxes"], rtol=1e-6)


def test_a_grid_that_is_not_square_by_hand():
    """Zeros in 1 x 2 cells: the middle of the cell, the anchors' shares of the image, one half everywhere else."""
    found = np.asarray(uolo.AnchorBoxes([(1, 0.5), (3, 1)])(np.zeros([1, 1, 2, 14], np.float16)))
    assert found.dtype == np.float32
    for column in range(2):
        assert found[0, 0, column].tolist() == [[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 1.5, 1, 0.5, 0.5, 0.5]]


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return models.build("uolo(width=4, depth=3, classes=2, anchors=((1, 1), (2, 1), (1, 2)))", 5)


def test_detection_has_the_cells_of_the_deepest_map(network):
    for height, width in ((32, 48), (39, 61)):
        found = network(np.zeros([2, height, width, 3], np.float32))
        assert found["detection"].shape == (2, height // 8, width // 8, 3, 7)
        assert found["logits"].shape == (2, height, width, 5)


def test_boxes_train_the_decoder_and_the_encoder(network):
    """The decoder's last map reaches the boxes, and the head of the masks does not."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(np.ones([1, 32, 32, 3], np.float32), training=True)["detection"][..., :5] ** 2)
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    names = dict(zip([variable.path for variable in network.trainable_variables], gradients, strict=True))
    assert names["outc.conv/kernel"] is None
    for name in (
        "inc.double_conv.0/kernel",
        "down3.maxpool_conv.1.double_conv.3/kernel",
        "up3.conv.double_conv.3/kernel",
    ):
        assert np.any(names[name])


@pytest.mark.parametrize("wrong", ["anchors=()", "anchors=((1, 0),)", "anchors=((1, 1, 1),)", "depth=0", "classes=-1"])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Expected uolo\(width="):
        models.build(f"uolo({wrong})", 3)
