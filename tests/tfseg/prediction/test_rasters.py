"""GeoTIFF by windows: the same labels as with the whole image in memory, and the georeference is kept."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.tfseg.prediction import conftest
from tfseg import inference
from tfseg.prediction import rasters

WINDOWS = "sliding_window(size=(64, 48), overlap=0.5)"


@pytest.fixture
def write(tmp_path):
    """`write(name, values, **profile)` writes values [bands, height, width] as a GeoTIFF in tmp_path / "in"."""
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed: pip install '.[geo]'")

    def written(name, values, crs="EPSG:32633", origin=(500000.0, 5400000.0), **profile):
        values = np.asarray(values)
        count, height, width = values.shape
        place = {"crs": crs, "transform": rasterio.transform.from_origin(*origin, 0.5, 0.5)} if crs else {}
        size = {"count": count, "height": height, "width": width, "dtype": values.dtype}
        with rasterio.open(tmp_path / "in" / name, "w", driver="GTiff", **size, **place, **profile) as file:
            file.write(values)
        return tmp_path / "in" / name

    return written


def test_windows_that_touch_a_block():
    """10 pixels, windows of 4 every 2: they start at 0, 2, 4 and 6. Blocks of 5: the first is touched by those at 0, 2 and 4,
    which end at 8; the second by those at 2, 4 and 6.
    """
    assert rasters.spans(10, 4, 2, 5) == [(0, 5, 0, 8), (5, 10, 2, 10)]
    assert rasters.spans(3, 4, 2, 5) == [(0, 3, 0, 3)]  # smaller than a window
    # 11 pixels: the last window is moved inwards, to 7.
    assert rasters.spans(11, 4, 2, 5)[2] == (10, 11, 7, 11)


@pytest.mark.parametrize("spec", ["sliding_window(size=9) | multi_scale(flip=True)", "whole", "whole | crf(steps=1)"])
def test_other_chains_need_the_whole_image(spec):
    assert rasters.windows(spec) is None


def test_the_size_and_the_steps_of_windows():
    assert rasters.windows("multi_scale(flip=True) | sliding_window(64, overlap=0.25)") == ((64, 64), (48, 48))


def test_windows_give_what_the_whole_image_gives(run, write, noise):
    """Blocks of 256 in an image of 530 x 300, whose last windows are moved inwards: to the last pixel."""
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed: pip install '.[geo]'")
    pixels, model = noise(530, 300), conftest.convolutions()
    source = write("a.tif", pixels.transpose(2, 0, 1))
    out = run(model, images="in/a.tif", inference=WINDOWS, outputs="geotiff(block=256)")
    with rasterio.open(out / "geotiff" / "a.tif") as found, rasterio.open(source) as before:
        assert (found.crs, found.transform) == (before.crs, before.transform)
        assert (found.dtypes, found.nodata, found.profile["tiled"]) == (("uint8",), 255, True)
        assert found.colormap(1)[1] == (0, 255, 0, 255)
        label = found.read(1)
    expected = tf.argmax(inference.build(WINDOWS, model)(pixels[np.newaxis]), -1)[0].numpy()
    assert len(np.unique(expected)) == 3
    np.testing.assert_array_equal(label, expected)
    # The usual way, with the image in memory.
    run(model, images="in/a.tif", inference=WINDOWS, outputs="labels", output="usual")
    with Image.open(out.parent / "usual" / "labels" / "a.png") as usual:
        np.testing.assert_array_equal(label, usual)


def test_no_more_than_a_block_is_in_memory(run, write, monkeypatch):
    """A block of 256 and a window around it, whatever the image."""
    largest, real = [], rasters._to_rgb

    def watched(*args):
        to_rgb = real(*args)

        def read(window):
            largest.append(window.width * window.height)
            return to_rgb(window)

        return read

    monkeypatch.setattr(rasters, "_to_rgb", watched)
    write("a.tif", np.zeros((3, 1100, 1000), np.uint8))
    run(inference="sliding_window(size=64)", outputs="geotiff(block=256)")
    assert len(largest) == 5 * 4
    assert max(largest) <= (256 + 2 * 64) ** 2


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        # 16 bits: the high byte, 2 of 512 and 1 of 256, as in preparation.
        (np.array([[[512]], [[256]], [[0]]], np.uint16), {}, 0),
        # A range of -1..1: the second band is the highest.
        (np.array([[[-1]], [[1]], [[0]]], np.float32), {"image_range": "-1,1"}, 1),
        # Infrared is band 4; of blue, green and red, band 1 is blue.
        (np.array([[[9]], [[0]], [[3]], [[99]]], np.uint8), {"outputs": "geotiff(bands=(3, 2, 1))"}, 2),
    ],
    ids=["16 bits", "floats", "four bands"],
)
def test_bands_and_depths(run, write, values, options, expected):
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed: pip install '.[geo]'")
    write("a.tif", np.broadcast_to(values, (len(values), 20, 30)))
    out = run(**{"outputs": "geotiff", **options})
    with rasterio.open(out / "geotiff" / "a.tif") as found:
        np.testing.assert_array_equal(found.read(1), np.full((20, 30), expected))


def test_missing_pixels_stay_missing(run, write):
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed: pip install '.[geo]'")
    values = np.full((3, 20, 30), 90, np.uint8)
    values[:, :5] = 0
    write("a.tif", values, nodata=0)
    with rasterio.open(run(outputs="geotiff", label_ids="raw") / "geotiff" / "a.tif") as found:
        np.testing.assert_array_equal(found.read(1)[:5], 255)
        np.testing.assert_array_equal(found.read(1)[5:], 7)
        assert found.nodata == 255


def test_a_damaged_raster_is_named_and_the_others_are_written(run, write, tmp_path):
    write("b.tif", np.zeros((3, 20, 30), np.uint8), crs=None)
    whole = write("a.tif", np.random.default_rng(0).integers(0, 255, (3, 300, 300), np.uint8))
    whole.write_bytes(whole.read_bytes()[:9000])
    write("c.tif", np.zeros((3, 20, 30), np.float32))
    with pytest.raises(ValueError, match=r"2 of 3 that cannot.*\n.*a\.tif: .*\n.*c\.tif: .*float32.*--image_range"):
        run(outputs="geotiff")
    assert [path.name for path in (tmp_path / "out" / "geotiff").iterdir()] == ["b.tif"]


def test_what_needs_the_whole_image_is_refused(run, write):
    write("a.tif", np.zeros((3, 20, 30), np.uint8))
    with pytest.raises(ValueError, match="geotiff alone"):
        run(outputs="geotiff | labels")
    with pytest.raises(ValueError, match="neither --monte_carlo nor --submission"):
        run(outputs="geotiff", submission="cityscapes")
