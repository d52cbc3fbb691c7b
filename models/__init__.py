"""Architectures: one file each, built as Keras functional models from pixels to logits.

model = models.build('unet(upsampling="bilinear")', num_classes=11)
model(images)["logits"]  # [B, H, W, 11] float32, for images [B, H, W, 3] of RGB 0..255

A module has `build` and REFERENCE, and may declare the following; a name that looks like a mistyped one of these is refused:
  AUX_WEIGHTS: {"aux_0": loss weight} of all auxiliary outputs; it and FULL_SIZE may name some that options leave out.
  AUX_RESOLUTION: the resolution of their loss: "label" (default: their logits are resized) or "output" (the label is resized).
  SIZE_MULTIPLE, SIZE_REMAINDER: if the reference takes only some sizes, these are k * multiple + remainder. The input is
    padded to the next of them and the logits are cropped. Or a function `size_multiple` of `build`'s options that returns both
    numbers, 1 and 0 for any size.
  LAST_STEP: (logits, image) -> logits of the image's size, if the reference's own have another size; or a function
    `last_step` of `build`'s options that returns it, or None.
  FULL_SIZE: the outputs to which both apply, if auxiliary ones are as large as "logits".
  NORMALIZATION: what the reference does to the pixels, if no backbone says this.
  INPUT_CHANNELS: of its input, if they are not the three of an RGB image.
  RENAMES: (pattern, replacement) pairs from our layer names to the reference's keys; or a function `renames` of `build`'s
    options that returns them.
  ALIASES: (pattern, replacement) pairs from keys of the reference that repeat another key's tensor to that key.
  UNUSED: patterns of keys of the reference that do not change its output. Our network does not have them, and loading
    ignores them.
  backbone_of: a function of `build`'s options that names the backbone, if there is no option `backbone`.
  network_of: a function of `build`'s options that gives the spec of a network to which it adds outputs (instances.py). All that
    the module of that network declares then holds for both; FULL_SIZE adds to that network's.
  steps_of: a function of `build`'s options that gives the number of past label maps which the network reads in place of a
    picture (layers/past_maps.py).
"""

import inspect

import keras

import tfseg.spec as specs
from models import backbones, layers
from models import weights as weights_lib

# The normalisation that published ImageNet weights expect, in 0..255 units. It is also good for training from scratch.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

# What a module may declare, as described above, and the defaults.
HOOKS = {
    "AUX_WEIGHTS": {},
    "AUX_RESOLUTION": "label",
    "SIZE_MULTIPLE": 1,
    "SIZE_REMAINDER": 0,
    "size_multiple": None,
    "LAST_STEP": None,
    "last_step": None,
    "FULL_SIZE": ("logits",),
    "NORMALIZATION": "default",
    "INPUT_CHANNELS": 3,
    "RENAMES": (),
    "renames": None,
    "ALIASES": (),
    "UNUSED": (),
    "backbone_of": None,
    "network_of": None,
    "steps_of": None,
    "REFERENCE": None,  # read by tests and docs
}


def names():
    """The architectures: the modules of this package."""
    return specs.names("models")


