"""Label maps of GeoTIFF images of any size, window by window, in memory that does not grow with the image.

What is written at once is a block. For each block all windows of `sliding_window` that touch it are read, so that its pixels
are computed from the same windows, with the same weights, as if the whole image were in memory. The rest is cut off.
"""

import contextlib
import inspect
import itertools
import pathlib
import warnings
from collections.abc import Callable

import numpy as np

from input_pipeline.source import files
from tfseg import inference
from tfseg import spec as specs
from tfseg.inference.sliding_window import steps
from tfseg.prediction import folders
from tfseg.prediction.outputs import Run

CACHE = 64  # MB of GDAL's cache of blocks; its default is 5 % of the machine's memory


def check() -> None:
    """Raises ImportError if rasterio is not installed."""
    try:
        import rasterio  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Expected the package rasterio for --outputs=geotiff. Received: {error}. Install it: pip install 'tfseg[geo]'."
        ) from error


def windows(spec: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The windows' size and the steps between them, if a chain of inference ends with a sliding window; otherwise None.

    Windows of scaled images do not count: `sliding_window(..) | multi_scale(..)` needs the whole image.
    """
    calls = specs.parse_chain(spec)
    if not calls or calls[-1].name != "sliding_window":
        return None
    bound = inspect.signature(inference.sliding_window).bind(None, None, *calls[-1].args, **calls[-1].kwargs)
    bound.apply_defaults()
    return steps(bound.arguments["size"], bound.arguments["overlap"])


def spans(extent: int, size: int, step: int, block: int) -> list[tuple[int, int, int, int]]:
    """(first, end) of the pixels to write and (first, end) of those to read for it, along one axis.

    Args:
        extent: pixels of the image.
        size: of a window.
        step: from one window to the next; the last one ends where the image ends.
        block: pixels to write at once.
    """
    length = min(size, extent)
    starts = [*range(0, extent - length, step), extent - length]
    found = []
    for begin in range(0, extent, block):
        end = min(begin + block, extent)
        touching = [start for start in starts if start < end and start + length > begin]
        found.append((begin, end, touching[0], touching[-1] + length))
    return found


def write(
    source: pathlib.Path,
    path: pathlib.Path,
    labels: Callable[[np.ndarray], np.ndarray],
    spec: str,
    run: Run,
    told: Callable[[int], None] = lambda blocks: None,
    image_range: str = "",
    bands: tuple[int, int, int] = (1, 2, 3),
    block: int = 2048,
) -> None:
    """Writes the label map of a raster as a tiled GeoTIFF with its georeference.

    Pixels that the source marks as missing get the largest value of the ids' type, which is then declared as such, unless a
    class has that id. With 8 bits, the file has the colours of the classes.

    Args:
        source: a raster that GDAL reads, with one or two bands (the first is gray) or with `bands`.
        path: of the GeoTIFF.
        labels: RGB uint8 [height, width, 3] to train ids [height, width].
        spec: the chain of inference that `labels` computes. If it does not end with a sliding window, the image is one block.
        run: ids and colours.
        told: is called after each block with the number of all blocks.
        image_range: as --image_range, for values of more than 8 bits.
        bands: red, green and blue, from 1.
        block: pixels on a side of what is written at once.

    Raises:
        ValueError: if the source cannot be read.
        OSError: if the path cannot be written; nothing is left of it.
    """
    import rasterio
    from rasterio.windows import Window

    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=CACHE):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with _readable():
            image = rasterio.open(source)
        with image:
            to_rgb, (height, width), found = _to_rgb(image, bands, image_range), image.shape, windows(spec)
            (size, step), side = found or (image.shape, image.shape), block if found else max(image.shape)
            rows, columns = spans(height, size[0], step[0], side), spans(width, size[1], step[1], side)
            with folders.whole(path) as aside:
                with _writable(path), rasterio.open(aside, "w", **_profile(image, run)) as target:
                    if run.ids.dtype == np.uint8:
                        colors = zip(run.ids.tolist(), run.colors.tolist(), strict=True)
                        target.write_colormap(1, {i: (*color, 255) for i, color in colors})
                    for (top, bottom, y0, y1), (left, right, x0, x1) in itertools.product(rows, columns):
                        here = Window(left, top, right - left, bottom - top)
                        with _readable():
                            pixels = to_rgb(Window(x0, y0, x1 - x0, y1 - y0))
                            valid = image.dataset_mask(window=here)
                        ids = run.ids[labels(pixels)[top - y0 : bottom - y0, left - x0 : right - x0]]
                        if target.nodata is not None:
                            ids[valid == 0] = target.nodata
                        target.write(ids, 1, window=here)
                        told(len(rows) * len(columns))
                with _writable(path), rasterio.open(aside) as written:  # what GDAL wrote last is the table of the tiles
                    written.read(1, window=Window(width - 1, height - 1, 1, 1))


@contextlib.contextmanager
def _writable(path):
    """Says which file cannot be written, where GDAL only says that writing failed."""
    import rasterio

    try:
        yield
    except rasterio.errors.RasterioError as error:
        raise OSError(f"Expected room for {path}. Received: {error} Make room, and run the command again.") from error


@contextlib.contextmanager
def _readable():
    """Turns what rasterio raises on a damaged file into a ValueError, so that it is told from a full disk."""
    import rasterio

    try:
        yield
    except (rasterio.errors.RasterioError, OSError) as error:
        raise ValueError(f"Expected a raster that can be read. Received: {error}") from error


def _to_rgb(image, bands, image_range):
    """Makes the function of a window to its pixels, RGB uint8 [height, width, 3], by the rules of preparation."""
    if image.count > 2 and max(bands) > image.count:
        raise ValueError(f"Expected bands of 1..{image.count}. Received: bands={bands}")
    chosen, kind = list(bands) if image.count > 2 else [1, 1, 1], np.dtype(image.dtypes[0])
    limits, palette = files.limits_of(image_range), None
    if image.colorinterp[0].name == "palette":
        palette = np.zeros((256, 3), np.uint8)
        for i, color in image.colormap(1).items():
            palette[i] = color[:3]
    elif kind not in (np.uint8, np.uint16) and not limits:
        raise ValueError(
            f"Expected 8 or 16 bits a channel. Received: {kind}. Give --image_range=LOW,HIGH, the values that become 0 and 255"
        )
    bits = int(image.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 16))

    def to_rgb(window):
        values = image.read(chosen, window=window)
        if palette is not None:
            return palette[values[0]]
        if kind != np.uint8:
            values = files.scaled(values, *limits) if limits else (values >> (bits - 8)).astype(np.uint8)
        return np.ascontiguousarray(values.transpose(1, 2, 0))

    return to_rgb


def _profile(image, run):
    """What the file of a label map is opened with: the source's size and georeference, and compressed tiles."""
    largest = int(np.iinfo(run.ids.dtype).max)
    profile = {"driver": "GTiff", "height": image.height, "width": image.width, "count": 1, "dtype": run.ids.dtype}
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "bigtiff": "if_safer"}
    if image.crs:
        profile |= {"crs": image.crs, "transform": image.transform}
    elif image.gcps[0]:
        profile |= {"gcps": image.gcps[0], "crs": image.gcps[1]}
    elif not image.transform.is_identity:
        profile["transform"] = image.transform
    return profile if largest in run.ids else {**profile, "nodata": largest}
