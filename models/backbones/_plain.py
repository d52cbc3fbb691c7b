"""What the families of plain vision transformers share: every level of the feature maps has the resolution of the patches."""

import keras

from models import backbones, layers
from models.layers import vision_transformer as vit

LEVELS = ("c1", "c2", "c3", "c4", "c5")
OUTPUT_STRIDES = (16, 32)  # both mean the network as published, whose stride is that of the patches
INITIAL = vit.INITIAL


def family(variants):
    """The functions `channels`, `strides`, `build` and `head` of a family with these {name: Plain}."""

    def channels(variant):
        """Of the five feature maps."""
        return dict.fromkeys(LEVELS, variants[variant].width)

    def strides(variant):
        """Of the five feature maps."""
        return dict.fromkeys(LEVELS, variants[variant].patch)

    def build(inputs, variant, output_stride=32, *, stochastic_depth=0.0):
        """The patches, then the tokens of the patches after each quarter of the blocks, the last ones normalised.

        `stochastic_depth` is the last block's rate; it rises linearly from 0.
        """
        if output_stride not in OUTPUT_STRIDES:
            raise ValueError(f"Expected output_stride 16 or 32 of {variant}. Received: {output_stride=}.")
        plain = variants[variant]
        x, patches, rotary = vit.embed(inputs, plain)
        maps, last = [patches], plain.depth - 1
        for i in range(plain.depth):
            x = vit.block(x, plain, i, rotary, stochastic_depth * i / last)
            x = vit.norm(x, plain) if i == last else x
            if (i + 1) % (plain.depth // 4) == 0:
                maps.append(vit.patch_map(x, patches))
        return dict(zip(LEVELS, maps, strict=True))

    return channels, strides, build, head


def head(features, num_classes, variant):
    """The mean of the patches and a linear layer. The published classifiers read the class token instead."""
    x = keras.layers.GlobalAveragePooling2D()(features["c5"])
    return layers.dense(x, num_classes, "head", initial=INITIAL)


def find(backbone, patch):
    """What a plain vision transformer of `models.backbones` is made of, for networks that need its tokens.

    Raises:
        ValueError: for another backbone, for options, and for patches of another size in pixels.
    """
    call, family = backbones.find(backbone)
    plain = family.VARIANTS[call.name]
    if not isinstance(plain, vit.Plain) or call.kwargs or plain.patch != patch:
        raise ValueError(
            f"Expected a plain vision transformer with patches of {patch} pixels, without options: vit_small_patch16, "
            f"vit_small, dinov3_small, or a larger one. Received: {backbone=}."
        )
    return plain
