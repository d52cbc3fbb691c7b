"""Writes files so that nothing half-written is left, and says first where nothing can be written."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator


def check_writable(folder: pathlib.Path) -> None:
    """Creates a folder, and a file in it that is removed at once; raises an OSError with the cause if this fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        file = next((path for path in (folder, *folder.parents) if path.is_file()), None)
        cause = f"{file} is a file" if file else error.strerror or str(error)
        raise OSError(
            f"Expected a folder that can be written for --output_dir. Received: {folder}: {cause}. Choose another folder, or "
            "change its permissions."
        ) from error


def write(path: pathlib.Path, data: bytes) -> None:
    """Writes a file; if this fails, nothing is left of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(data)
    except OSError:
        path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives another name for a file that is written step by step, and renames it at the end; after an error it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".writing-{path.name}")
    try:
        yield aside
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