def build(
    spec, num_classes, input_shape=(None, None, None), weights=None, normalization="default", native_resolution=False
):
    """Builds the network of a spec such as `enet` or `unet(upsampling="bilinear")`.

    Args:
      spec: the name of a module of this package, with the options of its `build`.
      num_classes: channels of the logits.
      input_shape: (height, width, channels) without the batch; None is a size known only at run time, or the channels that the
        network is made for: 3, the RGB of an image, but in the few modules that declare INPUT_CHANNELS.
      weights: None for random weights; a `.weights.h5`, `.keras`, `.pth` or `.safetensors` file of the same network; or
        "imagenet" for the published weights of its backbone (models/weights/published.py), with random weights for the rest.
      normalization: what the first layer does to the pixels: "default" (what the backbone's published weights expect, or
        ImageNet's RGB mean and deviation), None or "none", or `affine(order="bgr", mean=(..), std=(..))` in 0..255 units.
      native_resolution: returns the network's own output, without padding, cropping and the last resize.

    Returns:
      A keras.Model from [B, H, W, channels] uint8 or float32 to {"logits": float32 [B, H, W, num_classes]}, with
      "aux_<n>" if the paper trains auxiliary outputs. A `classifier` returns [B, num_classes]. `model.aux_weights` holds
      the weights of the auxiliary losses and `model.aux_resolution` the resolution of these losses. `model.renames` has the
      (pattern, replacement) pairs from layer names to the keys of the reference's state dict, `model.aliases` those between
      its keys, `model.unused` patterns of keys that the network does not have. `model.backbone` is the spec of the backbone,
      or "" if there is none. `model.steps` is the number of past label maps that the network reads in place of a picture, or 0.
    """
    if num_classes < 1:
        raise ValueError(f"Expected num_classes of at least 1. Received: num_classes={num_classes!r}.")
    if len(input_shape) != 3 or input_shape[-1] == 0:
        raise ValueError(f"Expected input_shape (height, width, channels). Received: input_shape={input_shape}.")
    call = specs.parse(spec)
    architecture = specs.find("models", call.name, names())
    specs.check_module(architecture, ["build"], HOOKS)
    specs.check(architecture.build, call, None, None)
    inner, inner_call = _network(architecture, call)
    channels = _hook(inner, "INPUT_CHANNELS")
    if input_shape[-1] is None:
        input_shape = (*input_shape[:2], channels)
    elif channels != HOOKS["INPUT_CHANNELS"] and input_shape[-1] != channels:
        raise ValueError(
            f"Expected {channels} channels for {call.name}, which sees more than an image. Received: "
            f"input_shape={input_shape}. Leave the number out (None); its module says what the channels are."
        )
    backbone = _backbone(inner, inner_call)
    if normalization == "default":
        normalization = backbones.normalization(backbone) if backbone else _hook(inner, "NORMALIZATION")
    if _hook(inner, "steps_of") and normalization not in (None, "none"):
        raise ValueError(
            f"Expected normalization='default' or None for {call.name}, which reads ids of label maps and no pixels. Received: "
            f"{normalization=}."
        )
    # An image is float32 under every policy. The first layer casts it after the normalisation.
    inputs = keras.Input(input_shape, dtype="float32", name="image")
    x = _normalize(inputs, normalization)
    multiple, remainder = (1, 0) if native_resolution else _size_multiple(inner, inner_call)
    if multiple > 1:
        x = layers.pad_to_multiple(x, multiple, remainder)
    outputs = specs.apply(architecture.build, call, x, num_classes)
    _check_outputs(inner, outputs)
    last = layers.fit if multiple > 1 else _last_step(inner, inner_call)
    if last and not native_resolution:
        # In one order: the names of layers, and with them the order of a checkpoint, must not change from run to run.
        for name in dict.fromkeys((*_hook(inner, "FULL_SIZE"), *_hook(architecture, "FULL_SIZE"))):
            if name in outputs:
                outputs[name] = last(outputs[name], inputs)
    outputs = {name: keras.layers.Activation("linear", dtype="float32", name=name)(y) for name, y in outputs.items()}
    model = keras.Model(inputs, outputs, name=call.name)
    model.aux_weights = {name: w for name, w in _hook(inner, "AUX_WEIGHTS").items() if name in outputs}
    model.aux_resolution = _hook(inner, "AUX_RESOLUTION")
    model.renames = (*_renames(inner, inner_call), *(backbones.renames(backbone) if backbone else ()))
    model.aliases = tuple(_hook(inner, "ALIASES"))
    model.unused = tuple(_hook(inner, "UNUSED"))
    model.backbone = backbone
    model.steps = specs.apply(inner.steps_of, inner_call) if _hook(inner, "steps_of") else 0
    if weights is not None:
        weights_lib.fill(model, weights)
    return model


