import numpy as np

from tests.parity import fill


def test_known_values():
    np.testing.assert_allclose(
        fill.draw("conv1.weight", (64, 3, 7, 7), "conv").flat[:3], [0.01480198, 0.06343291, -0.2079105], rtol=1e-6
    )
    np.testing.assert_allclose(
        fill.draw("bn1.running_var", (64,), "running_var")[:3], [0.8013546, 1.10079, 1.027379], rtol=1e-6
    )
    np.testing.assert_allclose(
        fill.image({"h": 64, "w": 96, "seed": 11}).flat[:3], [0.03419277, 1.359748, 1.224721], rtol=1e-6
    )
    chosen = fill.samples(np.arange(73728))
    assert chosen[:5].tolist() == [73, 149, 200, 270, 302]
    assert chosen[-3:].tolist() == [73576, 73606, 73616]
    assert fill.samples(np.arange(2048)).tolist() == list(range(2048))


def test_bilinear():
    tent = np.array([0.25, 0.75, 0.75, 0.25])
    grouped = fill.draw("up.weight", (3, 1, 4, 4), "fixed_bilinear")
    np.testing.assert_allclose(grouped[2, 0], np.outer(tent, tent))
    full = fill.draw("up.weight", (2, 2, 4, 4), "fixed_bilinear")
    np.testing.assert_allclose(full[1, 1], np.outer(tent, tent))
    assert not full[0, 1].any()
