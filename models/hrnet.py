"""HRNet and OCRNet: Deep High-Resolution Representation Learning for Visual Recognition; Object-Contextual Representations.

Wang, Sun, Cheng, Jiang, Deng, Zhao, Liu, Mu, Tan, Wang, Liu, Xiao, TPAMI 2020. https://arxiv.org/abs/1908.07919
Yuan, Chen, Wang, ECCV 2020. https://arxiv.org/abs/1909.11065

The authors' github.com/HRNet/HRNet-Semantic-Segmentation, whose weights fit. The keys of its OCR networks begin with "model.".
Its branch pytorch-v1.1, which has the small network, resizes on the half-pixel grid, its branch HRNet-OCR with align_corners.
OpenMMLab's mmsegmentation, which publishes an OCR network of width 18, has a third form: on the half-pixel grid, between
branches by whole factors first, and without biases before batch norms.
"""

import dataclasses
import re

import keras
from keras import ops

import tfseg.spec as specs
from models import backbones, layers

REFERENCE = {
    "params": {
        "hrnet": {12: 3_937_682},
        'hrnet(head="ocr")': {},
        "hrnet(width=48)": {12: 65_854_332},
        'hrnet(width=48, head="ocr")': {12: 70_364_040},
    },
    "macs": {"hrnet": 224_441_000, 'hrnet(width=48, head="ocr")': 3_800_230_000},
    "input": (64, 96, 3),
    "source": "HRNet/HRNet-Semantic-Segmentation lib/models/seg_hrnet.py, seg_hrnet_ocr.py, run",
    "published": "Cityscapes val: W18-small-v2 76.2, W48 80.9, W48 with OCR 81.6 (the authors' README), W18 with OCR 79.47 "
    "(mmsegmentation); ADE20K val: W48 43.1, with OCR 44.5 (the authors' README)",
    "scores": {
        "Cityscapes val": {
            "hrnet": 76.2,
            'hrnet(width=18, head="ocr", source="mmseg")': 79.47,
            "hrnet(width=48)": 80.9,
            'hrnet(width=48, head="ocr")': 81.6,
        },
        "ADE20K val": {"hrnet(width=48)": 43.1, 'hrnet(width=48, head="ocr")': 44.5},
    },
}

AUX_WEIGHTS = {"aux_0": 0.4}
FULL_SIZE = ("logits", "aux_0")

OCR_CHANNELS, KEYS = 512, 256  # of the OCR head; with the latter it compares pixels and regions


@dataclasses.dataclass(frozen=True)
class Form:
    """What differs between the repositories."""

    align_corners: bool
    momentum: float  # of the batch norms
    bias: bool  # of the head's convolutions before batch norms
    initial: layers.Rule
    ocr: layers.Rule  # the initial weights of the OCR head
    classes: layers.Rule | None = None  # of the last layers, where they have a rule of their own


_AUTHORS = Form(True, 0.9, True, layers.normal(0.001), layers.torch_default)
FORMS = {
    "authors": _AUTHORS,
    "authors' small network": dataclasses.replace(_AUTHORS, align_corners=False, momentum=0.99),
    "mmseg": Form(False, 0.9, False, layers.mmcv, layers.mmcv, layers.mmseg_classes),
}

_HEAD = {"0": "convs.0.conv", "1": "convs.0.bn", "3": "conv_seg"}
_CONVOLUTION = {"0": "conv", "1": "bn", "1.0": "bn"}
_PROJECTION = {"0": "0.conv", "1.0": "0.bn", "2": "1.conv", "3.0": "1.bn"}
_OBJECTS, _MMSEG_OBJECTS = "ocr_distri_head.object_context_block", "decode_head.1.object_context_block"
# The authors' names and mmsegmentation's, where OCR is a cascade of two heads.
_MMSEG_NAMES = (
    ("last_layer", "decode_head", _HEAD),
    ("aux_head", "decode_head.0", _HEAD),
    ("conv3x3_ocr", "decode_head.1.bottleneck", _CONVOLUTION),
    (f"{_OBJECTS}.f_pixel", f"{_MMSEG_OBJECTS}.query_project", _PROJECTION),
    (f"{_OBJECTS}.f_object", f"{_MMSEG_OBJECTS}.key_project", _PROJECTION),
    (f"{_OBJECTS}.f_down", f"{_MMSEG_OBJECTS}.value_project", _CONVOLUTION),
    (f"{_OBJECTS}.f_up", f"{_MMSEG_OBJECTS}.out_project", _CONVOLUTION),
    ("ocr_distri_head.conv_bn_dropout", f"{_MMSEG_OBJECTS}.bottleneck", _CONVOLUTION),
)


def build(inputs, num_classes, *, variant="w18_small_v2", width=None, head="concat", source="authors"):
    """Figure 4b of HRNet: the maps of all resolutions side by side, and a head on them.

    Args:
        inputs: [B, H, W, 3].
        num_classes: channels of the logits.
        variant: "w18_small_v2", or "w18", "w32" or "w48".
        width: 18, 32 or 48, instead of one of the last three variants.
        head: "concat", two 1x1, or "ocr", whose output "aux_0" says which pixels belong to the region of a class.
        source: "authors" or "mmseg", whose form of the network it is.

    Returns:
        {"logits": [B, H / 4, W / 4, num_classes], with the OCR head also "aux_0" of the same shape}, rounded up.
    """
    of_head = specs.choose({"concat": concat_head, "ocr": ocr_head}, head, "a head of HRNet")
    form = _form(variant, width, source)

    def upsample(x, factor, like):
        x = layers.resize(x, scale=factor) if source == "mmseg" else x
        return layers.resize(x, like=like, align_corners=form.align_corners)

    backbone = backbone_of(variant=variant, width=width)
    options = {"upsample": upsample, "momentum": form.momentum}
    features = backbones.build(backbone, inputs, initial=form.initial, **options)
    x, *lower = (features[level] for level in ("c2", "c3", "c4", "c5"))
    maps = [x, *(layers.resize(y, like=x, align_corners=form.align_corners) for y in lower)]
    return of_head(keras.layers.Concatenate()(maps), num_classes, form)


