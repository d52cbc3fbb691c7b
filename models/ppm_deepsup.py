"""PPM with deep supervision: the pyramid pooling of PSPNet, in the form of the authors of ADE20K's benchmark.

Zhou, Zhao, Puig, Xiao, Fidler, Barriuso, Torralba, Semantic Understanding of Scenes through the ADE20K Dataset, IJCV 2018.
https://arxiv.org/abs/1608.05442

The authors' github.com/CSAILVision/semantic-segmentation-pytorch (mit_semseg/models/models.py), whose weights fit. It
differs from models/pspnet.py: any image size, half-pixel resizing, torchvision's dilation, 512 channels for each cell size,
and the auxiliary loss on labels of the output's size. "aux_0" is computed from the features of the fourth stage only to train
them; it is not part of the logits.
"""

import keras

from models import backbones, layers

REFERENCE = {
    "params": {
        "ppm_deepsup": {12: 51_437_528},
        'ppm_deepsup(backbone="resnet101_deep")': {12: 51_437_528 + 18_992_128},  # 17 more blocks in the fourth stage
        'ppm_deepsup(backbone="resnet18_deep")': {},
    },
    "macs": {"ppm_deepsup": 4_366_893_056},
    "input": (64, 96, 3),
    "source": "CSAILVision/semantic-segmentation-pytorch mit_semseg/models/models.py, run",
    "published": "ADE20K val, single and several scales: ResNet-18 38.00, 38.81; 50 41.26, 42.04; 101 42.19, 42.53 "
    "(CSAILVision/semantic-segmentation-pytorch's README)",
    "scores": {
        "ADE20K val": {
            'ppm_deepsup(backbone="resnet18_deep")': 38.0,
            "ppm_deepsup": 41.26,
            'ppm_deepsup(backbone="resnet101_deep")': 42.19,
        },
    },
}

AUX_WEIGHTS = {"aux_0": 0.4}
AUX_RESOLUTION = "output"
LAST_STEP = layers.resize  # the reference's output is an eighth of the image

RENAMES = ((r"^(?!decoder\.)", "encoder."),)  # everything else belongs to the backbone

BINS = (1, 2, 3, 6)
DECODER = layers.kaiming_normal("fan_in", shift=1e-4)


@layers.initial_weights(DECODER)
def build(inputs, num_classes, *, backbone="resnet50_deep"):
    """`backbone` is a spec of `models.backbones` that can stay at 1/8 of the resolution."""
    features = backbones.build(backbone, inputs, output_stride=8)
    x = pyramid_pooling(features["c5"])
    x = layers.conv_norm(x, 512, 3, "decoder.conv_last")
    x = layers.conv(layers.spatial_dropout(x, 0.1), num_classes, 1, "decoder.conv_last.4")
    y = layers.conv_norm(features["c4"], features["c5"].shape[-1] // 4, 3, "decoder.cbr_deepsup")
    y = layers.conv(layers.spatial_dropout(y, 0.1), num_classes, 1, "decoder.conv_last_deepsup")
    return {"logits": x, "aux_0": y}


def pyramid_pooling(x):
    """The means of 1, 4, 9 and 36 cells, each made 512 channels, beside x: [B, H, W, C] -> [B, H, W, C + 2048]."""
    maps = [x]
    for i, bins in enumerate(BINS):
        y = layers.adaptive_average_pool(x, bins)
        y = layers.conv_norm(y, 512, 1, f"decoder.ppm.{i}", (1, 2))
        maps.append(layers.resize(y, like=x))
    return keras.layers.Concatenate()(maps)
