"""Fast-SCNN: Fast Semantic Segmentation Network.

Poudel, Liwicki, Cipolla, BMVC 2019. https://arxiv.org/abs/1902.04502

The authors' code is not published. Two ports, whose weights fit, differ:

- "tramac", github.com/Tramac/Fast-SCNN-pytorch: no padding in the first convolution, resizing with align_corners, biases before
  the fusion's norms. It refuses sizes that are no multiple of 32.
- "mmseg", open-mmlab/mmsegmentation: padding everywhere, resizing on the half-pixel grid, a 3x3 after the pyramid, no ReLU
  within a separable convolution.
"""

import keras

from models import layers

REFERENCE = {
    "params": {
        "fast_scnn": {12: 1_137_148},
        "fast_scnn(auxiliary=True)": {12: 1_156_040},
        'fast_scnn(source="mmseg")': {12: 1_399_036},
        'fast_scnn(source="mmseg", auxiliary=True)': {12: 1_455_252},
    },
    "macs": {"fast_scnn": 19_707_104, 'fast_scnn(source="mmseg")': 21_348_224},
    "input": (64, 96, 3),
    "source": "Tramac/Fast-SCNN-pytorch models/fast_scnn.py and mmsegmentation backbones/fast_scnn.py, run",
    "published": "Cityscapes val: 54.84 (Tramac's README), 70.96 (mmsegmentation); 68.6 (paper)",
    "scores": {
        "Cityscapes val": {"fast_scnn": 54.84, 'fast_scnn(source="mmseg")': 70.96},
    },
}

SOURCES = ("tramac", "mmseg")
# The widths, repetitions and strides of the bottlenecks, and the cells of the pyramid.
BOTTLENECKS = ((64, 3, 2), (96, 3, 2), (128, 3, 1))
EXPANSION = 6
BINS = (1, 2, 3, 6)

AUX_WEIGHTS = {"aux_0": 0.4, "aux_1": 0.4}  # if the heads are built

# mmsegmentation's; Tramac keeps PyTorch's.
INITIAL = {"tramac": layers.torch_default, "mmseg": layers.mmcv}
HEAD = {"tramac": layers.torch_default, "mmseg": layers.mmseg_classes}


def build(inputs, num_classes, *, source="tramac", auxiliary=False):
    """Figure 1 and table 1. `source` is "tramac" or "mmseg".

    `auxiliary` adds the heads that only training needs, on the maps before the fusion: Tramac has one, on the details.
    """
    if source not in SOURCES:
        raise ValueError(f"Expected source: {', '.join(SOURCES)}. Received: {source=}.")
    tramac = source == "tramac"
    with layers.initial_weights(INITIAL[source]):
        image = layers.pad_to_multiple(inputs, 32) if tramac else inputs
        detail = learning_to_downsample(image, tramac)
        context = global_features(detail, 1 if tramac else 3, align_corners=tramac)
        x = feature_fusion(detail, context, tramac)
        x = separable(x, 128, "classifier.dsconv1", tramac)
        x = layers.dropout(separable(x, 128, "classifier.dsconv2", tramac), 0.1)
        x = layers.conv(x, num_classes, 1, "classifier.conv.1", initial=HEAD[source])
        if tramac:
            x = layers.fit(layers.resize(x, like=image, align_corners=True), inputs)
        outputs = {"logits": x}
        if auxiliary:
            maps = (detail,) if tramac else (context, detail)
            for i, y in enumerate(maps):
                y = auxiliary_head(y, num_classes, f"auxlayer{i}", HEAD[source])
                outputs[f"aux_{i}"] = (
                    layers.fit(layers.resize(y, like=image, align_corners=True), inputs) if tramac else y
                )
        return outputs


def last_step(*, source="tramac", auxiliary=False):
    """mmsegmentation's own output is an eighth of the image."""
    return None if source == "tramac" else layers.resize


def learning_to_downsample(x, tramac):
    """A 3x3 and two separable ones, each with stride: to 1/8 of the resolution."""
    padding = 0 if tramac else 1
    x = layers.conv_norm(x, 32, 3, "learning_to_downsample.conv.conv", stride=2, padding=padding)
    x = separable(x, 48, "learning_to_downsample.dsconv1", tramac, stride=2)
    return separable(x, 64, "learning_to_downsample.dsconv2", tramac, stride=2)


def separable(x, filters, name, tramac, stride=1):
    """A depthwise 3x3 and a 1x1, each with batch norm; a ReLU after the 1x1, and Tramac's also before it."""
    x = layers.depthwise_conv_norm(x, 3, f"{name}.conv", activation=layers.relu if tramac else None, stride=stride)
    return layers.conv_norm(x, filters, 1, f"{name}.conv", (3, 4))


