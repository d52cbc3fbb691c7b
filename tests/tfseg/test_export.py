"""The SavedModel: its signatures, and what clients may send."""

import io
import json
import os
import struct
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfseg import checkpoint, evaluate, export, export_check, warm_up
from tfseg.config import Config

CLASSES = [["red", [255, 0, 0], 7], ["green", [0, 255, 0], None], ["blue", [0, 0, 255]]]


@pytest.fixture(scope="module")
def network():
    """Its scores are the channels of the image; the convolution aborts the process if an image has no batch."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    same = keras.layers.Conv2D(3, 1, use_bias=False, kernel_initializer=lambda shape, dtype: np.eye(3)[None, None])
    return keras.Model(inputs, {"logits": same(inputs)})


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "trained_model", lambda config: (network, checkpoint.State(classes=CLASSES)))
        patch.setattr(export, "_samples", lambda *_: [(np.full((8, 9, 3), 200, np.uint8), None)])
        options = {"outputs": "probabilities,logits", "max_pixels": 20_000}
        export.export(Config(mode="export", workdir=str(folder.parent), output_dir=str(folder), **options))
    return folder


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


@pytest.fixture(scope="module")
def signatures(loaded):
    return loaded.signatures


def encoded(pixels, kind="png", **options):
    buffer = io.BytesIO()
    mode = options.pop("mode", None)
    Image.fromarray(np.asarray(pixels), mode).save(buffer, kind, **options)
    return buffer.getvalue()


PIXELS = np.array([[[200, 0, 0], [0, 200, 0], [0, 0, 200]]], np.uint8)
BATCH = np.stack([PIXELS, PIXELS[:, ::-1]])
MAPS = [[[0, 1, 2]], [[2, 1, 0]]]


def test_the_folder_has_what_a_server_needs(exported):
    rows = json.loads((exported / "assets.extra" / "classes.json").read_text())
    assert [(row["id"], row["raw"], row["name"]) for row in rows] == [
        (0, 7, "red"),
        (1, None, "green"),
        (2, None, "blue"),
    ]
    about = json.loads((exported / "assets.extra" / "export.json").read_text())
    assert about["classes"] == rows
    assert (about["num_classes"], about["size"], about["format"]) == (3, "any", "saved_model")
    assert about["check"]["equal"] == 1
    assert "tensorflow" in about["environment"]["packages"]
    assert not [line for line in about["options"] if str(exported.parent) in line]  # no paths of the maker
    stored = tf.train.list_variables(str(exported / "variables" / "variables"))
    assert stored == [("_CHECKPOINTABLE_OBJECT_GRAPH", [])]  # the weights are constants
    assert os.listdir(exported.parent) == ["model"]  # nothing is left beside it


def test_the_signatures_answer_what_they_say(signatures):
    assert set(signatures) == {"serving_default", "png", "predict_images", "probabilities", "logits"}
    files = tf.constant([encoded(one) for one in BATCH])
    for result in (signatures["serving_default"](image_bytes=files), signatures["predict_images"](images=BATCH)):
        assert set(result) == {"classes", "confidence"}
        assert result["classes"].dtype == tf.uint8
        np.testing.assert_array_equal(result["classes"], MAPS)
        np.testing.assert_allclose(result["confidence"], 1)  # 1 / (1 + 2 exp(-200))
    png = signatures["png"](image_bytes=files)["png_bytes"].numpy()
    assert [np.asarray(Image.open(io.BytesIO(one))).tolist() for one in png] == MAPS
    assert [Image.open(io.BytesIO(one)).mode for one in png] == ["L", "L"]
    # exp(1) / (exp(1) + 2 exp(0)) = 0.5761 for the pixel (1, 0, 0)
    np.testing.assert_allclose(
        signatures["probabilities"](images=PIXELS[np.newaxis] // 200)["probabilities"][0, 0, 0],
        [0.5761, 0.2119, 0.2119],
        atol=1e-4,
    )
    np.testing.assert_array_equal(signatures["logits"](images=BATCH)["logits"], BATCH)


@pytest.mark.parametrize(
    "shape",
    [(64, 96, 3), (3,), (), (2, 64, 96), (1, 64, 96, 1), (1, 64, 96, 4), (1, 1, 8, 8, 3), (0, 8, 8, 3), (1, 0, 8, 3)],
)
def test_what_is_no_batch_of_images_is_an_error_of_the_request(signatures, shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Expected images \[batch, height, width, 3\]"):
        signatures["predict_images"](images=tf.zeros(shape, tf.uint8))
    assert signatures["predict_images"](images=tf.zeros([1, 4, 5, 3], tf.uint8))["classes"].shape == (1, 4, 5)


@pytest.mark.parametrize("image", [tf.zeros([1, 8, 8, 3]), tf.zeros([1, 8, 8, 3], tf.int32), tf.constant(["x"])])
def test_other_types_are_an_error_of_the_request(signatures, image):
    with pytest.raises(tf.errors.InvalidArgumentError, match="uint8"):
        signatures["predict_images"](images=image)


@pytest.mark.parametrize("signature", ["serving_default", "png"])
@pytest.mark.parametrize("shape", [(), (0,), (1, 1)])
def test_what_is_no_batch_of_files_is_an_error_of_the_request(signatures, signature, shape):
    data = tf.fill(shape, tf.io.encode_png(tf.zeros([4, 5, 3], tf.uint8)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures[signature](image_bytes=data)


def test_files_are_turned_and_refused_in_the_graph(signatures):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(np.rot90(PIXELS), exif=exif)
    data = tf.constant([turned, encoded(PIXELS, "bmp")])
    np.testing.assert_array_equal(signatures["serving_default"](image_bytes=data)["classes"], [[[0, 1, 2]]] * 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a JPEG, PNG, BMP, GIF or WebP file"):
        signatures["serving_default"](image_bytes=tf.constant([b"no picture"]))


def png_of(width, height, depth=8, color=2, data=b""):
    """A PNG file that declares a size, whatever its data."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def gif(pictures):
    frames = [Image.fromarray(np.full((4, 5), 80 * i, np.uint8)) for i in range(pictures)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "gif", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


NOISE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
REFUSED = {
    "no bytes": ([b""], "a JPEG, PNG, BMP, GIF or WebP file"),
    "text": ([b"\xff\xd8\xff"], ""),
    "cut in the header": ([encoded(PIXELS)[:20]], ""),
    "cut png": ([encoded(NOISE)[:-2000]], ""),
    "cut jpeg": ([encoded(NOISE, "jpeg")[:-600]], ""),
    "cut bmp": ([encoded(NOISE, "bmp")[:-600]], ""),
    "cut webp": ([encoded(NOISE, "webp")[:-600]], ""),
    "cmyk jpeg": ([encoded(np.zeros((4, 5, 4), np.uint8), "jpeg", mode="CMYK")], "a gray or RGB JPEG"),
    "animated gif": ([gif(3)], "one picture a file"),
    "two sizes": ([encoded(PIXELS), encoded(NOISE[:1, :2])], "one size in a batch"),
    "no first": ([encoded(PIXELS), b""], "a JPEG, PNG, BMP, GIF or WebP file"),
    "png of 100,000 x 100,000": ([png_of(100_000, 100_000)], "at most 20000 pixels in a request"),
    "png of 2^32 x 2^32": ([png_of(2**32 - 1, 2**32 - 1)], "at most 20000 pixels in a request"),
    "png of 150 x 150": ([encoded(np.zeros((150, 150, 3), np.uint8))], "at most 20000 pixels in a request"),
    "jpeg of 150 x 150": ([encoded(np.zeros((150, 150, 3), np.uint8), "jpeg")], "at most 20000 pixels"),
    "webp of 150 x 150": ([encoded(np.zeros((150, 150, 3), np.uint8), "webp", lossless=True)], "at most 20000 pixels"),
    "gif of 150 x 150": ([encoded(np.zeros((150, 150), np.uint8), "gif")], "at most 20000 pixels in a request"),
    "three of 90 x 90": ([encoded(np.zeros((90, 90, 3), np.uint8))] * 3, "at most 20000 pixels in a request"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_hostile_files_are_an_error_of_the_request(signatures, what):
    data, message = REFUSED[what]
    for signature in ("serving_default", "png"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message or None):
            signatures[signature](image_bytes=tf.constant(data))
    assert signatures["serving_default"](image_bytes=tf.constant([encoded(PIXELS)]))["classes"].shape == (1, 1, 3)


def test_too_many_pixels_are_refused_in_images_too(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 20000 pixels in a request"):
        signatures["predict_images"](images=tf.zeros([1, 150, 150, 3], tf.uint8))
    assert signatures["predict_images"](images=tf.zeros([2, 100, 100, 3], tf.uint8))["classes"].shape == (2, 100, 100)


GRAY = np.array([[10, 250]], np.uint8)
UNUSUAL = {  # the file, and the pixels that preparation reads
    "1x1": (encoded(np.array([[[9, 8, 7]]], np.uint8)), [[[9, 8, 7]]]),
    "gray png": (encoded(GRAY), [[[10] * 3, [250] * 3]]),
    "rgba png": (encoded(np.concatenate([PIXELS, PIXELS[..., :1]], -1)), PIXELS),
    "png of 16 bits": (encoded(GRAY.astype(np.uint16) * 256 + 3), [[[10] * 3, [250] * 3]]),
    "gif": (gif(1), np.zeros((4, 5, 3))),
    "lossless webp": (encoded(PIXELS, "webp", lossless=True), PIXELS),
}


@pytest.mark.parametrize("what", UNUSUAL)
def test_unusual_files_are_read_as_preparation_reads_them(loaded, what):
    data, pixels = UNUSUAL[what]
    shape = np.shape(pixels)
    # The scores of this network are the pixels.
    np.testing.assert_array_equal(loaded.scores(tf.constant(pixels, tf.uint8)[tf.newaxis])[0], pixels)
    result = loaded.signatures["serving_default"](image_bytes=tf.constant([data]))
    np.testing.assert_array_equal(result["classes"][0], np.argmax(pixels, -1))
    assert result["confidence"].shape == (1, *shape[:2])
    largest = np.max(tf.nn.softmax(np.asarray(pixels, np.float32)), -1)
    np.testing.assert_allclose(result["confidence"][0], largest, rtol=1e-6)


def test_the_warm_up_requests_run(exported, signatures):
    """As TensorFlow Serving reads them, by its own protos."""
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")
    from tensorflow_serving.apis import prediction_log_pb2

    ran = []
    for record in tf.data.TFRecordDataset(str(exported / warm_up.FILE)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        signatures[request.model_spec.signature_name](**inputs)
        ran.append(request.model_spec.signature_name)
    assert sorted(ran) == sorted(signatures)


def test_the_warm_up_requests_are_protos_of_these_bytes():
    """By hand: a field is its number << 3 | 2, a length and the bytes. 1 << 3 | 2 = 10, 2: 18, 3: 26, 6: 50."""
    tensor = tf.make_tensor_proto(np.zeros([200], np.uint8)).SerializeToString()
    assert len(tensor) == 212  # more than 127, so that lengths take two bytes: 212 = 0b1_1010100 -> 0xD4 0x01
    entry = b"\x0a\x01x" + b"\x12\xd4\x01" + tensor  # 3 + 3 + 212 = 218 -> 0xDA 0x01
    request = b"\x0a\x05" + b"\x0a\x01m" + b"\x1a\x00" + b"\x12\xda\x01" + entry  # 7 + 3 + 218 = 228 -> 0xE4 0x01
    expected = b"\x32\xe7\x01" + b"\x0a\xe4\x01" + request  # 3 + 228 = 231 -> 0xE7 0x01
    assert warm_up.prediction_log("m", "", {"x": np.zeros([200], np.uint8)}) == expected


def test_a_folder_that_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "trained_model", lambda config: pytest.fail("the work began"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Expected a folder that can be written.*file is a file"):
        export.export(Config(mode="export", workdir=str(tmp_path), output_dir=str(tmp_path / "file" / "model")))
    with pytest.raises(ValueError, match="with files"):
        export.export(Config(mode="export", workdir=str(tmp_path), output_dir=str(tmp_path / "file")))
    assert os.listdir(tmp_path) == ["file"]


def test_an_export_that_fails_leaves_nothing_and_the_one_before(exported, network, monkeypatch):
    monkeypatch.setattr(evaluate, "trained_model", lambda config: (network, checkpoint.State(classes=CLASSES)))
    monkeypatch.setattr(export_check, "compare", lambda *_: (_ for _ in ()).throw(ValueError("another model")))
    with pytest.raises(ValueError, match="another model"):
        export.export(Config(mode="export", workdir=str(exported.parent), output_dir=str(exported), overwrite=True))
    assert os.listdir(exported.parent) == ["model"]
    assert (exported / "saved_model.pb").is_file()


def test_a_version_is_a_folder_below(network, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "trained_model", lambda config: (network, checkpoint.State(classes=CLASSES)))
    monkeypatch.setattr(export_check, "compare", lambda *_: export_check.Comparison(1, 0.0, 1.0))
    for version in (1, 3):
        export.export(
            Config(mode="export", workdir=str(tmp_path), output_dir=str(tmp_path / "m"), model_version=version)
        )
    assert sorted(os.listdir(tmp_path / "m")) == ["1", "3"]
    assert (tmp_path / "m" / "3" / "saved_model.pb").is_file()
    with pytest.raises(ValueError, match="with files"):  # versions are no export
        export.export(Config(mode="export", workdir=str(tmp_path), output_dir=str(tmp_path / "m"), overwrite=True))
