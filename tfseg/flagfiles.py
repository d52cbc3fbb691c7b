"""Reads flagfiles: files of options, which may name other flagfiles beside them."""

import os
import pathlib


def expanded(words: list[str], folder: str = "", seen: tuple[str, ...] = ()) -> list[str]:
    """Command-line words with each `--flagfile=<path>` replaced by the lines of that file.

    absl reads flagfiles too, but looks for a relative path in the current folder only. Here a path inside a flagfile may
    also be relative to that file's folder, or to the folder above it (`configs/_camvid.flags` in configs/camvid_enet.flags).

    Args:
        words: the command line.
        folder: of the flagfile that holds the words; "" for the command line itself.
        seen: the flagfiles that are being read, from the outermost to this one.

    Raises:
        FileNotFoundError: if there is no such flagfile.
        ValueError: if a flagfile contains itself, or cannot be read as UTF-8.
    """
    found, words = [], list(words)
    while words:
        word = words.pop(0)
        if word in ("--flagfile", "-flagfile") and words:
            word = f"--flagfile={words.pop(0)}"
        if not word.startswith(("--flagfile=", "-flagfile=")):
            found.append(word)
            continue
        given = os.path.expanduser(word.partition("=")[2])
        tried = [os.path.abspath(os.path.join(start, given)) for start in dict.fromkeys(("", folder, f"{folder}/.."))]
        path = next((path for path in tried if os.path.isfile(path)), None)
        if path is None:
            raise FileNotFoundError(f"Expected a flagfile at {tried[0]}. Received: no such file.")
        if path in seen:
            raise ValueError(f"Expected flagfiles that do not contain themselves. Received: {path}, from {seen[-1]}.")
        try:
            lines = [line.strip() for line in pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise ValueError(f"Expected a flagfile in UTF-8. Received: {path}: {error}. Save it as UTF-8.") from error
        lines = [line for line in lines if line and not line.startswith(("#", "//"))]
        found += expanded(lines, os.path.dirname(path), (*seen, path))
    return found