def global_features(x, kernel, align_corners):
    """Bottlenecks to 1/32, and a pyramid of means."""
    for i, (filters, depth, stride) in enumerate(BOTTLENECKS, start=1):
        for j in range(depth):
            x = bottleneck(x, filters, f"global_feature_extractor.bottleneck{i}.{j}.block", 1 if j else stride)
    maps = [x]
    for i, bins in enumerate(BINS, start=1):
        y = layers.conv_norm(layers.adaptive_average_pool(x, bins), 32, 1, f"global_feature_extractor.ppm.conv{i}.conv")
        maps.append(layers.resize(y, like=x, align_corners=align_corners))
    return layers.conv_norm(keras.layers.Concatenate()(maps), 128, kernel, "global_feature_extractor.ppm.out.conv")


def bottleneck(x, filters, name, stride):
    """Table 2, MobileNetV2's: to six times the channels, a depthwise 3x3, a linear 1x1."""
    y = layers.conv_norm(x, EXPANSION * x.shape[-1], 1, f"{name}.0.conv")
    y = layers.depthwise_conv_norm(y, 3, f"{name}.1.conv", stride=stride)
    y = layers.conv_norm(y, filters, 1, name, (2, 3), activation=None)
    return keras.layers.Add()([x, y]) if stride == 1 and x.shape[-1] == filters else y


def feature_fusion(detail, context, tramac):
    """Table 3: the context at the details' size through a depthwise 3x3, a 1x1 of either, their sum."""
    x = layers.resize(context, like=detail, align_corners=tramac)
    x = layers.depthwise_conv_norm(x, 3, "feature_fusion.dwconv.conv")
    x = layers.conv_norm(x, 128, 1, "feature_fusion.conv_lower_res", activation=None, bias=tramac)
    y = layers.conv_norm(detail, 128, 1, "feature_fusion.conv_higher_res", activation=None, bias=tramac)
    return layers.relu(keras.layers.Add()([y, x]))


def auxiliary_head(x, num_classes, name, initial):
    """3x3, 1x1 to the classes."""
    x = layers.dropout(layers.conv_norm(x, 32, 3, name), 0.1)
    return layers.conv(x, num_classes, 1, f"{name}.4", initial=initial)


def renames(*, source="tramac", auxiliary=False):
    """Our layers are called as Tramac's modules, which has one auxiliary head."""
    return MMSEG if source == "mmseg" else ((r"^auxlayer0\.", "auxlayer."),)


DEPTHWISE, POINTWISE = "depthwise_conv", "pointwise_conv"
STEPS = (("0", "conv"), ("1", "bn"))  # what the two call a convolution and its norm
MMSEG = (
    *((rf"^(.*\.dsconv\d)\.conv\.{i}$", rf"\1.{DEPTHWISE}.{name}") for i, name in STEPS),
    *((rf"^(.*\.dsconv\d)\.conv\.{int(i) + 3}$", rf"\1.{POINTWISE}.{name}") for i, name in STEPS),
    (r"^classifier\.dsconv1\.", "decode_head.convs.0."),
    (r"^classifier\.dsconv2\.", "decode_head.convs.1."),
    (r"^classifier\.conv\.1$", "decode_head.conv_seg"),
    (r"\.block\.([01])\.conv\.0$", r".conv.\1.conv"),
    (r"\.block\.([01])\.conv\.1$", r".conv.\1.bn"),
    (r"\.block\.2$", ".conv.2.conv"),
    (r"\.block\.3$", ".conv.2.bn"),
    (r"\.ppm\.out\.", ".out."),
    *((rf"\.ppm\.conv{i + 1}\.", f".ppm.{i}.1.") for i in range(len(BINS))),
    *((rf"^(.*\.(?:ppm\.\d\.1|out))\.conv\.{i}$", rf"\1.{name}") for i, name in STEPS),
    *((rf"^(learning_to_downsample\.conv)\.conv\.{i}$", rf"\1.{name}") for i, name in STEPS),
    *((rf"^(feature_fusion\.dwconv)\.conv\.{i}$", rf"\1.{name}") for i, name in STEPS),
    *((rf"^(feature_fusion\.conv_\w+)\.{i}$", rf"\1.{name}") for i, name in STEPS),
    (r"^(learning_to_downsample|global_feature_extractor|feature_fusion)\.", r"backbone.\1."),
    *((rf"^auxlayer(\d)\.{i}$", rf"auxiliary_head.\1.convs.0.{name}") for i, name in STEPS),
    (r"^auxlayer(\d)\.4$", r"auxiliary_head.\1.conv_seg"),
)
