"""Mask2Former: Masked-attention Mask Transformer for Universal Image Segmentation.

Cheng, Misra, Schwing, Kirillov, Girdhar, CVPR 2022. https://arxiv.org/abs/2112.01527

The network of the authors' github.com/facebookresearch/Mask2Former for semantic segmentation. Its layers have the names of
huggingface/transformers, whose weights fit.
"""

import math

import keras
from keras import ops

from models import _upernet_modern, backbones, layers
from models.backbones import swin
from models.dinov2 import of_patches
from models.layers.mask_classification import MaskLogits, OutsideMask, SemanticScores
from models.layers.positions import SinePositions, Token

REFERENCE = {
    "params": {"mask2former": {12: 47_404_167}},
    "macs": {"mask2former": 3_437_231_104},
    "input": (64, 96, 3),
    "source": "huggingface/transformers models/mask2former, run",
    "published": "ADE20K val: Swin-T 48.66, S 51.24, L 56.01, R50 47.87; Cityscapes val: Swin-T 81.71, S 82.57, L 83.65, "
    "R50 80.44 (mmsegmentation 1.2.2)",
    "scores": {
        "ADE20K val": {
            "mask2former": 48.66,
            'mask2former(backbone="swin_small")': 51.24,
            'mask2former(backbone="resnet50")': 47.87,
        },
        "Cityscapes val": {
            "mask2former": 81.71,
            'mask2former(backbone="swin_small")': 82.57,
            'mask2former(backbone="resnet50")': 80.44,
        },
    },
}

LAST_STEP = of_patches(4)  # the reference's masks have a quarter of the resolution

UNUSED = (r"^criterion\.",)  # of the loss

LEVELS, STRIDES = ("c2", "c3", "c4", "c5"), [4, 8, 16, 32]
WIDTH, HEADS, GROUPS = 256, 8, 32  # channels of everything after the backbone, heads, groups of the norms
ENCODER, DECODER = (6, 1024), (9, 2048)  # layers and the hidden channels of each
STOCHASTIC_DEPTH = 0.3  # of Swin's last block

# Where the authors' code starts: of the decoders' layers; of queries, keys and values, which are one matrix there; of the
# hidden layers, whose biases stay PyTorch's; of the convolutions at a quarter of the resolution.
LINEAR, HIDDEN = layers.xavier_uniform(bias=0.0), layers.xavier_uniform()
JOINT = layers.uniform(math.sqrt(6 / (4 * WIDTH)), bias=0.0)
FINE = layers.kaiming_uniform("fan_in", gain=1.0, bias=0.0)

ENCODED, PIXELS = "model.pixel_level_module.encoder", "model.pixel_level_module.decoder"
QUERIES = "model.transformer_module"


def renames(*, backbone="swin_tiny", queries=100):
    """The reference's names of Swin; a backbone of another kind keeps its own."""
    if backbones.find(backbone)[1] is not swin:
        return ((r"^(?!model\.|class_predictor$)", f"{ENCODED}."),)
    return (*_upernet_modern.renames(backbone, "transformers"), (r"^backbone\.", f"{ENCODED}."))


def build(inputs, num_classes, *, backbone="swin_tiny", queries=100):
    """Figure 2: the pixel decoder brings the maps of the backbone together, and queries read them where their masks are.

    Besides the logits, which are scores of 0..queries, there are the outputs for the loss `mask_classification`: "classes",
    logits [batch, 10, queries, classes + 1] with no object as the last class, and "masks", logits [batch, 10, height / 4,
    width / 4, queries]. The last of the ten predictions counts, the others are for training.

    Args:
      inputs: normalised pixels.
      num_classes: of the label map.
      backbone: a spec of `models.backbones` whose maps have 1/4 to 1/32 of the resolution, such as "swin_base", "resnet50".
      queries: their number: the largest number of classes that an image may have.
    """
    if queries < 1:
        raise ValueError(f"Expected queries of at least 1. Received: {queries=}.")
    maps, pixels = pixel_decoder(*backbone_maps(inputs, backbone))
    hidden, masks = transformer_decoder(maps, pixels, queries)
    # The same layer classifies all of them, so they are one tensor: [batch, n, queries, width].
    classes = layers.dense(ops.stack(hidden, axis=1), num_classes + 1, "class_predictor")
    logits = SemanticScores()([classes, masks[-1]])
    return {"logits": logits, "classes": classes, "masks": keras.layers.Concatenate(axis=1)(masks)}


