"""The functions and constants for image and mask files, in one module for the rest of the program."""

from input_pipeline.source.formats import FAULTS, PNG, kind, message, read, reason
from input_pipeline.source.images import decode_image, encode_png, is_turned, limits_of, read_image, scaled
from input_pipeline.source.lookup import IGNORE, Lookup, UnknownIdsError, color_code, color_text
from input_pipeline.source.masks import decode_mask, read_mask

__all__ = [
    "FAULTS",
    "IGNORE",
    "IMAGES",
    "PNG",
    "Lookup",
    "UnknownIdsError",
    "color_code",
    "color_text",
    "decode_image",
    "decode_mask",
    "encode_png",
    "is_turned",
    "kind",
    "limits_of",
    "message",
    "read",
    "read_image",
    "read_mask",
    "reason",
    "scaled",
]

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")  # the extensions of images
