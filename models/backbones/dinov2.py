"""DINOv2: Learning Robust Visual Features without Supervision.

Oquab, Darcet, Moutakanni, Vo, Szafraniec, Khalidov, Labatut, Joulin, Bojanowski, et al., TMLR 2024.
https://arxiv.org/abs/2304.07193
Darcet, Oquab, Mairal, Bojanowski, Vision Transformers Need Registers, ICLR 2024, for vit_*. https://arxiv.org/abs/2309.16588

dinov2_* are the networks of the Hub's facebook/dinov2-*, with patches of 14 pixels and a table of 37x37 positions, resized
without antialiasing. The authors' own code resizes by a factor with an offset of 0.1, which gives other numbers.

vit_* are those that EoMT is built on: four register tokens, a table of positions for the patches alone, patches of 16 pixels.
timm calls them vit_*_patch14_reg4_dinov2 and resizes their patches.
"""

from models.backbones import _plain
from models.layers.vision_transformer import Plain

INITIAL, OUTPUT_STRIDES = _plain.INITIAL, _plain.OUTPUT_STRIDES

SIZES = {"small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
LAYER_SCALE = 1e-5  # of the authors' training
VARIANTS = {
    f"dinov2_{name}": Plain(*size, patch=14, grid=(37, 37), layer_scale=LAYER_SCALE) for name, size in SIZES.items()
}
VARIANTS |= {
    f"vit_{name}": Plain(
        *size, grid=(32, 32), class_position=False, antialias=True, registers=4, layer_scale=LAYER_SCALE
    )
    for name, size in SIZES.items()
}

# Our names are timm's; these are the names of facebook/dinov2-* on the Hub.
RENAMES = (
    (r"(^|(?<!embeddings)\.)cls_token$", r"\1embeddings.cls_token"),
    (r"(^|\.)reg_token$", r"\1embeddings.register_tokens"),
    (r"(^|\.)pos_embed$", r"\1embeddings.position_embeddings"),
    (r"(^|\.)patch_embed\.proj$", r"\1embeddings.patch_embeddings.projection"),
    (r"(^|\.)blocks\.(\d+)\.(norm|attn|ls|mlp)", r"\1encoder.layer.\2.\3"),
    (r"\.attn\.q$", ".attention.attention.query"),
    (r"\.attn\.k$", ".attention.attention.key"),
    (r"\.attn\.v$", ".attention.attention.value"),
    (r"\.attn\.proj$", ".attention.output.dense"),
    (r"\.ls([12])$", r".layer_scale\1.lambda1"),
    (r"(^|\.)norm$", r"\1layernorm"),
)

channels, strides, build, head = _plain.family(VARIANTS)