def backbone_maps(inputs, backbone):
    """The maps at 1/4, 1/8, 1/16 and 1/32 of the resolution; those of Swin are normalised."""
    strides = backbones.strides(backbone)
    if [strides[level] for level in LEVELS] != STRIDES:
        raise ValueError(
            f"Expected a backbone whose maps {', '.join(LEVELS)} have strides of 4, 8, 16, 32, such as swin_tiny. "
            f"Received: {backbone=}, {strides}."
        )
    inputs = layers.pad_to_multiple(inputs, 4)
    if backbones.find(backbone)[1] is not swin:
        features = backbones.aligned(backbone, backbones.build(backbone, inputs), inputs)
        return [features[level] for level in LEVELS]
    features = backbones.build(backbone, inputs, dense=True, stochastic_depth=STOCHASTIC_DEPTH)
    return [norm(features[level], f"hidden_states_norms.stage{i}") for i, level in enumerate(LEVELS, start=1)]


def pixel_decoder(fine, *coarse):
    """Section 3.2.2: the maps of 1/8 to 1/32 read each other; the finest one is added to what comes from 1/8.

    Returns:
      The maps of 1/32, 1/16 and 1/8, and the pixels at 1/4 that are multiplied with the queries; all have 256 channels.
    """
    maps = []
    for i, y in enumerate(reversed(coarse)):
        name = f"{PIXELS}.input_projections.{i}"
        maps.append(group_norm(layers.conv(y, WIDTH, 1, f"{name}.0", initial=LINEAR), f"{name}.1"))
    x = keras.layers.Concatenate(axis=1)([layers.tokens(y) for y in maps])
    of_maps = Token(len(maps), WIDTH, 1.0, name=f"{PIXELS}.level_embed")(x)
    positions = [SinePositions(WIDTH)(y) + of_maps[:, i : i + 1] for i, y in enumerate(maps)]
    positions = keras.layers.Concatenate(axis=1)(positions)
    number, width = ENCODER
    for i in range(number):
        name = f"{PIXELS}.encoder.layers.{i}"
        y = layers.deformable_attention(x, positions, maps, f"{name}.self_attn", HEADS)
        x = hidden_layer(added(x, y, f"{name}.self_attn_layer_norm"), width, name)
    maps = layers.as_maps(x, maps)
    with layers.initial_weights(FINE):
        y = group_norm(layers.conv(fine, WIDTH, 1, f"{PIXELS}.adapter_1.0", bias=False), f"{PIXELS}.adapter_1.1")
        y = keras.layers.Add()([y, layers.resize(maps[-1], like=y)])
        y = group_norm(layers.conv(y, WIDTH, 3, f"{PIXELS}.layer_1.0", bias=False), f"{PIXELS}.layer_1.1")
        return maps, layers.conv(layers.relu(y), WIDTH, 1, f"{PIXELS}.mask_projection")


