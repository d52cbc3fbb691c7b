"""DINOv3.

Simeoni, Vo, Seitzer, Baldassarre, Oquab, Jose, Khalidov, Szafraniec, Yi, Ramamonjisoa, Massa, Haziza, Wehrstedt, et al., 2025.
https://arxiv.org/abs/2508.10104

The linear segmentation head of section 6.1.1 on the backbone of the Hub's facebook/dinov3-vit*16-pretrain-lvd1689m. The
authors train the head alone: `--freeze`.
"""

from models.dinov2 import RENAMES, UNUSED, linear_head, of_patches

__all__ = ["RENAMES", "UNUSED"]

REFERENCE = {
    "params": {"dinov3": {12: 21_601_548}},
    "macs": {"dinov3": 630_715_392},
    "input": (64, 96, 3),
    "source": "huggingface/transformers models/dinov3_vit and DINOv2's head, run; without the unused mask_token",
}


LAST_STEP = of_patches(16)


def backbone_of(*, variant="small", head="linear"):
    """The backbone's spec."""
    return f"dinov3_{variant}"


def build(inputs, num_classes, *, variant="small", head="linear"):
    """Logits of every patch of 16x16 pixels. `variant` is "small", "base" or "large"; the only `head` is "linear"."""
    return {"logits": linear_head(inputs, num_classes, backbone_of(variant=variant), head)}
