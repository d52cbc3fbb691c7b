"""The distance of a backbone's layers from the heads, from the names of layers as several references have them."""

import types

import pytest

from models.backbones import _distance


def distances(names):
    """Of layers in this order; those that are called norm have no kernel."""
    layers = []
    for name in names.split():
        variable = types.SimpleNamespace(name="gamma" if "norm" in name or "token" in name else "kernel")
        layers.append(types.SimpleNamespace(name=name, weights=[variable]))
    return list(_distance.distances(layers).values())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # ViT: the tokens and the patches are before block 0, and the last norm is like the heads.
        (
            "patch_embed.proj cls_token blocks.0.norm1 blocks.0.attn.q blocks.0.mlp.fc1 blocks.1.norm1 blocks.1.attn.q norm",
            [3, 3, 2, 2, 2, 1, 1, 0],
        ),
        # ResNet
        ("conv1 bn1.norm layer1.0.conv1 layer1.0.downsample.0 layer1.1.conv1 layer2.0.conv1", [4, 4, 3, 3, 2, 1]),
        # Swin: merging is like the block before it.
        (
            "f.0.0 f.0.2.norm f.1.0.a.qkv f.1.0.mlp.0 f.1.1.a.qkv f.1.1.mlp.0 f.2.norm f.2.reduction f.3.0.attn f.3.0.mlp.3",
            [4, 4, 3, 3, 2, 2, 2, 2, 1, 1],
        ),
        # MiT: so are the norm after a stage and the patches of the next one, but not the norm after the last.
        (
            "patches.0.a block.0.0.a.k block.0.0.m.fc layer_norm.0 patches.1.proj block.1.0.a.key block.1.0.m.fc layer_norm.1",
            [3, 2, 2, 2, 2, 1, 1, 0],
        ),
        # DenseNet
        (
            "f.c f.denseblock1.denselayer1.a f.denseblock1.denselayer1.b f.transition1.c f.denseblock2.denselayer1.a f.norm5",
            [3, 2, 2, 2, 1, 0],
        ),
        # MobileNetV2: the numbers inside of a block do not count.
        ("features.0.0 features.0.1.norm features.1.conv.0.0 features.1.conv.1 features.2.conv.0.0", [3, 3, 2, 2, 1]),
        # VGG: every convolution is a block, with the norm after it.
        ("features.0 features.1.norm features.3 features.4.norm", [2, 2, 1, 1]),
    ],
)
def test_distances_by_hand(names, expected):
    assert distances(names) == expected
