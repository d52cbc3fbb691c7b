"""The commands `tfseg` and `tfseg-export` of an installed tfseg, and `python -m tfseg`. main.py and export.py do the same."""

import importlib.util
import pathlib
import sys


def main() -> None:
    """The command `tfseg`: what main.py is in a checkout."""
    _run()


def export() -> None:
    """The command `tfseg-export`: what export.py is in a checkout."""
    _run("export")


def _run(*mode):
    if problem := foreign_package():
        sys.exit(f"ImportError: {problem}")
    from tfseg import command_line  # Imported after the check, because it imports these packages.

    command_line.run(*mode)


def foreign_package() -> str:
    """Says if another project's `models` or `input_pipeline` would be imported instead of ours; "" if not.

    These two names are general: another folder on PYTHONPATH, or below the current one for `python -m tfseg`, may have them.
    """
    ours = pathlib.Path(__file__).resolve().parents[1]
    for name in ("models", "input_pipeline"):
        found = importlib.util.find_spec(name)
        file = found and found.origin  # None if it is a folder without __init__.py
        if not file or pathlib.Path(file).resolve().parent != ours / name:
            return (
                f"Expected the package `{name}` of tfseg, in {ours / name}. Received: {file or 'none'}. Another "
                "project's package of this name comes first: take it off PYTHONPATH, start from another folder, or "
                "install tfseg into an environment of its own."
            )
    return ""


if __name__ == "__main__":
    main()
