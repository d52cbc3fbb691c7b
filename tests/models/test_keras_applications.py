"""Backbones with the function of keras.applications give its numbers, with weights from a file like its own."""

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from models.backbones import inception_resnet_v2, xception
from models.weights import keras_applications

CLASSES = 7


def classifier(family, variant, shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, family.head(family.build(inputs, variant), CLASSES, variant), name=variant)


@pytest.mark.parametrize(
    ("family", "application", "size"),
    [
        pytest.param(xception, "Xception", (75, 96), id="xception"),
        pytest.param(
            inception_resnet_v2, "InceptionResNetV2", (107, 96), id="inception_resnet_v2", marks=pytest.mark.slow
        ),
    ],
)
def test_same_logits(family, application, size, tmp_path):
    make = getattr(keras.applications, application)
    keras.utils.set_random_seed(0)
    arguments = {"input_shape": (*size, 3), "classes": CLASSES, "classifier_activation": None}
    original = make(weights=None, **arguments)
    _randomize_norms(original)
    with h5py.File(tmp_path / "published.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, original)

    # The session has made other layers before, so unnamed layers get other numbers.
    source = make(weights=str(tmp_path / "published.h5"), **arguments)
    (variant,) = family.VARIANTS
    model = classifier(family, variant, (None, None, 3))
    keras_applications.copy(source, model)
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    expected, logits = np.asarray(original(images)), np.asarray(model(images))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(logits, expected, atol=1e-5 * expected.std(), rtol=1e-5)


def test_what_does_not_fit_is_named():
    inputs = keras.Input((71, 71, 3))
    source = keras.Model(inputs, keras.layers.Conv2D(4, 3, name="block1_conv1")(inputs))
    model = classifier(xception, "xception", (71, 71, 3))
    with pytest.raises(ValueError, match=r"missing .*block1_conv2.*of other shapes \['block1_conv1"):
        keras_applications.copy(source, model)


def _randomize_norms(model):
    """Sets batch norms to numbers other than 0 and 1, because with these a missing part would not be seen."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