def _hook(architecture, name):
    """What a module declares, or the default: a name that HOOKS lacks is an error here."""
    return getattr(architecture, name, HOOKS[name])


def _network(architecture, call):
    """(module, call) of the network whose declarations hold: the one inside, or the network itself."""
    network_of = _hook(architecture, "network_of")
    if not network_of:
        return architecture, call
    call = specs.parse(specs.apply(network_of, call))
    inner = specs.find("models", call.name, names())
    specs.check_module(inner, ["build"], HOOKS)
    specs.check(inner.build, call, None, None)
    return _network(inner, call)


def _check_outputs(architecture, outputs):
    """Refuses outputs and declarations that do not fit together, because training would silently leave them out."""
    weights, file = _hook(architecture, "AUX_WEIGHTS"), architecture.__file__
    unweighted = sorted(name for name in outputs if name.startswith("aux_") and name not in weights)
    if unweighted:
        raise ValueError(f"Expected AUX_WEIGHTS of {file} to weigh {', '.join(unweighted)}. Received: {weights}.")
    known = {"logits", *weights, *outputs}
    if unknown := sorted(set(_hook(architecture, "FULL_SIZE")) - known):
        raise ValueError(f"Expected FULL_SIZE of {file} to name outputs: {sorted(known)}. Received: {unknown}.")
    resolution = _hook(architecture, "AUX_RESOLUTION")
    if resolution not in ("label", "output"):
        raise ValueError(f"Expected AUX_RESOLUTION 'label' or 'output' in {file}. Received: {resolution!r}.")


def _backbone(architecture, call):
    """The spec of a network's backbone, from the network's spec or by default; "" if it has none."""
    if backbone_of := _hook(architecture, "backbone_of"):
        return specs.apply(backbone_of, call)
    parameter = inspect.signature(architecture.build).parameters.get("backbone")
    return call.kwargs.get("backbone", parameter.default) if parameter else ""


def _size_multiple(architecture, call):
    """A module's SIZE_MULTIPLE and SIZE_REMAINDER, or the result of its `size_multiple` if they depend on the options."""
    if size_multiple := _hook(architecture, "size_multiple"):
        return specs.apply(size_multiple, call)
    return _hook(architecture, "SIZE_MULTIPLE"), _hook(architecture, "SIZE_REMAINDER")


def _last_step(architecture, call):
    """A module's LAST_STEP, or the result of its `last_step` if it depends on the options."""
    last_step = _hook(architecture, "last_step")
    return specs.apply(last_step, call) if last_step else _hook(architecture, "LAST_STEP")


def _renames(architecture, call):
    """The pairs of a module's RENAMES, or of its `renames` if they depend on the options."""
    if renames := _hook(architecture, "renames"):
        return tuple(specs.apply(renames, call))
    return tuple(_hook(architecture, "RENAMES"))


def _normalize(x, normalization):
    if normalization is None or normalization == "none":
        return x
    if normalization == "default":
        return _affine(x, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    call = specs.parse(normalization)
    if call.name != "affine":
        known, near = "'default', 'none' or affine(order, mean, std)", ("default", "none", "affine")
        suggestion = specs.did_you_mean(call.name, near)
        raise ValueError(f"Expected normalization {known}. Received: normalization={normalization!r}.{suggestion}")
    return specs.apply(_affine, call, x)


def _affine(x, *, order="rgb", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)):
    if order not in ("rgb", "bgr"):
        raise ValueError(f"Expected order 'rgb' or 'bgr'. Received: order={order!r}.")
    channels = x.shape[-1]
    if len(mean) != channels or len(std) != channels or not all(std):
        raise ValueError(
            f"Expected mean and std of {channels} channels, std not 0. Received: {mean=}, {std=}. "
            "normalization=None takes any number of channels."
        )
    return layers.Affine(mean, std, order, name="normalization")(x)
