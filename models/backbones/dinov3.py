"""DINOv3.

Simeoni, Vo, Seitzer, Baldassarre, Oquab, Jose, Khalidov, Szafraniec, Yi, Ramamonjisoa, Massa, Haziza, Wehrstedt, et al., 2025.
https://arxiv.org/abs/2508.10104

The networks of the Hub's facebook/dinov3-vit{s,b,l}16-pretrain-lvd1689m, with rotary positions of the patches and four
registers. All five feature maps have 1/16 of the resolution.
"""

from models.backbones import _plain
from models.layers.vision_transformer import Plain

INITIAL, OUTPUT_STRIDES = _plain.INITIAL, _plain.OUTPUT_STRIDES

OPTIONS = {
    "grid": None,
    "class_position": False,
    "registers": 4,
    "layer_scale": 1e-5,
    "key_bias": False,
    "epsilon": 1e-5,
}
VARIANTS = {
    "dinov3_small": Plain(384, 12, 6, **OPTIONS),
    "dinov3_base": Plain(768, 12, 12, **OPTIONS),
    "dinov3_large": Plain(1024, 24, 16, **OPTIONS),
}

# Our names are timm's; these are the names on the Hub.
RENAMES = (
    (r"(^|(?<!embeddings)\.)cls_token$", r"\1embeddings.cls_token"),
    (r"(^|\.)reg_token$", r"\1embeddings.register_tokens"),
    (r"(^|\.)patch_embed\.proj$", r"\1embeddings.patch_embeddings"),
    (r"(^|\.)blocks\.(\d+)\.(norm|attn|ls|mlp)", r"\1layer.\2.\3"),
    (r"\.attn\.([qkv])$", r".attention.\1_proj"),
    (r"\.attn\.proj$", ".attention.o_proj"),
    (r"\.mlp\.fc1$", ".mlp.up_proj"),
    (r"\.mlp\.fc2$", ".mlp.down_proj"),
    (r"\.ls([12])$", r".layer_scale\1.lambda1"),
)

channels, strides, build, head = _plain.family(VARIANTS)
