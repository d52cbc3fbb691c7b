"""--init_from=hf:..: a Hub on this machine, and a cache filled by hand. Nothing leaves the machine."""

import contextlib
import http.server
import pathlib
import re
import sys
import threading

import keras
import numpy as np
import pytest

from models import weights
from tfseg import hub, initialize

constants = pytest.importorskip("huggingface_hub.constants", reason="the extra `hub` is not installed")

COMMIT, OTHER = "a" * 40, "b" * 40
KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


def safetensors(tmp_path, state):
    weights.write(tmp_path / "a.safetensors", state)
    return (tmp_path / "a.safetensors").read_bytes()


@contextlib.contextmanager
def served(repositories, requests):
    """A server for {"owner/name": {revision: {file: bytes}}} that answers as the Hub; a text instead is an error's code."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            if "/resolve/" in self.path:  # it may also ask for something about itself
                requests.append(self.path)
            if data := self.answer():
                self.wfile.write(data)

        def answer(self):
            name, _, rest = self.path.removeprefix("/").partition("/resolve/")
            revision, file = re.fullmatch(r"(refs/pr/\d+|[^/]*)/?(.*)", rest.replace("%2F", "/")).groups()
            revisions = repositories.get(name, "RepoNotFound")
            files = revisions if isinstance(revisions, str) else revisions.get(revision, "RevisionNotFound")
            data = "EntryNotFound" if isinstance(files, dict) and file not in files else files
            if isinstance(data, dict):
                data = data[file]
            self.send_response(200 if isinstance(data, bytes) else 404)
            if isinstance(data, str):
                self.send_header("X-Error-Code", data)
            self.send_header("X-Repo-Commit", OTHER if revision == "refs/pr/1" else COMMIT)
            self.send_header("ETag", f'"{abs(hash(data))}"')
            self.send_header("Content-Length", str(len(data) if isinstance(data, bytes) else 0))
            self.end_headers()
            return data if isinstance(data, bytes) else b""

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def requests(tmp_path, monkeypatch):
    """The paths of files that are downloaded from the Hub of this test."""
    requests = []
    repositories = {
        "them/both": {"main": {"model.safetensors": b"safe", "pytorch_model.bin": b"pickle", "in/best.pth": b"best"}},
        "them/old": {"main": {"pytorch_model.bin": b"pickle"}, "refs/pr/1": {"model.safetensors": b"converted"}},
        "them/none": {"main": {"README.md": b"hello"}},
        "them/gated": "GatedRepo",
    }
    with served(repositories, requests) as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield requests


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("hf:them/both", b"safe"),
        ("hf:them/both/pytorch_model.bin", b"pickle"),
        ("hf:them/both/in/best.pth", b"best"),
        ("hf:them/old", b"pickle"),
        ("hf:them/old@main", b"pickle"),
        ("hf:them/old@refs/pr/1", b"converted"),
        ("hf:them/old@refs/pr/1/model.safetensors", b"converted"),
    ],
)
def test_a_file_is_downloaded_once(requests, source, content):
    for _ in range(2):
        assert hub.path(source).read_bytes() == content
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("hf:them/none", "a repository without it"),
        ("hf:them/both/other.pth", "a repository without it"),
        ("hf:them/both@v9", "without this revision"),
        ("hf:them/gated", "licence has to be accepted"),
        ("hf:us/nothing", "no repository of this name"),
    ],
)
def test_what_is_not_there_is_said(requests, source, problem):
    with pytest.raises(FileNotFoundError, match=rf"Expected to download .*Received: .*{problem}.*hf auth login"):
        hub.path(source)
    assert not requests


def test_without_a_network_the_cache_is_enough(requests, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=r"no answer of the Hub, and no such file in its cache.*give its path"):
        hub.path("hf:them/both")
    # The layout of $HF_HOME/hub: the commit of a branch, and the files of a commit.
    folder = tmp_path / "cache" / "models--them--both"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / "pytorch_model.bin").write_bytes(b"older")
    for source in ("hf:them/both", f"hf:them/both@{COMMIT}"):
        assert hub.path(source).read_bytes() == b"older"
    assert not requests


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"Expected the package huggingface_hub.*pip install '\.\[hub\]'"):
        hub.path("hf:them/both")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:a/b", ("a/b", None, hub.FILES)),
        ("hf:a/b-1.5_c@v1.0", ("a/b-1.5_c", "v1.0", hub.FILES)),
        ("hf:a/b@refs/pr/12", ("a/b", "refs/pr/12", hub.FILES)),
        ("hf:a/b@refs/pr/12/c/d.pth", ("a/b", "refs/pr/12", ("c/d.pth",))),
        ("hf:a/b/c/d.safetensors", ("a/b", None, ("c/d.safetensors",))),
    ],
)
def test_names(source, expected):
    assert hub.is_named(source)
    assert hub.parse(source) == expected


@pytest.mark.parametrize("source", ["hf:", "hf:a", "hf:a/", "hf:a/b@", "hf:a/b/", "hf:a/b@c@d", "hf:a b/c", "hf:/a/b"])
def test_wrong_names(source):
    with pytest.raises(ValueError, match="Expected --init_from=hf:<owner>/<name>"):
        hub.parse(source)


def test_a_file_without_weights_is_refused():
    with pytest.raises(ValueError, match=r"endings \.keras.*\.safetensors.*Received: hf:a/b/config\.json"):
        hub.parse("hf:a/b/config.json")


def test_a_network_starts_from_it(requests, tmp_path, monkeypatch):
    """What it holds besides, a beginning of all names and the weights of a loss, is left out."""
    folder = tmp_path / "cache" / "models--them--mine" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    state = {
        "model.head.weight": KERNEL,
        "model.head.bias": KERNEL[:, 0],
        "criterion.empty_weight": np.ones(4, np.float32),
    }
    (folder / "model.safetensors").write_bytes(safetensors(tmp_path, state))
    x = keras.Input((3,))
    for start in (initialize.load, initialize.transfer):
        model = keras.Model(x, keras.layers.Dense(2, name="head")(x))
        initialize.check(model, f"hf:them/mine@{COMMIT}")
        start(model, f"hf:them/mine@{COMMIT}")
        np.testing.assert_array_equal(model.layers[-1].kernel, KERNEL.T)
        np.testing.assert_array_equal(model.layers[-1].bias, KERNEL[:, 0])
    assert isinstance(initialize.located(f"hf:them/mine@{COMMIT}"), pathlib.Path)
