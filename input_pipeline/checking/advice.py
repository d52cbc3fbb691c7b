"""Says what a value outside the class table most likely means, and what the user should do."""

from input_pipeline.preparation.judgement import Tally, hints
from input_pipeline.source.class_tables import Class
from input_pipeline.source.files import IGNORE, color_text
from input_pipeline.source.listing import some

_NEAR = 32  # the largest difference of a channel, 0..255, that we put down to JPEG or smooth scaling
_RARE = 1e-4  # a value with a smaller share of all pixels is probably a mistake


def suggest(tally: Tally, rows: list[tuple[Class, int]], editable: bool) -> list[str]:
    """Returns the messages about values outside the table, and about a table that does not fit.

    Args:
        tally: of all masks, with the values of the table.
        rows: the rows of the class table with their train ids.
        editable: whether the table is a classes.csv, which the user can change.
    """
    found = [v for v in tally.values.values() if v.images]
    unknown = sorted((v for v in found if v.train_id is None), key=lambda v: -v.pixels)
    said = [hint.text for hint in hints(tally, rows, editable)]
    if unknown:
        total = sum(v.pixels for v in found)
        lines = [
            f"{v}: {100 * v.pixels / total:.4f} % of the pixels, {v.images} images, as {v.example}: "
            + _single(v, tally.values, v.pixels / total, editable)
            for v in unknown
        ]
        what = "colours" if unknown[0].colored else "ids"
        said.append(
            f"{what.capitalize()} outside the class table, {len(unknown)} in all:\n     " + some(lines, "\n     ")
        )
    return said


def _single(value, values, share, editable):
    """Says what one value most likely is."""
    table = {v.code: v.name for v in values.values() if v.train_id is not None and v.colored == value.colored}
    row = f"{value.code},ignore" if not value.colored else f"<id>,ignore,{str(value)[1:-1].replace(' ', '')}"
    if value.colored:
        r, g, b = _rgb(value.code)
        if (b << 16 | g << 8 | r) in table:
            return f"{table[b << 16 | g << 8 | r]} with red and blue exchanged. Save RGB, not BGR"
        near = min(table, key=lambda code: _distance(code, value.code), default=None)
        if near is not None and _distance(near, value.code) <= _NEAR:
            return f"nearly {table[near]} {color_text(near)}: a JPEG, or smooth scaling. Export without"
    if share < _RARE or value.code == (0 if value.colored else IGNORE):
        return f"most likely unlabelled: add the row {row}" if editable else "most likely unlabelled, or a slip"
    if editable:
        return f"add a row for it, or {row}"
    return "another release of the masks? `folder` with a classes.csv takes any ids"


def _rgb(code):
    return code >> 16, code >> 8 & 255, code & 255


def _distance(a, b):
    return max(abs(x - y) for x, y in zip(_rgb(a), _rgb(b), strict=True))
