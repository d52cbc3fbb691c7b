"""Pictures for people: label maps in colour, overlays, legends, panels, confusion matrices and plots.

Every picture is RGB uint8 [height, width, 3], lengths are pixels. Class colours are [C, 3], 0..255.
"""

from tfseg.pictures.contact_sheet import contact_sheet
from tfseg.pictures.objects import instance_colors, objects_panel, with_instances, with_objects
from tfseg.pictures.plots import confusion_picture, costs_picture
from tfseg.pictures.responses import responses
from tfseg.pictures.segmentation import colorize, error_map, legend, overlay, panel, with_legend

__all__ = [
    "colorize",
    "confusion_picture",
    "contact_sheet",
    "costs_picture",
    "error_map",
    "instance_colors",
    "legend",
    "objects_panel",
    "overlay",
    "panel",
    "responses",
    "with_instances",
    "with_legend",
    "with_objects",
]
