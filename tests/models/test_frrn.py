"""Parts without a parity file: the units as in a port, and the grid on which the authors double a resolution."""

import keras
import numpy as np
import pytest

from models import frrn, layers, weights
from tests.parity import fill, test_parity

# Units, channels and scales of the port, whose decoder ends with fewer channels than that of the authors.
PORT = {
    "a": (((3, 96, 2), (4, 192, 4), (2, 384, 8), (2, 384, 16)), ((2, 192, 8), (2, 192, 4), (2, 48, 2))),
    "b": (
        ((3, 96, 2), (4, 192, 4), (2, 384, 8), (2, 384, 16), (2, 384, 32)),
        ((2, 192, 16), (2, 192, 8), (2, 192, 4), (2, 48, 2)),
    ),
}


@pytest.mark.parametrize("variant", ["a", pytest.param("b", marks=pytest.mark.slow)])
def test_units_in_the_port(variant, monkeypatch):
    """The units of ours, joined as github.com/guanfuchen/semseg joins them, give its numbers."""
    monkeypatch.setattr(frrn, "EPSILON", 1e-5)
    witness = fill.read(fill.FOLDER / "witnesses" / f"frrn_{variant}_guanfuchen.json.gz")
    model = _port(*PORT[variant], witness["num_classes"])
    weights.load(model, fill.state_dict(witness))
    for case in witness["cases"]:
        test_parity.check(np.asarray(model(fill.image(case))), case)


def _port(down, up, num_classes):
    inputs = keras.Input((None, None, 3))
    x = layers.conv_norm(inputs, 48, 5, "conv1.cbr_seq", bias=True)
    for i in range(3):
        x = frrn.residual_unit(x, f"up_residual_units.{i}")
    z = layers.conv(x, 32, 1, "split_conv", bias=False)
    for name, levels in (("encoding", down), ("decoding", up)):
        for units, channels, scale in levels:
            taken = layers.max_pool(x, 2) if name == "encoding" else layers.resize(x, scale=2, align_corners=True)
            for i in range(units):  # every unit has the input of the first one
                unit = f"{name}_frru_{units}_{channels}_{scale}_{i}"
                x, z = frrn.full_resolution_residual_unit(taken, z, unit, channels, scale)
    x = keras.layers.Concatenate()([layers.resize(x, scale=2, align_corners=True), z])
    x = layers.conv(x, 48, 1, "merge_conv", bias=False)
    for i in range(3):
        x = frrn.residual_unit(x, f"down_residual_units.{i}")
    return keras.Model(inputs, layers.conv(x, num_classes, 1, "classif_conv"))


def test_doubles_on_the_grid_of_theano():
    # Pixel i lies at i / 2: every second one is an input, the others are means of two; the last input is repeated.
    rows = np.array([0.0, 4.0, 2.0], "float32").reshape(1, 3, 1, 1)
    columns = np.array([0.0, 40.0], "float32").reshape(1, 1, 2, 1)
    down, right = [0, 2, 4, 3, 2, 2], [0, 20, 40, 40]
    np.testing.assert_allclose(frrn.double(rows + columns)[0, :, :, 0], np.add.outer(down, right))
