"""RTSeg: Real-time Semantic Segmentation Comparative Study, and ShuffleSeg: Real-time Semantic Segmentation Network.

Siam, Gamal, Abdel-Razek, Yogamani, Jagersand, ICIP 2018. https://arxiv.org/abs/1803.02758
Gamal, Siam, Abdel-Razek, 2018. https://arxiv.org/abs/1803.03816

Four encoders and three ways to decode what they give; ShuffleSeg, the default, is SkipNet on ShuffleNet. The decoders are
those of the authors' github.com/MSiam/TFSegmentation, the encoders ours, so that their published weights fit. They differ
from the authors' as follows:
- The first unit of a ShuffleNet's stage is as narrow as the others: the authors' has (out - in) / 4 channels, not out / 4.
- With the dilation frontend all that follows a stride that is left out is dilated. The authors dilate only the first block of
  a stage, in MobileNet by a full 3x3 in place of the depthwise one.
- U-Net on VGG16 adds conv1_2 at full resolution, where the authors add conv1_1; on MobileNet it starts from the last block.
"""

import keras

from models import backbones, layers, linknet
from models.backbones import vgg

ENCODERS = {"vgg16": "vgg16", "resnet18": "resnet18", "mobilenet": "mobilenet_v1", "shufflenet": "shufflenet_v1_g3"}
DECODERS = ("skipnet", "unet", "dilation")

# Counted by hand: the encoder without its classifier and, of SkipNet, three 1x1 to 12 classes and three transposed ones.
_UPSCORE = 12 * 12 * (16 + 16 + 256) + 3 * 12
REFERENCE = {
    "params": {
        "rtseg": {12: 1_865_728 - 961_000 + (960 + 480 + 240 + 3) * 12 + _UPSCORE},
        'rtseg(encoder="mobilenet")': {12: 4_231_976 - 1_025_000 + (1024 + 512 + 256 + 3) * 12 + _UPSCORE},
        'rtseg(encoder="resnet18")': {12: 11_689_512 - 513_000 + (512 + 256 + 128 + 3) * 12 + _UPSCORE},
        'rtseg(encoder="shufflenet", decoder="unet")': {},
        'rtseg(encoder="mobilenet", decoder="dilation")': {},
        'rtseg(encoder="resnet18", decoder="unet")': {},
    },
    "source": "MSiam/TFSegmentation models, read; counted by hand",
    "published": "Cityscapes test: VGG16-SkipNet 65.3, MobileNet-SkipNet 61.5, ShuffleSeg 58.3; val: MobileNet-U-Net 61.0, "
    "ResNet18-U-Net 57.9, MobileNet-dilation 57.8, ShuffleNet-U-Net 57.0, ShuffleNet-dilation 53.9 (the authors' README)",
    "scores": {
        "Cityscapes test": {'rtseg(encoder="vgg16")': 65.3, 'rtseg(encoder="mobilenet")': 61.5, "rtseg": 58.3},
        "Cityscapes val": {
            'rtseg(encoder="mobilenet", decoder="unet")': 61.0,
            'rtseg(encoder="resnet18", decoder="unet")': 57.9,
            'rtseg(encoder="mobilenet", decoder="dilation")': 57.8,
            'rtseg(decoder="unet")': 57.0,
            'rtseg(decoder="dilation")': 53.9,
        },
    },
}

XAVIER = layers.xavier_uniform(bias=0.0)
NORM = {"epsilon": 1e-3, "momentum": 0.99}  # TensorFlow's


@layers.initial_weights(XAVIER)
def build(inputs, num_classes, *, encoder="shufflenet", decoder="skipnet"):
    """Section 2. `encoder` is "vgg16", "resnet18", "mobilenet" or "shufflenet", `decoder` "skipnet", "unet" or "dilation"."""
    backbone = backbone_of(encoder=encoder, decoder=decoder)
    if backbones.find(backbone)[1] is vgg:
        return {"logits": vgg_form(inputs, num_classes, backbone, decoder)}
    features = backbones.build(backbone, inputs, output_stride=8 if decoder == "dilation" else 32)
    if decoder == "skipnet":
        return {"logits": skipnet(features["c5"], features["c4"], features["c3"], inputs, num_classes)}
    if decoder == "dilation":
        return {"logits": upscore(score(features["c5"], num_classes, "score_fr_dil"), 8, inputs, "upscore8")}
    form = link_form if encoder == "resnet18" else unet
    return {"logits": form(features, inputs, num_classes)}


