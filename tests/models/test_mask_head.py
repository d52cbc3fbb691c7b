"""The head of masks in boxes: its numbers, its gradient, and the networks that have one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import layers, weights
from tests.parity import fill
from tests.tfseg.inference import reference

FILES = reference.files("weight_transfer")
SMALL = "multitask(model='fcn(backbone=\"squeezenet1_1\")', detect='yolo_v1(boxes=1, classes=3)', masks='{}')"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f["name"])
def test_weights_and_masks_are_those_of_the_reference(file):
    state = {
        key: fill.draw(key, tuple(shape), kind, file.get("gain", 1.0)).astype(np.float64)
        for key, shape, kind in file["state"]
    }
    classes, width = file["classes"], state["transfer.2.weight"].shape[0]
    boxes = state["bbox_pred.weight"].reshape(classes, -1)  # the four rows of a class one after the other
    embedding = np.concatenate([state["cls_score.weight"], boxes], 1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        inputs = keras.Input(embedding.shape[1:], batch_size=classes)
        network = keras.Model(inputs, layers.weight_transfer(inputs, width))
        weights.load(network, {key: value for key, value in state.items() if key.startswith("transfer")})
        kernels = np.asarray(network(embedding))
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(kernels, file["mask_weights"], rtol=1e-6)
    features = np.random.default_rng(101).standard_normal((2, 6, 4, 4))
    np.testing.assert_allclose(
        np.einsum("nchw,kc->nhwk", features, kernels), file["mask_logits_nhwc"], rtol=1e-6, atol=1e-8
    )


def test_the_head_is_mask_r_cnn_s():
    """Four 3x3 convolutions, a transposed one and a 1x1 without bias, by Keras' own layers on the crops."""
    width, rng = 3, np.random.default_rng(1)
    head = layers.MaskHead()
    maps, kernels = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 8, 8, width), (4, width)))
    vector = head([maps, kernels])
    assert (
        vector.shape
        == head.compute_output_spec([keras.KerasTensor((2, 8, 8, width)), keras.KerasTensor((4, width))]).shape
    )
    assert layers.kernels_of(vector, width) == 4
    for variable in head.weights:
        variable.assign(rng.standard_normal(variable.shape) / 3)
    boxes = np.array([[[0, 0, 0.5, 0.7], [0.1, 0.2, 1, 1]]] * 2, np.float32)
    found = layers.masks_in_boxes(maps, head([maps, kernels]), boxes, np.array([[2, 0], [3, 2]]))

    x = tf.reshape(layers.roi_align(maps, boxes, 14), (4, 14, 14, width))
    for kernel, bias in zip(head.kernels[:4], head.biases[:4], strict=True):
        x = tf.nn.relu(tf.nn.conv2d(x, kernel.value, 1, "SAME") + bias.value)
    transposed = keras.layers.Conv2DTranspose(width, 2, 2, activation="relu")
    transposed.build((None, 14, 14, width))
    # Keras' kernel of a transposed convolution is [.., out, in], and ours [.., in, out].
    transposed.set_weights([np.swapaxes(head.kernels[4], 2, 3), head.biases[4]])
    logits = np.reshape(transposed(x) @ kernels.T, (2, 2, 28, 28, 4))
    picked = [[logits[0, 0, ..., 2], logits[0, 1, ..., 0]], [logits[1, 0, ..., 3], logits[1, 1, ..., 2]]]
    np.testing.assert_allclose(found, picked, rtol=1e-4, atol=1e-4)


def test_a_class_agnostic_head_has_a_kernel_of_its_own():
    head = layers.MaskHead()
    vector = head(np.zeros((2, 5, 5, 3), np.float32))
    assert layers.kernels_of(vector, 3) == 1
    assert head.weights[-1].name == "logits_kernel"
    again = layers.MaskHead.from_config(head.get_config())
    assert again.compute_output_spec(keras.KerasTensor((None, None, None, 3))).shape == (None, vector.shape[1])


@pytest.fixture(scope="module")
def network():
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    return models.build(SMALL.format("transfer(width=4)"), 4)


def image(height=32, width=48):
    return np.random.default_rng(0).integers(0, 256, (2, height, width, 3)).astype(np.float32)


def test_embeddings_are_the_rows_of_the_detector(network):
    kernel = network.get_layer("detect.conv_end").kernel.numpy()  # [3, 3, 256, 5 + 3]
    found = keras.Model(network.input, network.get_layer("masks.rows").output)(image())
    rows = kernel.sum((0, 1)).T
    expected = [np.concatenate([rows[5 + c], *rows[:4]]) for c in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_loss_of_the_masks_does_not_change_the_detector(network):
    """Equal to the bit whatever the masks weigh: the embedding is cut off, and boxes in the loss are true ones."""
    found = []
    for weight in (0.0, 1000.0):
        with tf.GradientTape() as tape:
            outputs = network(image(), training=False)
            boxes = np.array([[[0.1, 0.1, 0.6, 0.9]]] * 2, np.float32)
            masks = layers.masks_in_boxes(outputs["mask_features"], outputs["mask_head"], boxes, np.array([[0], [2]]))
            loss = tf.reduce_sum(outputs["detection"] ** 2) + weight * tf.reduce_sum(masks**2)
        gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
        found.append({v.path: g for v, g in zip(network.trainable_variables, gradients, strict=True)})
    without, with_masks = found
    of_detector = [path for path in without if path.startswith("detect.")]
    assert of_detector
    for path in of_detector:
        np.testing.assert_array_equal(without[path], with_masks[path], err_msg=path)
    for path in (
        "masks.transfer.0/kernel",
        "masks.head/fcn1_kernel",
        "masks.head/upsample_bias",
        "masks.features.0/kernel",
    ):
        assert np.any(with_masks[path]), path


@pytest.mark.parametrize("masks", ["transfer(width=4)", "fcis(k=3, width=4)"])
def test_outputs(masks, tmp_path):
    """Any size, a gradient of every variable of the head, saved and loaded, and float32 under bfloat16."""
    keras.backend.clear_session()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.build(SMALL.format(masks), 4)
    finally:
        keras.config.set_dtype_policy(before)
    with tf.GradientTape() as tape:
        outputs = model(image(33, 47))
        loss = tf.add_n(
            [tf.reduce_mean((y - 1) ** 2) for name, y in outputs.items() if name not in ("logits", "detection")]
        )
    assert {y.dtype for y in outputs.values()} == {tf.float32}
    variables = [v for v in model.trainable_variables if v.path.startswith("masks.")]
    assert all(g is not None and np.any(g) for g in tape.gradient(loss, [v.value for v in variables]))
    if "mask_head" in outputs:
        assert layers.kernels_of(outputs["mask_head"], 4) == 3
        np.testing.assert_array_equal(outputs["mask_head"][0], outputs["mask_head"][1])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")(image(33, 47))
    for name, y in outputs.items():
        np.testing.assert_array_equal(loaded[name], y)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ("fcis(k=0)", "Expected k of 1 or more"),
        ("transfers", "Did you mean 'transfer'"),
        ("fcis(q=7)", "q"),
    ],
)
def test_refuses(masks, message):
    keras.backend.clear_session()
    with pytest.raises(ValueError, match=message):
        models.build(SMALL.format(masks), 3)
