"""The command line of both programs: it reads the flags into a Config and calls the function of the mode, inside one guard.

The guard turns each failure that a user can cause or meet (a wrong option, a damaged file, a full disk, too little memory,
Ctrl-C) into one sentence and an exit status. --verbosity=1 shows the traceback instead.
"""

import contextlib
import errno
import importlib
import os
import pathlib
import signal
import sys
from collections.abc import Iterator

from absl import app, flags, logging

from tfseg import config, flagfiles, help_text, silence, transcript, zoo

# Modes that read the run in --workdir. Training creates a run; the other modes need none.
OF_A_RUN = ("evaluate", "predict", "pseudo_label", "track", "export")


def run(mode: str = "") -> None:
    """Runs the program: parses the command line and calls `main`. `mode` is the default of --mode."""
    # Before TensorFlow is imported. It uses oneDNN by itself only on CPUs with AVX-512 VNNI or AMX. On one with AVX2 a
    # training step of U-Net on EfficientNet-Lite0 takes 0.64 of the time with it (8 images of 240x320: 5.2 and 3.3 s).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    config.define_flags()
    if mode:
        flags.FLAGS.set_default("mode", mode)
    with guard():
        words = flagfiles.expanded(sys.argv[1:])
    if text := help_text.asked_for(words, os.path.basename(sys.argv[0])):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a program such as `head` may close the pipe
        print(text)
        return
    verbose = silence.is_verbose(words)
    with (
        contextlib.nullcontext() if verbose else silence.kept() as copy_to,
        transcript.listening(verbose, copy_to),
        guard(),
    ):
        app.run(main, argv=[sys.argv[0], *words])


def main(argv: list[str]) -> None:
    """Reads the flags into a Config and calls the function of the mode, which has the name of the mode, as its module."""
    with guard():
        if len(argv) > 1:
            raise app.UsageError(f"Expected flags only. Received: {' '.join(argv[1:])}.")
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.INFO)
        options = of_run(flags.FLAGS)
        mode = importlib.import_module(f"tfseg.{options.mode}")
        getattr(mode, options.mode)(options)


def of_run(given: flags.FlagValues) -> config.Config:
    """The options that were given; for modes that work on a run, the others come from the run in --workdir.

    Raises:
        FileNotFoundError: if --workdir holds no run and no other option says which network to use.
    """
    options = zoo.completed(config.from_flags(given))
    if options.mode == "train" or not options.workdir:
        return options
    if os.path.isfile(os.path.join(options.workdir, "flags")):
        return config.from_flags(given, config.load(options.workdir))
    if options.mode in OF_A_RUN and not (options.model and options.init_from):
        there = "a folder without a run" if os.path.isdir(options.workdir) else "no such folder"
        raise FileNotFoundError(
            f"Expected the workdir of a run in {options.workdir}. Received: {there}. Check --workdir, or give --model and "
            "--init_from."
        )
    return options


@contextlib.contextmanager
def guard() -> Iterator[None]:
    """Turns a foreseeable failure inside the block into one sentence and an exit status."""
    try:
        yield
    except KeyboardInterrupt:
        _end(_interrupted(), 130)
    except Exception as error:
        if flags.FLAGS.is_parsed() and flags.FLAGS.verbosity > 0:
            raise
        said = sentence(error)
        if not said:
            raise
        _end(said, 1)


def sentence(error: Exception) -> str:
    """The sentence for a failure that is not a bug of ours; "" for any other failure."""
    name, text = type(error).__name__, str(error).strip()
    if isinstance(error, MemoryError) or name == "ResourceExhaustedError":
        if "No space left" in text or "quota" in text.lower():
            return f"OSError: Expected room on the disk. Received: {_first_line(text)}. Make room and run the command again."
        return (
            f"MemoryError: Expected enough memory. Received: {_first_line(text) or 'no more of it'}. Training: use a smaller "
            "--batch_size or --crop_size, or --accumulate_steps. Evaluation and prediction: use "
            "--eval_batch_size=1 or --inference='sliding_window(size=(512, 512))'."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"OSError: Expected room on the disk. Received: {text}. Make room and run the command again."
    if isinstance(error, PermissionError) or name == "PermissionDeniedError":
        return (
            f"PermissionError: Expected permission to read or write. Received: {_first_line(text)}. Choose another folder, "
            "or change its permissions."
        )
    if isinstance(error, UnicodeDecodeError):
        return f"ValueError: Expected text in UTF-8. Received: {text}. Save the file as UTF-8."
    if isinstance(error, (ValueError, OSError, FloatingPointError, ImportError)):
        return f"{name}: {text}"
    if any(base.__name__ == "OpError" for base in type(error).__mro__):  # TensorFlow may not be imported yet
        return f"{name}: {_first_line(text)} (--verbosity=1 shows where.)"
    return ""


def _interrupted():
    options = flags.FLAGS
    if not options.is_parsed() or options.mode != "train":
        return "Stopped by Ctrl-C. Finished files stay; the same command starts again."
    saved = options.workdir and any(pathlib.Path(options.workdir).expanduser().glob("checkpoints/last-*"))
    if saved:
        return "Stopped by Ctrl-C before the next step. The same command resumes from the last checkpoint."
    return "Stopped by Ctrl-C before the first step: there is nothing to save."


def _first_line(text):
    return text.splitlines()[0] if text else ""


def _end(said, status):
    print(said, file=sys.stderr, flush=True)
    sys.exit(status)
