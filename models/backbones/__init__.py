"""Backbones: each file is a family, and its VARIANTS are the names that a spec may give.

    backbones.build("resnet34", x, output_stride=16)  # {"c1": 1/2 of the resolution, .. "c5": 1/16}

A family's file has VARIANTS (name -> what its `build` needs), `channels(variant)`, `build(inputs, variant, output_stride)`
and `head(features, num_classes, variant)`. If they are known, it has REFERENCE (the authors' sizes) and WEIGHTS (published
files, name -> `Weights`). If they differ from the defaults, it has `strides(variant)`, OUTPUT_STRIDES, NORMALIZATION (for all
variants, or variant -> what those expect that differ from the default), INITIAL (the rule for the initial weights, see
models/layers/initial_weights.py; by default PyTorch's), RENAMES ((pattern, replacement) pairs from its layer names to the
reference's keys) and `block_of(name)` (see `distances`). A name that looks like a mistyped one of these is refused.
"""

import contextlib
import contextvars
import dataclasses
import functools

import keras

import tfseg.spec as specs
from models import layers
from models.backbones import _distance

STRIDES = {"c1": 2, "c2": 4, "c3": 8, "c4": 16, "c5": 32}  # the default for families
REQUIRED = ("VARIANTS", "channels", "build", "head")
# UNPADDED says that feature maps are smaller than their share of the image. Only tests read the last two: whether dilation
# changes the network, and Keras' own form of the network.
OPTIONAL = (
    "REFERENCE",
    "WEIGHTS",
    "strides",
    "OUTPUT_STRIDES",
    "NORMALIZATION",
    "INITIAL",
    "RENAMES",
    "block_of",
    "UNPADDED",
    "DILATION_KEEPS_FUNCTION",
    "APPLICATION",
)


_recorded = contextvars.ContextVar("recorded", default=None)


@dataclasses.dataclass(frozen=True)
class Weights:
    """A published file of ImageNet weights with 1000 classes. Its keys are the layer names of a backbone.

    models/weights/published.py finds or downloads, checks and loads it.
    """

    url: str  # of the file; if a package has the file, its path in the package, `module/folder/file`
    sha256: str  # of the file, or its first 8 digits if only those are published, as by torchvision
    score: float | None  # top-1 accuracy in %, as published with the file; None if it is not stated
    source: str  # who publishes it
    md5: str = ""  # only if no SHA-256 is published; `sha256` is then ""
    renames: tuple = ()  # (pattern, replacement) pairs from the file's keys to ours
    package: str = ""  # the Python package that contains the file; the file is then not downloaded
    unused: tuple = ()  # beginnings of keys that the reference registers and never uses

    @classmethod
    def torchvision(cls, file, score, version="V1", **others):
        """A file of torchvision's, whose name ends with the first digits of its SHA-256; `others` are more of the fields."""
        url, sha256 = f"https://download.pytorch.org/models/{file}.pth", file.rpartition("-")[2]
        return cls(url, sha256, score, f"torchvision, IMAGENET1K_{version}", **others)


def names():
    """The backbones of every family."""
    return sorted(_families())


def build(spec, inputs, output_stride=32, *, initial=None, smoothed_dilation=None, **options):
    """Builds a backbone on `inputs`, normalised pixels, and returns its feature maps.

    Args:
      spec: a name of `names()`, with the options of its family's `build(inputs, variant, output_stride, *, ..)`.
      inputs: [B, H, W, C].
      output_stride: the stride at which the resolution stops falling, one of `output_strides`; later stages are dilated.
      initial: the rule for the initial weights, for a network whose reference does not use the family's INITIAL.
      smoothed_dilation: "gi" or "ssc" smooths the dilated convolutions (models/layers/smoothed_dilation.py).
      **options: more options of the family's `build`, which a network always sets; users set others in the spec.

    Returns:
      {"c1": at 1/2 of the resolution, "c2": at 1/4, .. "c5": at 1/32 or 1/output_stride}; see `strides` and `channels`.
    """
    call, family = find(spec)
    seen = _recorded.get()
    if output_stride not in (8, 16, 32):
        raise ValueError(f"Expected output_stride 8, 16 or 32. Received: {output_stride=} for {spec}.")
    with layers.initial_weights(initial or _initial(family)), layers.smoothed_dilation(smoothed_dilation):
        features = specs.apply(family.build, call, inputs, call.name, output_stride=output_stride, **options)
    if seen is not None:
        seen.append((features, strides(spec, output_stride)))
    return features