def backbone_of(*, encoder="shufflenet", decoder="skipnet"):
    """The spec of the backbone."""
    if encoder not in ENCODERS:
        raise ValueError(f"Expected encoder: {', '.join(ENCODERS)}. Received: {encoder=}.")
    if decoder not in DECODERS:
        raise ValueError(f"Expected decoder: {', '.join(DECODERS)}. Received: {decoder=}.")
    return ENCODERS[encoder]


def skipnet(c5, c4, c3, inputs, num_classes):
    """Section 2.1, as FCN-8s: the classes' maps of 1/32, 1/16 and 1/8 of the resolution, upsampled and summed."""
    x = upscore(score(c5, num_classes, "score_fr"), 2, c4, "upscore2")
    x = keras.layers.Add()([score(c4, num_classes, "score_feed1"), x])
    x = upscore(x, 2, c3, "upscore4")
    x = keras.layers.Add()([score(c3, num_classes, "score_feed2"), x])
    return upscore(x, 8, inputs, "upscore8")


def score(x, num_classes, name):
    """The classes' map."""
    return layers.conv(x, num_classes, 1, name)


def upscore(x, scale, like, name, filters=None):
    """A transposed convolution to the size of `like`, bilinear before training."""
    x = layers.transposed_conv(x, filters or x.shape[-1], 2 * scale, name, stride=scale, initial=layers.bilinear)
    return layers.fit(x, like, center=True)  # TensorFlow's padding "SAME"


def unet(features, inputs, num_classes):
    """Section 2.1: 1x1 to the channels of the encoder's map, twice the size, their sum, 1x1; no activation, as the authors."""
    x = features["c5"]
    for i, level in enumerate(("c4", "c3", "c2", "c1"), start=1):
        skip = features[level]
        x = expand(x, skip.shape[-1], f"expand{i}_1")
        x = keras.layers.Add()([upscale(x, skip, f"upscale{i}"), skip])
        x = expand(x, skip.shape[-1], f"expand{i}_2")
    x = expand(upscale(x, inputs, "upscale5"), features["c1"].shape[-1], "expand5")
    return score(keras.layers.Dropout(0.5)(x), num_classes, "fscore")


def expand(x, filters, name):
    """1x1 with batch norm."""
    return layers.conv_norm(x, filters, 1, name, ("conv", "bn"), None, bias=True, **NORM)


def upscale(x, like, name):
    """Twice the size, with batch norm."""
    return layers.batch_norm(upscore(x, 2, like, f"{name}.conv"), f"{name}.bn", **NORM)


def link_form(features, inputs, num_classes):
    """The authors' U-Net on ResNet-18 is LinkNet without the sum with the stem."""
    x = features["c5"]
    for i in (4, 3, 2):
        skip = features[f"c{i}"]
        x = keras.layers.Add()([layers.fit(linknet.decoder(x, skip.shape[-1], f"decoder{i}", 2), skip), skip])
    x = linknet.decoder(x, x.shape[-1], "decoder1", 1)
    return layers.fit(linknet.ending(x, num_classes), inputs)


def vgg_form(inputs, num_classes, backbone, decoder):
    """On VGG, whose maps are what its pools give, SkipNet has FCN's fully connected layers, and U-Net two 3x3 a level."""
    taken, pools = [], []

    def pool(x):
        taken.append(x)
        pools.append(keras.layers.MaxPooling2D(2, padding="same")(x))  # rounds up
        return pools[-1]

    x = backbones.build(backbone, inputs, output_stride=8 if decoder == "dilation" else 32, pool=pool)["c5"]
    if decoder == "skipnet":
        return skipnet(fully_connected(x, 4096, 1, ""), pools[3], pools[2], inputs, num_classes)
    if decoder == "dilation":
        x = fully_connected(x, 1024, 4, "_dil")
        return upscore(score(x, num_classes, "score_fr_dil"), 8, inputs, "upscore8")
    for i, skip in enumerate((*pools[3::-1], taken[0]), start=1):
        x = upscore(x, 2, skip, f"upscale{i}", skip.shape[-1])
        x = keras.layers.Add()([x, skip])
        for step in (1, 2):
            x = layers.conv(x, skip.shape[-1], 3, f"expand{i}_{step}")
    return score(x, num_classes, "fscore")


def fully_connected(x, width, dilation, ending):
    """fc6, a 7x7, and fc7, a 1x1, each with dropout."""
    x = layers.relu(layers.conv(x, width, 7, f"fc6{ending}", dilation=dilation))
    x = layers.relu(layers.conv(keras.layers.Dropout(0.5)(x), width, 1, f"fc7{ending}"))
    return keras.layers.Dropout(0.5)(x)
