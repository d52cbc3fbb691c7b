"""SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation.

Badrinarayanan, Kendall, Cipolla, IEEE Transactions on Pattern Analysis and Machine Intelligence 39(12), 2017.
https://arxiv.org/abs/1511.00561

The network of pytorchcv (github.com/osmr/pytorchcv), whose weights fit. It is like the paper's, but sizes are multiples of 32,
while the authors' Caffe nets round up at every pool.

With `dropout` it is Bayesian SegNet, and --monte_carlo gives its uncertainty. Kendall, Badrinarayanan, Cipolla, British Machine
Vision Conference 2017, https://arxiv.org/abs/1511.02680. Dropout of single values comes after the three deepest pools and the
three deepest stages of the decoder. The paper found this place best, and the authors' net for CamVid has it
(alexgkendall/SegNet-Tutorial, Models/bayesian_segnet_train.prototxt).
"""

from models import backbones, layers
from models.backbones import vgg

REFERENCE = {
    "params": {"segnet": {12: 29_449_932, 19: 29_453_971}, 'segnet(backbone="vgg19")': {}},
    "macs": {"segnet": 3_790_209_024},
    "input": (64, 96, 3),
    "source": "osmr/pytorchcv pytorchcv/models/segnet.py, run",
    "published": "Cityscapes test 56.1, CamVid test 55.6 (sacmehta/ESPNet's README); with dropout CamVid test 63.1 (its paper)",
    "scores": {
        "Cityscapes test": {"segnet": 56.1},
        "CamVid test": {"segnet": 55.6},
    },
}

INITIAL = layers.kaiming_uniform("fan_in", bias=0.0)  # pytorchcv's; the authors' is normal with the same deviation

SIZE_MULTIPLE = 32  # the reference refuses others: its unpooling gives twice the rounded-down half

DROPPED = 3  # dropout follows so many of the deepest stages, in the encoder and in the decoder


@layers.initial_weights(INITIAL)
def build(inputs, num_classes, *, backbone="vgg16", dropout=0.0):
    """Figure 2. `backbone` is a VGG, built with its batch norm; `dropout` is the rate of Bayesian SegNet, 0.5 in its paper."""
    pools = []
    counts = _convolutions(backbone_of(backbone=backbone))

    def pool(x):
        pooled, indices = layers.max_pool_with_indices(x)
        pools.append((indices, x))
        return layers.dropout(pooled, dropout) if len(pools) > len(counts) - DROPPED else pooled

    x = backbones.build(backbone_of(backbone=backbone), inputs, pool=pool, initial=INITIAL)["c5"]

    # The decoder: every maximum at its place in the encoder, then the stage's convolutions; the last one has fewer channels.
    stages = list(zip(counts, pools, strict=True))
    for stage, (convolutions, (indices, before)) in enumerate(reversed(stages), start=1):
        x = layers.max_unpool(x, indices, before)
        narrower = before.shape[-1] if stage == len(stages) else stages[-stage - 1][1][1].shape[-1]
        for unit in range(2, convolutions + 2):  # unit1 is the unpooling
            last = unit == convolutions + 1
            if last and stage == len(stages):  # of the whole network
                return {"logits": layers.conv(x, num_classes, 3, "head")}
            filters, name = narrower if last else before.shape[-1], f"up_stage{stage}.unit{unit}"
            x = layers.conv_norm(x, filters, 3, name, ("conv", "bn"), bias=True)
        if stage <= DROPPED:
            x = layers.dropout(x, dropout)


def backbone_of(*, backbone="vgg16", dropout=0.0):
    """The spec of the backbone, with batch norm."""
    known = [name for name in vgg.VARIANTS if not name.endswith("_bn")]
    if backbone.removesuffix("_bn") not in known:
        raise ValueError(f"Expected a VGG, for its pools' indices: {', '.join(known)}. Received: {backbone=}.")
    return f"{backbone.removesuffix('_bn')}_bn"


def renames(*, backbone="vgg16", dropout=0.0):
    """torchvision numbers all modules of a VGG in one sequence, the reference by stage and unit."""
    pairs = []
    for stage, unit, index in vgg.numbered(backbone_of(backbone=backbone)):
        pairs.append((rf"^features\.{index}$", f"down_stage{stage}.unit{unit}.conv"))
        pairs.append((rf"^features\.{index + 1}$", f"down_stage{stage}.unit{unit}.bn"))
    return pairs


def _convolutions(backbone):
    """Of each stage."""
    return vgg.VARIANTS[backbone][0]
