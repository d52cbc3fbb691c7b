"""`geotiff/NAME.tif`: label maps of GeoTIFF images of any size, with their georeference; see rasters.py."""

from tfseg.prediction.outputs import Output


def geotiff(*, bands: tuple[int, int, int] = (1, 2, 3), block: int = 2048) -> Output:
    """Reads, predicts and writes window by window.

    Args:
        bands: those that are red, green and blue, counted from 1.
        block: pixels on a side of what is written at once; a multiple of 256. Larger ones need more memory and less time.
    """
    if len(bands) != 3 or not all(isinstance(band, int) and band > 0 for band in bands):
        raise ValueError(f"Expected bands=(RED, GREEN, BLUE), counted from 1. Received: bands={bands}.")
    if not isinstance(block, int) or block < 256 or block % 256:
        raise ValueError(f"Expected block to be a multiple of 256 pixels. Received: block={block}.")
    return Output("geotiff", lambda *_: None, ".tif", "raster", options={"bands": tuple(bands), "block": block})
