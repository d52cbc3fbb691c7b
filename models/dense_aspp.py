"""DenseASPP for Semantic Segmentation in Street Scenes.

Yang, Yu, Zhang, Li, Yang, CVPR 2018. https://openaccess.thecvf.com/content_cvpr_2018/html/Yang_DenseASPP_for_Semantic_CVPR_2018_paper.html

The authors' github.com/DeepMotionAIResearch/DenseASPP (models/DenseASPP.py), whose weights fit. A fourth transition halves
the channels of DenseNet's last block. One number differs: there the batch norms of the pyramid have a momentum of 0.0003, so
that after 80 epochs on CamVid a third of their first statistics would remain. Ours have PyTorch's default.
"""

import keras

import tfseg.spec as specs
from models import backbones, layers

REFERENCE = {
    "params": {
        "dense_aspp": {12: 8_275_020, 19: 8_280_851},
        'dense_aspp(backbone="densenet161")': {12: 35_383_212, 19: 35_395_427},
        'dense_aspp(backbone="densenet169")': {12: 18_408_964},
        'dense_aspp(backbone="densenet201")': {12: 28_624_860},
        "dense_aspp(output_stride=16)": {},
    },
    "macs": {"dense_aspp": 904_077_312, 'dense_aspp(backbone="densenet161")': 3_630_114_816},
    "input": (64, 96, 3),
    "source": "DeepMotionAIResearch/DenseASPP models/DenseASPP.py, run; 169 and 201 counted by hand from cfgs/",
    "published": "Cityscapes val, DenseNet-161: 79.9, several scales 80.6 (the repository's README); test 80.6 (the paper)",
    "scores": {
        "Cityscapes val": {'dense_aspp(backbone="densenet161")': 79.9},
    },
}

LAST_STEP = (
    layers.resize
)  # the reference's output is 8 times an eighth of the image, and two pools have rounded that eighth down

RENAMES = (
    (r"(denselayer\d+\.(?:norm|conv))", r"\1_"),
    # Torchvision's last norm has the channels and the place of the norm of the fourth transition, so published weights fit.
    (r"^features\.norm5$", "features.transition4.norm"),
    (r"^features\.norm6$", "features.norm5"),
)

# Of each backbone: channels of a branch's 1x1 and of its result.
WIDTHS = {"densenet121": (128, 64), "densenet161": (512, 128), "densenet169": (336, 168), "densenet201": (480, 240)}
RATES = (3, 6, 12, 18, 24)


@layers.initial_weights(layers.kaiming_uniform("fan_in"))
def build(inputs, num_classes, *, backbone="densenet121", output_stride=8):
    """Figure 3. `backbone` is a DenseNet; `output_stride` 8 or 16 is where its resolution stops falling."""
    widths = specs.choose(WIDTHS, backbone, "a backbone of DenseASPP")
    if output_stride not in (8, 16):
        raise ValueError(f"Expected output_stride 8 or 16. Received: {output_stride=}.")
    x = backbones.build(backbone, inputs, output_stride, initial=layers.kaiming_uniform("fan_in"))["c5"]
    x = layers.conv(x, x.shape[-1] // 2, 1, "features.transition4.conv", bias=False)
    x = layers.batch_norm(x, "features.norm6")
    if output_stride == 16:
        x = layers.resize(x, scale=2)
    x = dense_pyramid(layers.relu(x), *widths)
    x = layers.conv(layers.spatial_dropout(x, 0.1), num_classes, 1, "classification.1")
    return {"logits": layers.resize(x, scale=8)}


def dense_pyramid(x, bottleneck, growth):
    """Five dilated 3x3; each also takes the results of those before it: [B, H, W, C] -> [B, H, W, C + 5 * growth]."""
    for rate in RATES:
        name, y = f"ASPP_{rate}", x
        if rate > RATES[0]:  # at first x comes from a batch norm and ReLU; later a branch is concatenated to it
            y = layers.relu(layers.batch_norm(y, f"{name}.norm_1"))
        y = layers.conv_norm(y, bottleneck, 1, name, ("conv_1", "norm_2"), bias=True)
        y = layers.conv(y, growth, 3, f"{name}.conv_2", dilation=rate)
        x = keras.layers.Concatenate()([layers.spatial_dropout(y, 0.1), x])
    return x
