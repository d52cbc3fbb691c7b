"""What the values of a run's options may be: paths become absolute, numbers must be in their range."""

import os

from tfseg import exports
from tfseg import spec as specs

# Options that name a file or a folder: `~` is the home folder, and a relative path becomes absolute, so that a workdir
# can be used from any folder. Those of the second row may also be a word that is not a path.
PATHS = ("workdir", "data_dir", "cache_dir", "images", "output_dir", "first_mask", "true_masks", *exports.names())
PERHAPS_PATHS = ("init_from", "class_weights", "labelled")
LIST, CAMERA = "-", "camera:"  # --images that are no paths: a list on standard input, and the beginning of `camera:0`


def check(config) -> None:
    """Raises a ValueError that names the first option whose value is out of its range."""
    for name in ("batch_size", "log_every", "keep", "learning_rate", "accumulate_steps", "steps_per_call"):
        expect(config, name, getattr(config, name) > 0, "a positive number")
    for name in (
        ("num_classes", "steps", "epochs", "warmup_steps", "weight_decay", "clip_norm", "eval_every", "monte_carlo")
        + ("checkpoint_every", "eval_batch_size", "patience", "recover", "backbone_learning_rate", "max_size")
        + ("max_frames", "model_version")
    ):  # fmt: skip
        expect(config, name, getattr(config, name) >= 0, "0 or more")
    expect(config, "layer_decay", 0 < config.layer_decay <= 1, "in (0, 1]")
    expect(config, "ema_decay", 0 <= config.ema_decay < 1, "in [0, 1)")
    expect(config, "confidence", 0 <= config.confidence <= 1, "in [0, 1]")
    expect(config, "quantile", 0 <= config.quantile < 1, "in [0, 1)")
    expect(config, "reidentify", 0 <= config.reidentify <= 1, "in [0, 1]")
    expect(config, "opacity", 0 <= config.opacity <= 1, "in [0, 1]")
    expect(config, "crop_max_class_share", 0 < config.crop_max_class_share <= 1, "in (0, 1]")
    expect(config, "crop_size", len(config.crop_size) == 2 and min(config.crop_size) > 0, "HEIGHT,WIDTH in pixels")
    size = config.export_size
    expect(config, "export_size", len(size) == 2 and (min(size) > 0 or not any(size)), "HEIGHT,WIDTH in pixels, or 0,0")
    expect(config, "max_pixels", config.max_pixels > 0, "a positive number")
    expect(config, "image_range", _is_range(config.image_range), "blank or LOW,HIGH, two numbers, the lower first")


def expect(config, name: str, condition: bool, expected: str) -> None:
    """Raises a ValueError that says what --name should be, unless `condition` is true."""
    if not condition:
        raise ValueError(f"Expected --{name} to be {expected}. Received: --{name}={getattr(config, name)}.")


def absolute(name: str, value: str) -> str:
    """The absolute path of an option, with `~` as the home folder. A value that is not a path stays as it is."""
    if not value or "://" in value or (name in PERHAPS_PATHS and not (value.startswith("~") or os.path.exists(value))):
        return value
    if name == "images" and (value == LIST or value.startswith(CAMERA)):
        return value
    path = os.path.expanduser(value)
    if path.startswith("~") and not os.path.exists(path):
        raise ValueError(f"Expected --{name} below a home folder. Received: {value}, a user that is not known here.")
    return os.path.abspath(path)


def dataset(text: str) -> str:
    """A data set spec with absolute paths in place of the relative ones of its data_dir. What is no spec stays as it is."""
    if "data_dir" not in text:
        return text
    try:
        terms = specs.parse_sum(text)
    except ValueError:  # said where it is read
        return text
    for _, call in terms:
        if isinstance(call.kwargs.get("data_dir"), str):
            call.kwargs["data_dir"] = absolute("data_dir", call.kwargs["data_dir"])
    return " + ".join(str(call) if weight == 1 else f"{weight:g}*{call}" for weight, call in terms)


def _is_range(text):
    try:
        low, high = (float(word) for word in text.split(",")) if text else (0, 1)
    except ValueError:
        return False
    return low < high


def integers(name: str, words: list[str]) -> list[int]:
    """The numbers of a comma-separated option."""
    try:
        return [int(word) for word in words]
    except ValueError as error:
        raise ValueError(f"Expected --{name}=HEIGHT,WIDTH. Received: --{name}={','.join(words)}.") from error
