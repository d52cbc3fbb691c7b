"""Each output, by hand; batches and single images give the same."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from tests.tfseg.prediction import conftest
from tfseg import pictures
from tfseg.config import Config
from tfseg.prediction import outputs

PIXELS = np.array([[[200, 0, 0], [0, 200, 0], [0, 0, 200]], [[0, 200, 0], [0, 200, 0], [200, 0, 0]]], np.uint8)
LABEL = np.array([[0, 1, 2], [1, 1, 0]], np.uint8)


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def one(tmp_path, run):
    """`one(**options)` predicts in/a.png, PIXELS."""

    def predicted(**options):
        Image.fromarray(PIXELS).save(tmp_path / "in" / "a.png")
        return run(images="in/a.png", **options)

    return predicted


@pytest.mark.parametrize("name", outputs.names())
def test_each_output_says_where_it_writes_and_refuses_options_it_has_not(name):
    (output,) = outputs.build(name)
    assert output.place
    assert output.each in ("image", "video", "run", "raster")
    assert (output.collect is None) == (output.each in ("image", "raster"))
    with pytest.raises(ValueError, match=rf"Expected {name}\("):
        outputs.build(f"{name}(no_such_option=1)")
    assert f"`{name}" in "`" + Config.__dataclass_fields__["outputs"].metadata["help"].replace("| ", "`").replace(
        ", or `", "`"
    )


def test_wrong_chains_are_refused_before_the_images_are_looked_for(run):
    for spec, message in (
        ("lables", "Did you mean 'labels'"),
        ("labels | labels", "each output once"),
        ("coco(min_area=0)", "1 pixel or more"),
        ("video(codec='h264')", "a codec"),
        ("geotiff(block=100)", "a multiple of 256"),
    ):
        with pytest.raises(ValueError, match=message):
            run(images="in/none.png", outputs=spec)


def test_a_palette_png_has_ids_and_colours(one):
    with Image.open(one(outputs="palette", label_ids="raw") / "palette" / "a.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(image, np.array([7, 100, 200])[LABEL])
        colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])[LABEL]
        np.testing.assert_array_equal(image.convert("RGB"), colors)
    large = [*conftest.CLASSES[:2], ["blue", [0, 0, 255], 300]]
    with pytest.raises(ValueError, match="ids up to 300"):
        one(outputs="palette", label_ids="raw", classes=large, output="large")


def test_probabilities_are_those_of_the_scores(one):
    """Scores of 200, 0 and 0: the softmax is 1, and e**-200, which is 0 in 16 bits. Labels are written as without them."""
    out = one(outputs="labels | probabilities")
    found = np.load(out / "probabilities" / "a.npz")["probabilities"]
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, np.eye(3)[LABEL])
    np.testing.assert_array_equal(read(out / "labels" / "a.png"), LABEL)


@pytest.mark.parametrize("inference", ["whole", "sliding_window(size=16)"])
def test_probabilities_of_a_network(run, tmp_path, noise, inference):
    import keras

    Image.fromarray(noise(40, 50)).save(tmp_path / "in" / "a.png")
    model = conftest.convolutions()
    out = run(model, outputs="labels | probabilities(compress=False)", inference=inference)
    found = np.load(out / "probabilities" / "a.npz")["probabilities"]
    np.testing.assert_allclose(found.astype(np.float32).sum(-1), 1, atol=2e-3)
    if inference == "whole":
        scores = keras.ops.softmax(model(noise(40, 50)[np.newaxis].astype(np.float32))["logits"])[0]
        np.testing.assert_allclose(found, scores, atol=1e-3)
    clear = np.sort(found, -1)[..., -1] - np.sort(found, -1)[..., -2] > 0.01
    np.testing.assert_array_equal(found.argmax(-1)[clear], read(out / "labels" / "a.png")[clear])


def test_opacity_and_a_legend_in_the_picture(one):
    """A quarter of 255 and three of 200: 213.75. The legend is beneath, on paper of at least 240 pixels."""
    plain = read(one(outputs="overlays", opacity=0.25) / "overlays" / "a.png")
    np.testing.assert_array_equal(plain, PIXELS // 200 * 214)
    found = read(one(outputs="overlays(legend=True)", opacity=0.0, output="with") / "overlays" / "a.png")
    np.testing.assert_array_equal(found[:2, :3], PIXELS)
    assert found.shape[1] == 240
    legend = pictures.legend(["red", "green", "blue"], [color for _, color, _ in conftest.CLASSES], 240)
    np.testing.assert_array_equal(found[2:], legend)


def test_the_legend_of_many_classes_has_those_that_occur():
    classes = [{"name": f"c{i}", "color": [i, i, i]} for i in range(40)]
    run = outputs.Run(classes, np.arange(40, dtype=np.uint8), np.array([c["color"] for c in classes], np.uint8), 0.5)
    image, label = np.zeros((8, 300, 3), np.uint8), np.zeros((8, 300), np.uint16)
    label[:, 9:] = 33
    prediction = outputs.Prediction("a", "a.png", 0, image, label, None, {})
    found = outputs.overlays.picture(prediction, run, legend=True)
    np.testing.assert_array_equal(found[8:], pictures.legend(["c0", "c33"], run.colors[[0, 33]], 300))
    assert len(outputs.overlays.picture(prediction, run, True, all_classes=True)) > len(found)


def test_coco_json_is_read_by_pycocotools(run, tmp_path, noise):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed: pip install '.[test]'")
    for i, size in enumerate(((40, 50), (30, 20), (40, 50))):
        Image.fromarray(noise(*size, i)).save(tmp_path / "in" / f"{i}.jpg")
    (tmp_path / "in" / "0a.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="1 of 4"):
        run(outputs="labels | coco", label_ids="raw", batch_size=2)
    out = tmp_path / "out"
    data = coco.COCO(str(out / "coco.json"))
    assert [c["name"] for c in data.dataset["categories"]] == ["red", "green", "blue"]
    assert {image["file_name"]: (image["height"], image["width"]) for image in data.dataset["images"]} == {
        "0.jpg": (40, 50),
        "1.jpg": (30, 20),
        "2.jpg": (40, 50),
    }
    for image in data.dataset["images"]:
        drawn = np.zeros((image["height"], image["width"]), np.uint8)
        for row in data.loadAnns(data.getAnnIds(image["id"])):
            drawn += data.annToMask(row) * row["category_id"]
        np.testing.assert_array_equal(drawn, read(out / "labels" / f"{image['file_name'][0]}.png"))
    with pytest.raises(ValueError, match=r"the first coco\.json"):
        run(outputs="coco")


def test_a_batch_gives_the_maps_of_single_images(run, tmp_path, noise):
    """Two sizes in turn, as of photos upright and across."""
    for i in range(7):
        size = (40, 56) if i % 2 else (56, 40)
        Image.fromarray(noise(*size, i)).save(tmp_path / "in" / f"{i}.png")
    model, found = conftest.convolutions(), {}
    for batch_size in (1, 3):
        out = run(model, outputs="labels | coco", batch_size=batch_size, output=f"by{batch_size}", crop_size=(64, 64))
        found[batch_size] = [read(path) for path in sorted((out / "labels").iterdir())]
    assert len(found[1]) == 7
    for one, many in zip(found[1], found[3], strict=True):
        np.testing.assert_array_equal(one, many)
    segments = [json.loads((tmp_path / f"by{n}" / "coco.json").read_text())["annotations"] for n in (1, 3)]
    assert [len(rows) for rows in segments] == [len(segments[0])] * 2


def test_a_list_on_standard_input(run, tmp_path, monkeypatch):
    for name in ("x/a.png", "y/a.png", "y/b c.png"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        Image.fromarray(PIXELS).save(tmp_path / "in" / name)
    lines = "".join(f"{tmp_path}/in/{name}\n" for name in ("y/b c.png", "x/a.png", "y/a.png", "x/gone.png"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{lines}\n"))
    with pytest.raises(ValueError, match=r"1 of 4 that cannot.*\n.*x/gone\.png: "):
        run(images="-")
    found = sorted(
        p.relative_to(tmp_path / "out" / "labels").as_posix() for p in (tmp_path / "out").rglob("labels/**/*.png")
    )
    assert found == ["x/a.png", "y/a.png", "y/b c.png"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    with pytest.raises(FileNotFoundError, match="standard input"):
        run(images="-", output="none")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{tmp_path}/out/labels/x/a.png\n{tmp_path}/in/x/a.png\n"))
    with pytest.raises(ValueError, match="where it might be replaced"):
        run(images="-")


def test_every_kind_of_image_is_read_as_in_preparation(run, tmp_path):
    """CMYK, RGBA, 16-bit gray, .webp: the labels are those of the pixels that preparation reads."""
    large = np.repeat(np.repeat(PIXELS, 16, 0), 16, 1)
    Image.fromarray(large).convert("CMYK").save(tmp_path / "in" / "cmyk.tif")
    Image.fromarray(np.dstack([large, large[..., 0]])).save(tmp_path / "in" / "rgba.png")
    Image.fromarray(large).save(tmp_path / "in" / "w.webp", lossless=True)
    Image.fromarray(large[..., 0].astype(np.uint16) * 257).save(tmp_path / "in" / "gray16.png")
    out = run(outputs="labels")
    for path in sorted((tmp_path / "in").iterdir()):
        pixels = input_pipeline.source.files.read_image(path)[1]
        np.testing.assert_array_equal(read(out / "labels" / f"{path.stem}.png"), pixels.argmax(-1), str(path))
    np.testing.assert_array_equal(read(out / "labels" / "rgba.png")[::16, ::16], LABEL)


def test_the_last_line_says_how_many_a_second(run, tmp_path, capsys):
    for i in range(4):
        Image.fromarray(PIXELS).save(tmp_path / "in" / f"{i}.png")
    run(batch_size=2)
    (last,) = capsys.readouterr().out.strip().splitlines()
    assert last.startswith(
        f"4 of 4 images predicted in {tmp_path / 'out'}: labels/ (train ids), colors/, overlays/, legend.png"
    )
    assert last.endswith(" images/s")
