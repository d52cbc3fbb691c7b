"""--help: the modes and the options most runs need; --helpfull: every option. Neither imports TensorFlow."""

import dataclasses
import textwrap
import typing

from tfseg import config

# The options of the main job, in the order in which a new user meets them.
MAIN = (
    ("dataset", "data_dir", "workdir", "model", "init_from", "crop_size", "batch_size", "epochs", "learning_rate")
    + ("optimizer", "loss", "augment", "precision", "checkpoint", "split", "inference", "images", "output_dir", "overwrite")
)  # fmt: skip
OF_EXPORT = (
    ("workdir", "output_dir", "format", "quantize", "calibration", "keep_float", "outputs", "export_size", "model_version")
    + ("evaluate", "checkpoint", "inference", "overwrite")
)  # fmt: skip
EXAMPLES = """\
python main.py --flagfile=configs/quickstart.flags
python main.py --dataset=folder --data_dir=DATA --model=enet --workdir=runs/mine
python main.py --mode=evaluate --workdir=runs/mine
python main.py --mode=predict --workdir=runs/mine --images=PHOTOS --output_dir=OUT
python export.py --workdir=runs/mine --output_dir=runs/mine/saved_model"""
ABSL = {
    "flagfile": "A file with one option a line. Of an option that is given twice, the later one counts.",
    "verbosity": "1: also what TensorFlow and other libraries say, and where an error came from; -1: warnings.",
}
TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def asked_for(words: list[str], program: str) -> str:
    """The help that a command line asks for, "" where it asks for none. `program` is main.py or export.py."""
    asked = {word.lstrip("-") for word in words if word.startswith("-")}
    if "helpfull" in asked:
        return full(program)
    return short(program) if asked & {"help", "helpshort", "h", "?"} else ""


def short(program: str) -> str:
    """At most 60 lines."""
    fields = {field.name: field for field in dataclasses.fields(config.Config)}
    if program == "export.py":
        lines, names = ["usage: python export.py --workdir=RUN --output_dir=FOLDER --OPTION=VALUE ..."], OF_EXPORT
    else:
        lines, names = ["usage: python main.py [--mode=MODE] --OPTION=VALUE ..."], MAIN
        lines += ["", "Modes:", *(f"  {name:13}{text}" for name, text in config.MODES.items())]
    lines += ["", "Options of most runs:"]
    for name in (name for name in names if name in fields):
        default = _text(fields[name].default)
        default = f" (default: {default})" if default and len(default) <= 20 else ""
        lines.append(f"  --{name:15}{_shortened(fields[name].metadata['help'], 100 - len(default))}{default}")
    lines += [f"  --{name:15}{_shortened(text, 100)}" for name, text in ABSL.items()]
    lines += ["", "Examples:", *(f"  {line}" for line in EXAMPLES.splitlines() if program in line)]
    return "\n".join([*lines, "", "--helpfull lists every option, with its type, default and choices."])


def full(program: str) -> str:
    """Every option by the sections of config.py: its type, default, choices and help, which names the unit."""
    hints, lines, section = typing.get_type_hints(config.Config), [], ""
    for field in dataclasses.fields(config.Config):
        if field.metadata["section"] != section:
            section = field.metadata["section"]
            lines += ["", f"{section}:"]
        kind = TYPES.get(hints[field.name], "whole numbers, separated by commas")
        if field.metadata["choices"]:
            kind = "one of " + ", ".join(choice or "blank" for choice in field.metadata["choices"])
        lines += _wrapped(
            f"--{field.name}", f"{kind}; default: {_text(field.default) or 'blank'}", field.metadata["help"]
        )
    lines += ["", "Of every program that is built on absl:"]
    lines += _wrapped("--flagfile", "file; default: blank", ABSL["flagfile"])
    lines += _wrapped("--verbosity", "whole number; default: 0", ABSL["verbosity"])
    return "\n".join([f"usage: python {program} --OPTION=VALUE ...   (--help: the options of most runs)", *lines])


def _wrapped(name, kind, text):
    return [f"  {name}  ({kind})", *textwrap.wrap(text, 110, initial_indent=" " * 6, subsequent_indent=" " * 6)]


def _shortened(text, length):
    return textwrap.shorten(text.rstrip("."), length, placeholder=" ...")


def _text(value):
    if isinstance(value, bool):
        return str(value).lower()
    return config.as_text(value)
