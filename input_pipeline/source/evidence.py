"""Decides whether the values of a mask are ids or colours, from its palette, its gray levels and the class table.

optipng and ImageMagick turn RGB masks into palette masks whose palette is in another order than the class table. The
colours of such a palette give the classes. If a palette has other colours than the table, its indices give the classes.
If colours and indices give different classes, the mask is refused, because nobody can know which is right.
"""

import dataclasses

import numpy as np

from input_pipeline.source.lookup import Lookup, color_code, color_text
from input_pipeline.source.masks import Mask

_NEAR = 8  # the largest difference of a channel, 0..255, that we put down to a reduction to a few colours
_NEEDS_RGB = "Expected an RGB mask in the colours of the class table. Received: a gray or palette mask. Save it as RGB"


class ConflictError(ValueError):
    """The palette or the gray levels of a mask can be read in two ways that give different classes."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a mask is read: `lookup` maps `codes`, which are ids, or codes of colours if `colored`."""

    lookup: Lookup | None  # None only if check shows a mask that the table cannot read
    codes: np.ndarray  # integers [height, width]
    colored: bool
    how: str = ""  # if there was a choice: `gray colours`, `gray ids`, `palette colours`, `palette indices`


def read_by(mask: Mask, by_id: Lookup | None, by_color: Lookup | None, implied: tuple[int, ...] = ()) -> Reading:
    """Decides how to read a mask with a class table.

    Args:
        mask: the mask.
        by_id: the table's ids, None if it has none.
        by_color: the table's colours, None if masks cannot be in colours.
        implied: ids that are in `by_id` although no row of the table has them.

    Raises:
        ConflictError: if the evidence conflicts.
        ValueError: if the mask needs ids or colours that the table does not have.
    """
    if mask.values.ndim == 3:
        return _rgb(mask.values, by_id, by_color)
    if mask.palette is not None and by_color and not _is_ramp(mask):
        return _by_palette(mask, by_id, by_color)
    if not by_id:
        raise ValueError(_NEEDS_RGB)
    if by_color:
        return _by_level(mask, by_id, by_color, implied)
    return Reading(by_id, mask.values, False)


def _rgb(pixels, by_id, by_color):
    deep, equal = pixels.dtype != np.uint8, (pixels == pixels[..., :1]).all()
    if by_color and not deep:
        return Reading(by_color, color_code(pixels), True)
    if by_color:  # in 16 bits, 8-bit colours are stored multiplied by 257, or unchanged
        for colors in (pixels // 257,) if (pixels % 257 == 0).all() else (pixels,) if pixels.max() < 256 else ():
            codes = color_code(colors)
            if np.isin(codes, by_color.known).all():
                return Reading(by_color, codes, True)
    if equal and by_id:
        return Reading(by_id, pixels[..., 0], False)  # gray ids saved as RGB
    if deep:
        raise ConflictError(
            "Expected 8 bits a channel, or ids in three equal channels. Received: a colour mask of 16 bits a channel. "
            "Save it with 8 bits"
        )
    raise ValueError(
        "Expected ids (a palette or gray mask): the class table has no colours. Received: an RGB mask. "
        "Save ids, or give the classes their colours"
    )


def _by_palette(mask, by_id, by_color):
    used = np.unique(mask.values)
    shown = _entries(mask.palette, used)
    codes = color_code(shown)
    ids, colors = by_id.train_ids if by_id else {}, by_color.train_ids
    of_id = [ids.get(int(i)) for i in used]
    of_color = [colors.get(int(code)) for code in codes]
    colored_ids = set(colors.values())
    # Read by index if the colour gives the same class, or the table has no colour for that id.
    if all(
        i is not None and (c == i or (c is None and i not in colored_ids)) for i, c in zip(of_id, of_color, strict=True)
    ):
        return Reading(by_id, mask.values, False, "palette indices")
    by_palette = Reading(
        by_color, color_code(_entries(mask.palette, np.arange(256)))[mask.values], True, "palette colours"
    )
    others = {int(code) for code in color_code(mask.palette)} - {0}
    only_black = used.tolist() == [0] and codes[0] == 0 and others and not others & colors.keys()
    if None not in of_color and not (only_black and by_id):
        return by_palette
    # Index 0 in black is no evidence: black is the first colour of most palettes.
    strong = [c for i, code, c in zip(used, codes, of_color, strict=True) if c is not None and (i, code) != (0, 0)]
    if strong and not by_id:
        return by_palette  # colours that are not in the table are reported or ignored, as in an RGB mask
    if not by_id:
        raise ValueError(_NEEDS_RGB)
    near = [(i, _nearest(color, colors)) for i, color, code in zip(of_id, shown, codes, strict=True) if code]
    reduced = near and all(c is not None for _, c in near) and any(i != c for i, c in near)
    if not strong and None not in of_id and not reduced:
        return Reading(by_id, mask.values, False, "palette indices")
    lines = []
    for index, code, color in zip(used.tolist(), codes.tolist(), of_color, strict=True):
        lines.append(f"index {index} is {color_text(code)}, {'a' if color is not None else 'no'} colour of the table")
    raise ConflictError(
        "Expected a palette in the colours of the class table, or ids in a palette of other colours. Received: "
        f"{'; '.join(lines[:6])}. Save the mask as RGB in the table's colours, or as gray ids"
    )


def _by_level(mask, by_id, by_color, implied):
    """Reads a gray mask with a table that has colours: levels are ids, unless they are the table's grays."""
    levels = np.unique(mask.values)
    scale = 255 // mask.white if mask.white else 1
    shown = levels.astype(np.int64) * scale
    codes = np.where(shown < 256, shown << 16 | shown << 8 | shown, -1)
    of_id = [by_id.train_ids.get(int(level)) for level in levels]
    of_color = [by_color.train_ids.get(int(code)) for code in codes]
    if None in of_color or of_color == of_id:
        return Reading(by_id, mask.values, False, "gray ids" if of_color != of_id else "")
    differ = {int(level) for level, i, c in zip(levels, of_id, of_color, strict=True) if i != c}
    if None not in of_id and levels.tolist() == [0]:
        return Reading(by_id, mask.values, False)  # no evidence: most tools start from black
    if None in of_id or differ <= set(implied):
        gray = mask.values.astype(np.int32) * scale
        return Reading(by_color, gray << 16 | gray << 8 | gray, True, "gray colours")
    raise ConflictError(
        f"Expected ids, or the grays of the class table. Received: levels {', '.join(map(str, levels[:10].tolist()))}, "
        "which are both, but of different classes. Save the mask as RGB in the table's colours, or as a palette of ids"
    )


def _is_ramp(mask):
    """Whether each index is shown as the gray of the same level: a gray mask that was saved with a palette."""
    levels = np.arange(len(mask.palette))[:, np.newaxis]
    used = np.unique(mask.values)
    of_own = (mask.palette == levels) | (mask.palette == 0)
    return (
        len(levels) > 1
        and of_own.all()
        and mask.palette[1].any()
        and (_entries(mask.palette, used) == used[:, None]).all()
    )


def _entries(palette, indices):
    """The colours of indices. Indices beyond the palette's end are black, as decoders show them."""
    whole = np.zeros((256, 3), np.uint8)
    whole[: len(palette)] = palette
    return whole[indices]


def _nearest(color, colors):
    """The train id of the table's colour that differs the least, None if no colour is near."""
    known = np.array([(code >> 16, code >> 8 & 255, code & 255) for code in colors])
    far = np.abs(known - color.astype(int)).max(-1)
    return list(colors.values())[int(far.argmin())] if far.min() <= _NEAR else None
