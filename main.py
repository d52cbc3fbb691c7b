"""Trains, evaluates, predicts, checks, prepares: python main.py --flagfile=configs/<run>.flags (--helpfull: all flags)."""

import importlib
import os
import sys

from absl import app, flags, logging

from tfseg import config


def main(argv):
    """Flags -> Config -> the mode's function of the same name."""
    if len(argv) > 1:
        raise app.UsageError(f"Expected flags only. Received: {' '.join(argv[1:])}.")
    given = flags.FLAGS
    if not given["verbosity"].present:
        logging.set_verbosity(logging.INFO)
    # A workdir is enough: every mode but training begins with the options of the run in it.
    finished = given.mode != "train" and given.workdir and os.path.isfile(os.path.join(given.workdir, "flags"))
    try:
        options = config.from_flags(given, config.load(given.workdir) if finished else None)
        mode = importlib.import_module(f"tfseg.{options.mode}")
        getattr(mode, options.mode)(options)
    except (ValueError, OSError, FloatingPointError) as error:
        if given.verbosity > 0:
            raise
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    config.define_flags()
    app.run(main)