def transformer_decoder(maps, pixels, queries):
    """Figure 2, right: in turn the queries read each of the maps, of which each sees what its mask so far contains.

    Returns:
      Of the queries themselves and after every layer: the normalised queries [batch, queries, 256], and the logits of their
      masks [batch, 1, height / 4, width / 4, queries].
    """
    of_maps = Token(len(maps), WIDTH, 1.0, name=f"{QUERIES}.level_embed")(pixels)
    values = [layers.tokens(y) + of_maps[:, i : i + 1] for i, y in enumerate(maps)]
    keys = [x + SinePositions(WIDTH)(y) for x, y in zip(values, maps, strict=True)]
    positions = Token(queries, WIDTH, 1.0, name=f"{QUERIES}.queries_embedder")(pixels)
    x = Token(queries, WIDTH, 1.0, name=f"{QUERIES}.queries_features")(pixels)
    predict, (number, width) = MaskEmbedding(WIDTH, name=f"{QUERIES}.decoder"), DECODER
    hidden, masks = [], []
    for i in range(number + 1):
        of_query, of_mask = predict(x)
        hidden.append(of_query)
        masks.append(MaskLogits()([ops.expand_dims(of_mask, 1), pixels]))
        if i == number:
            return hidden, masks
        name, level = f"{QUERIES}.decoder.layers.{i}", i % len(maps)
        outside = OutsideMask()(layers.resize(masks[-1][:, 0], like=maps[level]))
        y = attention(x + positions, keys[level], values[level], f"{name}.cross_attn", ("q", "k", "v"), outside)
        x = added(x, y, f"{name}.cross_attn_layer_norm")
        y = attention(x + positions, x + positions, x, f"{name}.self_attn", ("q_proj", "k_proj", "v_proj"))
        x = hidden_layer(added(x, y, f"{name}.self_attn_layer_norm"), width, name)


def attention(query, key, value, name, entries, bias=None):
    """Attention of eight heads with its linear layers; the `entries` name those of query, key and value."""
    parts = [
        layers.dense(x, WIDTH, f"{name}.{entry}", initial=JOINT)
        for x, entry in zip((query, key, value), entries, strict=True)
    ]
    return layers.dense(layers.attention(*parts, HEADS, bias=bias), WIDTH, f"{name}.out_proj", initial=LINEAR)


def hidden_layer(x, width, name):
    """A hidden layer of `width` channels, added to x."""
    y = layers.dense(x, width, f"{name}.fc1", "relu", initial=HIDDEN)
    return added(x, layers.dense(y, WIDTH, f"{name}.fc2", initial=HIDDEN), f"{name}.final_layer_norm")


def added(x, y, name):
    """x and the end of a residual branch, normalised."""
    return norm(keras.layers.Add()([x, y]), name)


def norm(x, name):
    """Layer norm over the channels."""
    return keras.layers.LayerNormalization(epsilon=1e-5, name=name)(x)


def group_norm(x, name):
    """Norm of every image in groups of channels."""
    return keras.layers.GroupNormalization(GROUPS, epsilon=1e-5, name=name)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class MaskEmbedding(keras.layers.Layer):
    """Queries [batch, queries, width] -> the same normalised, and the vectors that are multiplied with the pixels.

    One layer, because the same weights predict before the first and after every layer of the decoder.
    """

    def __init__(self, width, **options):
        super().__init__(**options)
        self.width, dtype = width, self.dtype_policy
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name=f"{self.name}.layernorm")
        start, bias = layers.torch_default.start(width, width)
        self.linear = [
            keras.layers.Dense(
                width,
                activation,
                kernel_initializer=start,
                bias_initializer=bias,
                dtype=dtype,
                name=f"{self.name}.mask_predictor.mask_embedder.{i}.0",
            )
            for i, activation in enumerate(("relu", "relu", None))
        ]

    def build(self, input_shape):
        """Makes the weights."""
        self.queries = input_shape[1]
        for layer in (self.norm, *self.linear):
            layer.build(input_shape)

    def call(self, inputs):
        """A norm and three linear layers."""
        x = y = self.norm(inputs)
        for layer in self.linear:
            y = layer(y)
        return x, y

    def compute_output_spec(self, inputs):
        """As above."""
        return tuple(keras.KerasTensor(inputs.shape, self.compute_dtype) for _ in range(2))

    def multiply_accumulates(self):
        """Of one image, in one of the places where the network has it."""
        return len(self.linear) * self.queries * self.width**2

    def get_config(self):
        """Its option."""
        return {**super().get_config(), "width": self.width}
