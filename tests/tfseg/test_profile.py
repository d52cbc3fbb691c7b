"""--mode=profile. tests/parity compares its MACs with those of the reference networks."""

import csv

import cv2
import keras
import pytest

import models
from tfseg import profile
from tfseg.config import Config


def test_macs_by_hand():
    inputs = keras.Input((8, 6, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)  # 4*3 places, 3*3*3*4 products each: 1296
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)  # 4*3 places, 3*3*4: 432
    x = keras.layers.Conv2D(4, 1, groups=2)(x)  # 4*3 places, 2*4: 96
    x = keras.layers.Conv2DTranspose(2, 2, strides=2)(x)  # 4*3 places of the input, 2*2*2*4: 384
    x = keras.layers.Reshape((8 * 6, 2))(x)
    x = keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))  # 48*48 results of 2 products: 4608
    x = keras.layers.Dense(5)(x)  # 48 rows of 48*5: 11520
    assert profile.multiply_accumulates(keras.Model(inputs, x)) == 1296 + 432 + 96 + 384 + 4608 + 11520


def test_rows_table_csv_and_picture(tmp_path, capsys):
    config = Config(model="unet(width=2) | enet", crop_size=(33, 47), output_dir=str(tmp_path), num_classes=12)
    rows = profile.profile(config)
    assert [row["model"] for row in rows] == ["unet(width=2)", "enet"]
    assert rows[1]["parameters"] == 350_652
    for row in rows:
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert row["images_per_s"] == pytest.approx(1e3 / row["p50_ms"])
        assert row["peak_mb"] > 100
    assert "350,652" in capsys.readouterr().out
    with (tmp_path / "profile.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["unet(width=2)", "enet"]
    assert cv2.imread(str(tmp_path / "profile.png")).shape == (640, 960, 3)


def test_all_names_every_network_and_backbone():
    names = profile.all_specs()
    assert {"enet", "erfnet", "unet", "classifier(backbone='resnet18')"} <= set(names)
    assert len(names) == len(models.names()) - 1 + len(models.backbones.names())


def test_without_a_model_it_says_so():
    with pytest.raises(ValueError, match="Expected --model"):
        profile.profile(Config())


def test_a_network_that_fails_is_named_and_the_others_are_measured(caplog):
    rows = profile.profile(Config(model="unet(width=2) | unet(height=2)", crop_size=(32, 32)))
    assert [row["model"] for row in rows] == ["unet(width=2)"]
    assert "unet(height=2): Expected unet(" in caplog.text


def test_a_layer_that_is_called_twice_counts_twice():
    # A 3x3 convolution of 2 to 2 channels on 4x5 pixels: 9 * 2 * 2 * 20 = 720 multiply-accumulates a call.
    inputs, layer = keras.Input((4, 5, 2)), keras.layers.Conv2D(2, 3, padding="same")
    assert profile.multiply_accumulates(keras.Model(inputs, layer(layer(inputs)))) == 2 * 720
