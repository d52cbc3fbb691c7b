"""Reads text files of a source tree: UTF-8, or UTF-16 and UTF-32 with a byte order mark. Any other encoding is an error."""

import codecs
from pathlib import Path

# UTF-32 comes first, since its mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read(path: Path) -> str:
    """Returns the text of a file without its byte order mark. Raises ValueError if it is not Unicode text."""
    return decode(path.read_bytes(), path)


def decode(data: bytes, path: Path | str) -> str:
    """The same as `read` for the bytes of a file; `path` is its name in errors."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        around = data.splitlines()[line - 1].decode("ascii", "replace").strip() if encoding == "utf-8" else ""
        raise ValueError(
            f"Expected text in UTF-8. Received: {path}, whose byte {error.start} (0x{data[error.start]:02x}, in line "
            f"{line}{f': {around!r}' if around else ''}) is not {encoding.upper()}. Save it as UTF-8."
        ) from error
    if "\0" in text:
        raise ValueError(
            f"Expected text in UTF-8. Received: {path}, which holds zero bytes, as UTF-16 without its mark does. "
            "Save it as UTF-8."
        )
    return text


def lines(path: Path) -> list[str]:
    """The lines of a file without white space around them. Only line ends separate them."""
    return [line.strip() for line in read(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")]
