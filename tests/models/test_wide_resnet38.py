"""Parts that only wide_resnet38 has: strides, pools and dilations of its levels, and its heads."""

import pytest

from tests import symbolic


def convolutions(spec):
    """{name: (stride, dilation)} of the convolutions that are not 1 and 1."""
    layers = symbolic.build(spec, 19).layers
    found = {
        layer.name: (layer.strides[0], layer.dilation_rate[0]) for layer in layers if hasattr(layer, "dilation_rate")
    }
    return {name: pair for name, pair in found.items() if pair != (1, 1)}


FIRST = {f"res{level}a_{branch}": (2, 1) for level in (2, 3, 4) for branch in ("branch2a", "branch1")}
# The first convolution of level 5, which lost its stride, keeps the dilation before it.
LEVEL_5 = ("5a_branch2b1", *(f"5b{i}_branch2{j}" for i in (1, 2) for j in ("a", "b1")))
DILATED = {
    **{f"res{name}": (1, 2) for name in LEVEL_5},
    "res6a_branch2b1": (1, 4),
    "res7a_branch2b1": (1, 4),
    "conv6a": (1, 12),
    "linear": (1, 12),
}


def test_a1_strides_and_dilates():
    assert convolutions("wide_resnet38") == FIRST | DILATED


def test_a2_pools_twice():
    model = symbolic.build('wide_resnet38(variant="a2")', 19, (64, 96, 3))
    actual = convolutions('wide_resnet38(variant="a2")')
    assert [name for name, (stride, _) in actual.items() if stride == 2] == ["res4a_branch2a", "res4a_branch1"]
    pools = [layer for layer in model.layers if type(layer).__name__ == "MaxPooling2D"]
    assert [(pool.pool_size, pool.strides, pool.output.shape[1:]) for pool in pools] == [
        ((3, 3), (2, 2), (32, 48, 64)),
        ((3, 3), (2, 2), (16, 24, 128)),
    ]


@pytest.mark.parametrize(("output_stride", "size"), [(8, (8, 12)), (16, (4, 6)), (32, (2, 3))])
def test_output_stride(output_stride, size):
    model = symbolic.build(f"wide_resnet38(output_stride={output_stride})", 19, (64, 96, 3))
    assert model.get_layer("bn7").output.shape[1:] == (*size, 4096)
    assert model.output["logits"].shape[1:] == (64, 96, 19)


def test_names_are_the_authors():
    """Those of ademxapp's parameters: a level's blocks are a, b1, b2, .., a branch's convolutions a, b1, b2."""
    names = {layer.name for layer in symbolic.build("wide_resnet38", 19).layers if layer.weights}
    assert {"conv1a", "bn2a_branch2a", "res4b5_branch2b1", "bn6a_branch2b2", "res7a_branch1", "bn7", "conv6a"} <= names
    # Blocks by level: 3, 3, 6, 3, 1, 1; 15 of two convolutions and norms, 2 of three; a shortcut in the first of each level.
    # Convolutions: conv1a, 2 * 15 + 3 * 2 in blocks, 6 shortcuts, 2 in the head; norms: 36 and bn7.
    assert len(names) == 1 + 36 + 6 + 2 + 37


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('variant="a"', "Expected variant 'a1' or 'a2'. Received: variant='a'"),
        ("convolutions=3", "Expected convolutions 1 or 2, of the head. Received: convolutions=3"),
        ("output_stride=4", "Expected output_stride 8, 16 or 32. Received: output_stride=4"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        symbolic.build(f"wide_resnet38({options})", 19)
