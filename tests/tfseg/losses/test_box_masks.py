import numpy as np
import pytest
import tensorflow as tf

from tfseg.losses.box_masks import box_masks


def given(rows, ids, kernels=(1.0, 3.0), size=8):
    """A head of one channel whose logit is the kernel of the class everywhere; boxes [[x1, y1, x2, y2, class], ..]."""
    vector = [*[0] * 44, 1, *kernels]  # four 3x3 with their biases, a 2x2, and its bias: every channel is 1
    rows = np.array(rows, np.float32).reshape(1, -1, 5)
    maps, image = np.ones((1, 2, 2, 1), np.float32), np.zeros((1, size, size, 3), np.float32)
    logits = np.zeros((1, 1, 1, len(kernels)), np.float32)
    return maps, np.float32([vector]), rows[..., :4], rows[..., 4].astype(np.int32), ids, image, logits


IDS = np.zeros((1, 8, 8), np.int32)
IDS[0, 2:6, 2:6] = 1
IDS[0, :2] = 2
BOXES = [[2, 2, 6, 6, 0], [0, 0, 8, 2, 1]]
FULL = [np.log1p(np.exp(-1.0)), np.log1p(np.exp(-3.0))]  # the cross entropy of the logits 1 and 3 where the object is
CASES = [
    (given(BOXES[:1], IDS), {}, (FULL[0], 1)),
    (given(BOXES, IDS), {}, (sum(FULL) / 2, 1)),
    # The class 1 has no masks; then neither has one, and the image does not count.
    (given(BOXES, IDS), {"known": (0,)}, (FULL[0], 1)),
    (given(BOXES[1:], np.where(IDS == 2, 1, 0)), {"known": (0,)}, (0, 0)),
    # Both boxes are of 16 pixels: the first of equal ones.
    (given(BOXES, IDS), {"most": 1}, (FULL[0], 1)),
    # The kernels stand for the classes 1 and 0; a third class has no place.
    (given(BOXES, IDS), {"classes": (1, 0)}, ((np.log1p(np.exp(-3.0)) + np.log1p(np.exp(-1.0))) / 2, 1)),
    # Half of the box: log(1 + e^-1) there, and 1 more in the other half.
    (given([[0, 0, 8, 8, 0]], np.tile(np.repeat([1, 0], 4), (1, 8, 1))), {}, (FULL[0] + 0.5, 1)),
    (given([[2, 2, 6, 6, 1]], IDS, kernels=(2.0, 2.0)), {}, (np.log1p(np.exp(-2.0)), 1)),
    (given([[0, 0, 0, 0, -1]], IDS), {}, (0, 0)),
]  # fmt: skip


def test_a_class_agnostic_head_has_one_kernel_for_all():
    maps, head, *others = given(BOXES, IDS)
    total, count = box_masks(maps, head[:, :-1], *others)
    assert [float(total), float(count)] == pytest.approx([np.log1p(np.exp(-1.0)), 1])


def batch():
    rng = np.random.default_rng(0)
    maps, head = rng.standard_normal((2, 4, 6, 2)), rng.standard_normal((1, 4 * 38 + 18 + 6)) / 3
    boxes = np.array([[[2, 2, 9, 8], [10, 1, 20, 14]], [[0, 3, 24, 15], [0, 0, 0, 0]]])
    classes, ids = np.array([[0, 2], [1, -1]], np.int32), rng.integers(0, 3, (2, 16, 24)).astype(np.int32)
    image, logits = np.zeros((2, 16, 24, 3), np.float32), np.zeros((1, 1, 1, 3), np.float32)
    return maps.astype(np.float32), np.float32(np.tile(head, (2, 1))), np.float32(boxes), classes, ids, image, logits


def gradients(function, values):
    maps, head, *others = map(tf.convert_to_tensor, values)
    with tf.GradientTape() as tape:
        tape.watch([maps, head])
        total, count = function(maps, head, *others)
    maps, head = tape.gradient(total, [maps, head])
    return float(total), float(count), maps.numpy(), head.numpy()


def test_halves_sum_to_the_whole():
    """What replicas compute, and the loop: the head's weights have the sum of the gradients of all images."""
    values = batch()
    whole = gradients(box_masks, values)
    halves = [gradients(box_masks, [x[i : i + 1] if len(x) == 2 else x for x in values]) for i in range(2)]
    assert whole[0] == pytest.approx(halves[0][0] + halves[1][0], rel=1e-5)
    assert whole[1] == 2
    np.testing.assert_allclose(whole[3].sum(0), (halves[0][3] + halves[1][3]).sum(0), rtol=1e-4, atol=1e-6)


@pytest.mark.slow  # XLA compiles it for seconds
def test_xla_agrees():
    values = batch()
    compiled = tf.function(box_masks, jit_compile=True)(*values)
    np.testing.assert_allclose(compiled, box_masks(*values), rtol=1e-5)


def test_refuses():
    values = batch()
    with pytest.raises(ValueError, match="Expected known="):
        box_masks(*values, known=(3,))
    with pytest.raises(ValueError, match=r"mask_head with 1 kernel or with 2.*Received: 3"):
        box_masks(*values, classes=(0, 1))