@contextlib.contextmanager
def recorded():
    """Gives a list that gets (feature maps, their strides) of each backbone that is built inside the block."""
    found = []
    token = _recorded.set(found)
    try:
        yield found
    finally:
        _recorded.reset(token)


def aligned(spec, features, inputs):
    """The feature maps of `build`. If the family has no padding, they are padded with zeros to their share of the image.

    There are as many zeros above as below, so that pixels stay at their places in the image and the maps reach its edge.
    """
    if not getattr(find(spec)[1], "UNPADDED", False):
        return features
    return {level: layers.fit(features[level], inputs[:, ::n, ::n], center=True) for level, n in strides(spec).items()}


def classify(spec, inputs, num_classes):
    """Logits [B, num_classes] of the classification network that a backbone was published as."""
    call, family = find(spec)
    with layers.initial_weights(_initial(family)):
        return family.head(build(spec, inputs), num_classes, call.name)


def channels(spec):
    """{"c1": channels, .. "c5": channels}."""
    call, family = find(spec)
    return family.channels(call.name)


def strides(spec, output_stride=32):
    """{"c1": image pixels for each feature pixel, .. "c5": ..}."""
    call, family = find(spec)
    declared = family.strides(call.name) if hasattr(family, "strides") else STRIDES
    return {level: min(stride, output_stride) for level, stride in declared.items()}


def output_strides(spec):
    """The output strides that `build` takes, the smallest first; 32 also means the backbone as published."""
    return getattr(find(spec)[1], "OUTPUT_STRIDES", (8, 16, 32))


def normalization(spec):
    """What the backbone's published weights expect of the pixels: a spec as `models.build` takes it."""
    call, family = find(spec)
    declared = getattr(family, "NORMALIZATION", "default")
    return declared if isinstance(declared, str) else declared.get(call.name, "default")


def renames(spec):
    """(pattern, replacement) pairs from the backbone's layer names to the keys of its reference's state dict."""
    return getattr(find(spec)[1], "RENAMES", ())


def distances(spec):
    """{name of a layer with weights: its distance from the heads, in blocks}, for layer-wise learning-rate decay.

    The last block has 1, the block before it 2, and so on; see models/backbones/_distance.py. Blocks are found by the numbers
    in the names of the layers. A family for which this is not right has `block_of`: layer name -> name of its block, or None.
    """
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, build(spec, inputs))
    return _distance.distances(model.layers, getattr(find(spec)[1], "block_of", None))


def weights(spec):
    """The published ImageNet weights of a backbone. If none are known, raises ValueError with a list of those that have."""
    call, family = find(spec)
    known = getattr(family, "WEIGHTS", {})
    if call.name not in known:
        published = ", ".join(
            name for name, module in sorted(_families().items()) if name in getattr(module, "WEIGHTS", {})
        )
        raise ValueError(f"Expected a backbone with published weights: {published}. Received: {call.name!r}.")
    return known[call.name]


def _initial(family):
    return getattr(family, "INITIAL", layers.torch_default)


def find(spec):
    """(parsed spec, module of its family)."""
    call, families = specs.parse(spec), dict(sorted(_families().items()))
    return call, specs.choose(families, call.name, "a backbone", spec)


def _families():
    """Name of a backbone -> module of its family. Raises ValueError if two families have a backbone of the same name."""
    families = {}
    for name in specs.names(__name__):
        module = _checked(specs.find(__name__, name))
        for variant in module.VARIANTS:
            if families.setdefault(variant, module) is not module:
                files = f"one in {families[variant].__file__} and one in {module.__file__}"
                raise ValueError(f"Expected one backbone called {variant}. Received: {files}. Rename one of them.")
    return families


@functools.cache
def _checked(module):
    """The module, after a check that it declares everything that a family needs."""
    specs.check_module(module, REQUIRED, OPTIONAL)
    return module
