"""FPN: how its levels are joined, and its initial weights."""

import keras
import numpy as np
import pytest

import models
from tests import symbolic


def test_aggregation_by_concatenation_has_four_times_the_channels():
    for aggregation, channels in (("sum", 128), ("concat", 4 * 128)):
        model = symbolic.build(f'fpn(backbone="resnet18", aggregation="{aggregation}")', 3)
        assert model.get_layer("segmentation_head.0").kernel.shape == (1, 1, channels, 3)


def test_refuses_an_aggregation_that_it_does_not_have():
    with pytest.raises(ValueError, match=r"aggregation: sum, concat.*'mean'"):
        models.build('fpn(aggregation="mean")', 3)


def test_a_level_is_the_projection_and_every_pixel_of_the_level_above_four_times():
    model = symbolic.build('fpn(backbone="resnet18")', 3)
    skip = model.get_layer("decoder.p4.skip_conv").output
    (adds,) = [layer for layer in model.layers if isinstance(layer, keras.layers.Add) and layer.input[1] is skip]
    (up,) = [layer for layer in model.layers if layer.output is adds.input[0]]
    above = model.get_layer("decoder.p5").output
    y = keras.Model(above, up([keras.layers.UpSampling2D(2)(above), keras.ops.zeros((1, 5, 7, 256))]))
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 256)).astype("float32")
    np.testing.assert_array_equal(y(x), np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)[:, :5, :7])


@pytest.mark.parametrize("num_classes", [2, 19])
def test_the_head_starts_as_xavier(num_classes):
    model = models.build('fpn(backbone="resnet18")', num_classes)
    kernel, bias = model.get_layer("segmentation_head.0").get_weights()
    # Uniform within sqrt(6 / (inputs + outputs)): 0.2148 and 0.2020.
    limit = {2: 0.21483, 19: 0.20203}[num_classes]
    assert 0.95 * limit < np.abs(kernel).max() <= limit
    assert not bias.any()
    # The decoder's as He's uniform: within sqrt(6 / fan_in), of 3 x 3 x 256 inputs 0.05103.
    kernel = model.get_layer("decoder.seg_blocks.0.block.0.block.0").get_weights()[0]
    assert 0.99 * 0.05104 < np.abs(kernel).max() <= 0.05104


def test_native_output_of_a_size_that_the_reference_refuses_has_the_size_of_the_image():
    image = np.random.default_rng(0).integers(0, 256, (1, 33, 47, 3)).astype("float32")
    logits = models.build('fpn(backbone="resnet18")', 3, native_resolution=True)(image)["logits"]
    assert logits.shape == (1, 33, 47, 3)
