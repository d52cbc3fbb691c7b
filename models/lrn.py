"""LRN: Label Refinement Network for Coarse-to-Fine Semantic Segmentation.

Islam, Naha, Rochan, Bruce, Wang, arXiv 2017. https://arxiv.org/abs/1703.00551

The network of github.com/guanfuchen/semseg (lrn.py), whose weights fit; the authors published no code. As in the paper, labels
are trained at every resolution: "aux_0" at 1/32 to "aux_4" at 1/2 and the logits, each with labels of its own size.
"""

import keras

from models import backbones, layers
from models.backbones import vgg

REFERENCE = {
    "params": {"lrn": {12: 20_382_040}},
    "macs": {"lrn": 2_142_754_272},
    "input": (64, 96, 3),
    "source": "guanfuchen/semseg semseg/modelloader/lrn.py, run",
}

AUX_WEIGHTS = {f"aux_{i}": 1.0 for i in range(5)}  # the reference averages the six losses
AUX_RESOLUTION = "output"

RENAMES = ((r"^features\.", "encoder."),)


def build(inputs, num_classes, *, backbone="vgg16"):
    """Down a VGG, `backbone`, and up again: for each pool there is a refinement that doubles the resolution."""
    if backbones.find(backbone)[1] is not vgg:
        raise ValueError(f"Expected a VGG, for its pools' inputs: {', '.join(vgg.VARIANTS)}. Received: {backbone=}.")
    skips = []

    def pool(x):
        skips.append(x)
        return layers.max_pool(x, 2)

    x = backbones.build(backbone, inputs, pool=pool)["c5"]
    x = layers.conv(x, num_classes, 1, "out_conv")
    outputs = {}
    for i, skip in enumerate(reversed(skips)):
        outputs[f"aux_{i}"] = x
        x = refine(x, skip, f"refine_{i + 1}")
    return {"logits": x, **outputs}


def refine(x, skip, name):
    """The refinement unit: concatenates the maps of the classes and the encoder's map, convolves, and doubles the size."""
    classes = x.shape[-1]
    y = layers.conv_norm(skip, skip.shape[-1], 3, f"{name}.conv_M2m", stride=2)
    x = keras.layers.Concatenate()([layers.fit(y, x), x])  # the convolution rounds up, the encoder's pool down
    x = layers.conv(x, classes, 3, f"{name}.conv_R2r")
    return layers.resize(x, like=skip, align_corners=True)
