"""LC: Not All Pixels Are Equal: Difficulty-Aware Semantic Segmentation via Deep Layer Cascade.

Li, Liu, Luo, Loy, Tang, CVPR 2017. https://arxiv.org/abs/1704.01344

Inception-ResNet-v2 without the stride of its two reductions, so that its three stages share 1/8 of the resolution; each ends
with a small classifier. A cell leaves at the first stage that gives it a class with a probability above rho and keeps that
stage's scores; later stages compute what is left by region convolution (models/layers/region.py), which reads 0 elsewhere.

The authors published their region convolution (github.com/liuziwei7/region-conv) and no network. So these are ours: that the
stages end behind reduction A, behind reduction B and with the backbone, the width of the classifiers, and padding everywhere,
where the backbone has none. Every convolution of later stages that reads neighbours follows a 1x1 of its own stage: the
region convolution that reads the full map, the authors' first after an exit, has no place here.

Trained with the sum of the losses of "logits", "aux_0" and "aux_1". Behind its exit a stage has no gradient from the cells that
left, so stage k learns from the cells that reached it, and from nothing else; the loss of the others is counted with it.
`stages` and `shares` say who decides.
"""

import functools

import keras
from keras import ops

from models import layers
from models.backbones import inception_resnet_v2 as backbone

# By hand: the backbone without its 1536 * 1000 + 1000 of the linear layer; of every stage's classifier a 3x3 to 256 channels,
# from 384 + 384 + 320 = 1088, 384 + 288 + 320 + 1088 = 2080 and 1536, scale and shift of 256, and 256 + 1 for every class.
FEATURES = 55_813_192 - 1_537_000 + 9 * 256 * (1088 + 2080 + 1536) + 3 * 2 * 256
REFERENCE = {
    "params": {"layer_cascade": {11: FEATURES + 3 * 257 * 11, 21: FEATURES + 3 * 257 * 21}},
    "source": "the paper and keras.applications.InceptionResNetV2, counted by hand",
    "published": "VOC 2012 test 82.7 with COCO (the paper)",
    "scores": {
        "VOC test": {"layer_cascade": 82.7},
    },
}

AUX_WEIGHTS = {"aux_0": 1.0, "aux_1": 1.0}  # the paper's loss is the sum
FULL_SIZE = ("logits", "aux_0", "aux_1")
LAST_STEP = layers.fit  # what is enlarged has the size of the image rounded up

HEAD = 256  # channels of the classifiers


def build(inputs, num_classes, *, rho=(0.985, 0.95), width=1.0):
    """Figure 2.

    Args:
      rho: the probabilities, 0..1, above which a cell leaves at the first and at the second stage. With 1 none leaves.
      width: factor of all channels; published weights need 1.
    """
    if not isinstance(rho, (tuple, list)) or len(rho) != 2 or not all(0 <= r <= 1 for r in rho):
        raise ValueError(f"Expected rho as two probabilities in 0..1, of the first two stages. Received: {rho=}.")
    if not 0 < width <= 1:
        raise ValueError(f"Expected width above 0 and up to 1. Received: {width=}.")
    names = backbone.names()
    step = functools.partial(convolution, names=names, width=width)
    with layers.initial_weights(backbone.INITIAL):
        x = backbone.stem(inputs, step, padded=True)["c3"]
        x = backbone.reduce(x, backbone.REDUCTION_A, step, 1, 1, padded=True)
        first = classifier(x, num_classes, 1, width)

        left = Exit(rho[0], name="exit_1")(first)
        step = functools.partial(step, region=left)
        x = backbone.blocks_17(x, step, 2)
        x = backbone.reduce(layers.inside(x, left), backbone.REDUCTION_B, step, 1, 2, padded=True)
        second = Chosen(name="stage_2")([left, classifier(x, num_classes, 2, width, left), first])

        left = Exit(rho[1], name="exit_2")([second, left])
        step = functools.partial(step, region=left)
        x = backbone.blocks_8(x, step, 4)
        x = convolution(x, 1536, 1, iter([("conv_7b", "conv_7b_bn")]), width, left)
        third = Chosen(name="stage_3")([left, classifier(x, num_classes, 3, width, left), second])
    # Scores are enlarged, not decisions: rho is a probability of a cell.
    outputs = {"logits": third, "aux_0": first, "aux_1": second}
    return {name: layers.resize(scores, scale=8) for name, scores in outputs.items()}


def backbone_of(*, rho=(0.985, 0.95), width=1.0):
    """The spec of the backbone."""
    return "inception_resnet_v2"


def stages(model):
    """The stage that decides each cell of 8 x 8 pixels: a keras.Model with the inputs of `model`, a network of this file.

    Its output is int32 [batch, height / 8, width / 8], rounded up: 1, 2 or 3.
    """
    reached = [model.get_layer(f"exit_{stage}").output for stage in (1, 2)]
    return keras.Model(model.input, ops.cast(1 + reached[0] + reached[1], "int32")[..., 0])


def shares(model, images):
    """The shares of the cells of all images that each of the three stages decides: a list of floats, whose sum is 1.

    Args:
      model: a network of this file.
      images: pixels [batch, height, width, 3], 0..255.
    """
    decided = ops.convert_to_numpy(stages(model)(images))
    return [float((decided == stage).mean()) for stage in (1, 2, 3)]


def convolution(x, filters, kernel, names, width, region=None, **options):
    """A convolution, batch norm and ReLU with the next names, in a region where there is one."""
    filters = max(1, round(filters * width))
    return layers.region_conv_norm(x, region, filters, kernel, next(names), **backbone.NORM, **options)


def classifier(x, num_classes, stage, width, region=None):
    """Two convolutions: 3x3, and 1x1 to the classes."""
    names = f"stage{stage}.0", f"stage{stage}.1"
    x = layers.region_conv_norm(x, region, max(1, round(HEAD * width)), 3, names)
    return layers.conv(x, num_classes, 1, f"stage{stage}.3", initial=layers.normal(0.01, bias=0.0))


@keras.saving.register_keras_serializable(package="tfseg")
class Exit(keras.layers.Layer):
    """Scores [B, H, W, C], or [scores, reached] -> which of the cells that reached a stage are left: no class above rho.

    Regions are float32 [B, H, W, 1] of 0 and 1; no gradient passes.
    """

    def __init__(self, rho, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.rho = rho

    def call(self, inputs):
        """The region that goes on."""
        scores, *reached = inputs if isinstance(inputs, (list, tuple)) else (inputs,)
        largest = ops.max(ops.softmax(ops.cast(ops.stop_gradient(scores), "float32")), axis=-1, keepdims=True)
        left = ops.cast(largest <= self.rho, "float32")
        return left * reached[0] if reached else left

    def compute_output_spec(self, inputs):
        """One channel."""
        scores = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        return keras.KerasTensor((*scores.shape[:-1], 1), "float32")

    def get_config(self):
        """With rho."""
        return {**super().get_config(), "rho": self.rho}


@keras.saving.register_keras_serializable(package="tfseg")
class Chosen(keras.layers.Layer):
    """[region, new, old] scores -> the new ones in the region, elsewhere the old ones, without a gradient."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        """The scores of the stage that decides."""
        region, new, old = inputs
        return ops.where(region > 0, new, ops.stop_gradient(old))

    def compute_output_spec(self, inputs):
        """The scores' shape."""
        return keras.KerasTensor(inputs[1].shape, inputs[1].dtype)
