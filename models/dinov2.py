"""DINOv2: Learning Robust Visual Features without Supervision.

Oquab, Darcet, Moutakanni, Vo, Szafraniec, Khalidov, Labatut, Joulin, Bojanowski, et al., TMLR 2024.
https://arxiv.org/abs/2304.07193

The linear segmentation head of section 7.4 on the backbone of the Hub's facebook/dinov2-*. The authors train the head alone:
`--freeze`. Their heads' files (dinov2_*_ade20k_linear_head.pth) have its names.
"""

from models import backbones, layers

REFERENCE = {
    "params": {"dinov2": {12: 22_061_580}},
    "macs": {"dinov2": 784_419_840},
    "input": (70, 98, 3),
    "source": "huggingface/transformers models/dinov2 and the authors' head, run; without the unused mask_token",
}

HEADS = ("linear",)
INITIAL = layers.normal(0.01, bias=0.0)  # mmsegmentation's, whose head the authors use

RENAMES = ((r"^(?!decode_head)", "backbone."),)

UNUSED = (r"mask_token$",)  # only the pre-training masks patches


def of_patches(size):
    """A last step from logits of patches of `size` pixels to those of the pixels; the image may end inside the last patches."""
    return lambda logits, image: layers.fit(layers.resize(logits, scale=size), image)


def last_step(*, variant="small", head="linear"):
    """Enlarges the logits of patches."""
    return of_patches(backbones.strides(backbone_of(variant=variant, head=head))["c5"])


def backbone_of(*, variant="small", head="linear"):
    """The backbone's spec."""
    return f"dinov2_{variant}"


def build(inputs, num_classes, *, variant="small", head="linear"):
    """Logits of every patch of 14x14 pixels. `variant` is "small", "base" or "large"; the only `head` is "linear"."""
    return {"logits": linear_head(inputs, num_classes, backbone_of(variant=variant), head)}


def linear_head(inputs, num_classes, backbone, head):
    """A batch norm of the last tokens of the patches and a 1x1 convolution."""
    if head not in HEADS:
        raise ValueError(f"Expected head: {', '.join(HEADS)}. Received: {head=}.")
    x = backbones.build(backbone, inputs)["c5"]
    x = layers.batch_norm(x, "decode_head.bn")
    return layers.conv(x, num_classes, 1, "decode_head.conv_seg", initial=INITIAL)