def backbone_of(*, variant="w18_small_v2", width=None, head="concat", source="authors"):
    """The name of the backbone."""
    if width is not None:
        variant = f"w{width}"
    known = sorted(name for name in backbones.names() if name.startswith("hrnet_"))
    if f"hrnet_{variant}" not in known:
        widths = ", ".join(name.removeprefix("hrnet_") for name in known)
        raise ValueError(f"Expected variant: {widths}, or width: the number of one. Received: {variant=}, {width=}.")
    return f"hrnet_{variant}"


def last_step(*, variant="w18_small_v2", width=None, head="concat", source="authors"):
    """The reference's output is a quarter of the image; it is resized as the maps are."""
    align_corners = _form(variant, width, source).align_corners
    return lambda x, image: layers.resize(x, like=image, align_corners=align_corners)


def renames(*, variant="w18_small_v2", width=None, head="concat", source="authors"):
    """From the authors' names to mmsegmentation's."""
    if source != "mmseg":
        return ()
    heads = [
        (f"^{re.escape(f'{ours}.{entry}')}$", f"{theirs}.{name}")
        for ours, theirs, entries in _MMSEG_NAMES
        for entry, name in entries.items()
    ]
    return (*heads, ("^cls_head$", "decode_head.1.conv_seg"), (r"^(?!decode_head\.)", "backbone."))


def _form(variant, width, source):
    if source not in ("authors", "mmseg"):
        raise ValueError(f"Expected source 'authors' or 'mmseg'. Received: {source=}.")
    small = source == "authors" and width is None and "small" in str(variant)
    return FORMS["authors' small network" if small else source]


def concat_head(x, num_classes, form, name="last_layer"):
    """Two 1x1: [B, H, W, C] -> {"logits": [B, H, W, num_classes]}."""
    with layers.initial_weights(form.initial):
        return {"logits": two_convolutions(x, num_classes, name, form, form.momentum)}


def two_convolutions(x, num_classes, name, form, momentum=0.9):
    """A 1x1 that keeps the channels, with batch norm and ReLU, and a 1x1 to the classes."""
    x = layers.conv_norm(x, x.shape[-1], 1, name, bias=form.bias, momentum=momentum)
    return layers.conv(x, num_classes, 1, f"{name}.3", initial=form.classes)


def ocr_head(x, num_classes, form):
    """Figure 3 of OCRNet: a first prediction gives every class its region, and every pixel takes from the regions like it.

    [B, H, W, C] -> {"logits" and "aux_0": [B, H, W, num_classes]}.
    """
    with layers.initial_weights(form.ocr):
        regions = two_convolutions(x, num_classes, "aux_head", form)
        x = layers.conv_norm(x, OCR_CHANNELS, 3, "conv3x3_ocr", bias=form.bias)
        objects = keras.layers.Reshape((num_classes, 1, OCR_CHANNELS))(ObjectRegions()([x, regions]))
        x = keras.layers.Concatenate()([object_attention(x, objects), x])
        x = layers.conv_norm(x, OCR_CHANNELS, 1, "ocr_distri_head.conv_bn_dropout", (0, "1.0"))
        if form is not FORMS["mmseg"]:
            x = layers.spatial_dropout(x, 0.05)
        return {"logits": layers.conv(x, num_classes, 1, "cls_head", initial=form.classes), "aux_0": regions}


def object_attention(x, objects):
    """Equation 4 and 5: what the pixels x [B, H, W, C] take from the representations of the regions [B, K, 1, C]."""

    def project(y, name, filters, *entries):
        for first, second in entries:
            y = layers.conv_norm(y, filters, 1, f"{_OBJECTS}.{name}", (first, second))
        return y

    twice, once = ((0, "1.0"), (2, "3.0")), ((0, "1.0"),)
    of_pixels = project(x, "f_pixel", KEYS, *twice)
    of_regions = project(objects, "f_object", KEYS, *twice)
    values = project(objects, "f_down", KEYS, *once)
    y = layers.attention(*(keras.layers.Reshape((-1, KEYS))(z) for z in (of_pixels, of_regions, values)))
    return project(layers.as_map(y, like=x), "f_up", OCR_CHANNELS, *once)


@keras.saving.register_keras_serializable(package="tfseg")
class ObjectRegions(keras.layers.Layer):
    """[features [B, H, W, C], logits [B, H, W, K]] -> [B, K, C]: equation 2, a mean of all pixels for every class.

    A pixel weighs as much as the softmax of the class's logits over the pixels says.
    """

    def call(self, inputs):
        """The means; the softmax is computed in float32."""
        x, logits = (ops.reshape(y, (ops.shape(y)[0], -1, y.shape[-1])) for y in inputs)
        weights = ops.cast(ops.softmax(ops.cast(logits, "float32"), axis=1), x.dtype)
        return ops.matmul(ops.transpose(weights, (0, 2, 1)), x)

    def multiply_accumulates(self):
        """Of one image: one for every pixel, class and channel."""
        (_, h, w, channels), (*_, classes) = (x.shape for x in self.input)
        return h * w * classes * channels

    def compute_output_spec(self, inputs):
        """As above."""
        x, logits = inputs
        return keras.KerasTensor((x.shape[0], logits.shape[-1], x.shape[-1]), self.compute_dtype)
