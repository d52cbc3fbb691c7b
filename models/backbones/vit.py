"""ViT: An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale.

Dosovitskiy, Beyer, Kolesnikov, Weissenborn, Zhai, Unterthiner, Dehghani, Minderer, Heigold, Gelly, Uszkoreit, Houlsby,
ICLR 2021. https://arxiv.org/abs/2010.11929

timm's form (vision_transformer.py, vit_*_patch16_224), whose weights fit. Its table of 14x14 positions is resized to the grid
of the image. All five feature maps have 1/16 of the resolution.
"""

from models.backbones import _plain
from models.layers.vision_transformer import Plain

INITIAL, OUTPUT_STRIDES = _plain.INITIAL, _plain.OUTPUT_STRIDES
NORMALIZATION = "affine(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))"

VARIANTS = {
    "vit_small_patch16": Plain(384, 12, 6, antialias=True, fused=True),
    "vit_base_patch16": Plain(768, 12, 12, antialias=True, fused=True),
    "vit_large_patch16": Plain(1024, 24, 16, antialias=True, fused=True),
}

# Table 1 of the paper says 86M and 307M; with the classifier it is as timm counts.
REFERENCE = {
    "vit_small_patch16": {"params": {1000: 22_050_664}},
    "vit_base_patch16": {"params": {1000: 86_567_656}},
    "vit_large_patch16": {"params": {1000: 304_326_632}},
}

channels, strides, build, head = _plain.family(VARIANTS)
