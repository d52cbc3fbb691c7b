"""Backbones: one family a file, whose VARIANTS are the names that a spec may give.

    backbones.build("resnet34", x, output_stride=16)  # {"c1": 1/2 of the resolution, .. "c5": 1/16}

A family's file holds VARIANTS (name -> what its `build` needs), `channels(variant)`, `build(inputs, variant,
output_stride)`, `head(features, num_classes, variant)`; where they are known REFERENCE (the authors' sizes) and WEIGHTS
(published files, name -> `Weights`); and where they are not the usual ones `strides(variant)`, OUTPUT_STRIDES, NORMALIZATION,
INITIAL, the rule by which its weights start (models/layers/initial_weights.py; PyTorch's own where there is none), and
RENAMES, (pattern, replacement) pairs from its layer names to the reference's keys. A name that looks like a mistyped one of
these is refused.
"""

import dataclasses
import functools

import tfseg.spec as specs
from models import layers

STRIDES = {"c1": 2, "c2": 4, "c3": 8, "c4": 16, "c5": 32}  # of a family that declares none
REQUIRED = ("VARIANTS", "channels", "build", "head")
# UNPADDED says that maps are smaller than their share; the last two are read by tests: dilation that changes the network, and
# Keras' own form of it.
OPTIONAL = (
    "REFERENCE",
    "WEIGHTS",
    "strides",
    "OUTPUT_STRIDES",
    "NORMALIZATION",
    "INITIAL",
    "RENAMES",
    "UNPADDED",
    "DILATION_KEEPS_FUNCTION",
    "APPLICATION",
)


@dataclasses.dataclass(frozen=True)
class Weights:
    """A published file of ImageNet weights, of 1000 classes, whose keys are a backbone's layer names.

    models/weights/published.py finds or downloads, checks and loads it.
    """

    url: str  # where a package has the file: its path in it, `module/folder/file`
    sha256: str  # of the file, or its first 8 digits where, as torchvision does, only those are published
    score: float | None  # top-1 accuracy in %, as published with the file; None where it is not stated
    source: str  # who publishes it
    md5: str = ""  # where no SHA-256 is published, which is then ""
    renames: tuple = ()  # (pattern, replacement) pairs from the file's keys to ours
    package: str = ""  # the package of the registry that has the file, which then is not downloaded
    unused: tuple = ()  # beginnings of keys that the reference registers and never uses


def names():
    """The backbones of every family."""
    return sorted(_families())


def build(spec, inputs, output_stride=32, *, initial=None, smoothed_dilation=None, **options):
    """Builds a backbone on `inputs`, normalised pixels, and returns its feature maps.

    Args:
      spec: a name of `names()`, with the options of its family's `build(inputs, variant, output_stride, *, ..)`.
      inputs: [B, H, W, C].
      output_stride: where the resolution stops falling, one of `output_strides`; later stages are dilated instead.
      initial: the rule by which weights start, of a network whose reference does not take the family's INITIAL.
      smoothed_dilation: "gi" or "ssc" smooths the dilated convolutions (models/layers/smoothed_dilation.py).
      **options: more options of the family's `build`, which a network needs whatever its user writes in the spec.

    Returns:
      {"c1": at 1/2 of the resolution, "c2": at 1/4, .. "c5": at 1/32 or 1/output_stride}, as `strides` and `channels` say.
    """
    call, family = find(spec)
    if output_stride not in (8, 16, 32):
        raise ValueError(f"Expected output_stride 8, 16 or 32. Received: {output_stride=} for {spec}.")
    with layers.initial_weights(initial or _initial(family)), layers.smoothed_dilation(smoothed_dilation):
        return specs.apply(family.build, call, inputs, call.name, output_stride=output_stride, **options)


def aligned(spec, features, inputs):
    """The feature maps of `build`, those of a family without padding with the zeros that its convolutions have left out.

    They are as many above as below, so that a pixel lies where it lies in the image, and a decoder's maps reach its edge.
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
    """{"c1": image pixels a feature pixel, .. "c5": ..}."""
    call, family = find(spec)
    declared = family.strides(call.name) if hasattr(family, "strides") else STRIDES
    return {level: min(stride, output_stride) for level, stride in declared.items()}


def output_strides(spec):
    """The output strides that `build` takes, the least first; 32 also means as the backbone was published."""
    return getattr(find(spec)[1], "OUTPUT_STRIDES", (8, 16, 32))


def normalization(spec):
    """What the backbone's published weights expect of the pixels: a spec as `models.build` takes it."""
    return getattr(find(spec)[1], "NORMALIZATION", "default")


def renames(spec):
    """(pattern, replacement) pairs from the backbone's layer names to the keys of its reference's state dict."""
    return getattr(find(spec)[1], "RENAMES", ())


def weights(spec):
    """The published ImageNet weights of a backbone. ValueError where none are known, listing the backbones that have."""
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
    """Name of a backbone -> module of its family. ValueError where two families have one of the same name."""
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
    """The module, once it is known to declare what a family declares."""
    specs.check_module(module, REQUIRED, OPTIONAL)
    return module
