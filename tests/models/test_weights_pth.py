"""PyTorch's files without PyTorch: both formats of torch.save, and files that are damaged, inconsistent or hostile."""

import collections
import hashlib
import io
import os
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest

from models import weights
from models.weights import pth

SHARED = pathlib.Path(__file__).parents[2].parent / "shared" / "weights"
MAGIC = 0x1950A86A20F9469CFC6C
KINDS = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "b1": "BoolStorage"}


@pytest.fixture
def torch(monkeypatch):
    """Stand-ins for the names that a pickle of torch refers to; a name is all that a pickle holds of them."""
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in (*KINDS.values(), "BFloat16Storage"):
        setattr(module, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*arguments):
        return arguments

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return module


class Saved:
    """A tensor as torch pickles it: a call of _rebuild_tensor_v2 with its storage stored elsewhere."""

    def __init__(self, torch, array, key, kind="", offset=0, size=None, strides=None, count=None, data=None):
        self.data = array.tobytes() if data is None else data
        self.key, self.kind = key, getattr(torch, kind or KINDS[array.dtype.str[1:]])
        self.count = array.size if count is None else count
        self.rebuild, self.offset = sys.modules["torch._utils"]._rebuild_tensor_v2, offset
        self.size = array.shape if size is None else size
        elements = [s // array.itemsize for s in array.strides]
        self.strides = tuple(elements) if strides is None else strides

    def __reduce__(self):
        storage = Stored(("storage", self.kind, self.key, "cpu", self.count))
        return self.rebuild, (storage, self.offset, self.size, self.strides, False, collections.OrderedDict())


class Stored:
    def __init__(self, identity):
        self.identity = identity


class Pickler(pickle._Pickler):
    tail = ()

    def persistent_id(self, obj):
        return (*obj.identity, *self.tail) if isinstance(obj, Stored) else None


def pickled(value, tail=()):
    file = io.BytesIO()
    pickler = Pickler(file, protocol=2)
    pickler.tail = tail
    pickler.dump(value)
    return file.getvalue()


def write_zip(path, content, tensors, compression=zipfile.ZIP_STORED, order=b"little"):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("weights/data.pkl", pickled(content))
        archive.writestr("weights/byteorder", order)
        for tensor in tensors:
            archive.writestr(f"weights/data/{tensor.key}", tensor.data)
        archive.writestr("weights/version", b"3\n")
    return path


def write_stream(path, content, tensors):
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle.dumps(value, 2) for value in (MAGIC, 1001, system)]
    parts += [pickled(content, tail=(None,)), pickle.dumps([tensor.key for tensor in tensors], 2)]
    parts += [struct.pack("<q", tensor.count) + tensor.data for tensor in tensors]
    path.write_bytes(b"".join(parts))
    return path


WRITERS = [write_zip, write_stream]


@pytest.mark.parametrize("write", WRITERS)
def test_both_formats_with_offsets_strides_and_types(torch, tmp_path, write):
    numbers = np.arange(12, dtype="f4").reshape(3, 4)
    tensors = {
        "whole": Saved(torch, numbers, "0"),
        # The transpose of rows 1 and 2: starts at number 4, one step down is 1 number, one step right 4 numbers.
        "part": Saved(torch, numbers, "1", offset=4, size=(4, 2), strides=(1, 4)),
        "scalar": Saved(torch, np.array(7), "2"),
        "half": Saved(torch, np.array([1.5, -2], "f2"), "3"),
        "double": Saved(torch, np.array([[1e-300]]), "4"),
        "bool": Saved(torch, np.array([True, False]), "5"),
        # 1.5 is 0x3FC0 in bfloat16, the upper half of float32's 0x3FC00000.
        "bfloat": Saved(torch, np.array([0x3FC0], "u2"), "6", kind="BFloat16Storage"),
        "empty": Saved(torch, np.zeros((0, 3), "f4"), "7"),
    }
    path = write(tmp_path / "a.pth", collections.OrderedDict(tensors), list(tensors.values()))
    found = weights.read(path)
    np.testing.assert_array_equal(found["whole"], numbers)
    np.testing.assert_array_equal(found["part"], numbers[1:].T)
    assert found["scalar"].shape == ()
    assert found["scalar"] == 7
    assert found["half"].tolist() == [1.5, -2]
    assert found["double"].tolist() == [[1e-300]]
    assert found["bool"].tolist() == [True, False]
    assert (found["bfloat"].tolist(), found["bfloat"].dtype) == ([1.5], np.float32)
    assert found["empty"].shape == (0, 3)
    assert [found[key].dtype.str for key in ("whole", "scalar", "half", "double")] == ["<f4", "<i8", "<f2", "<f8"]


def test_another_byte_order(torch, tmp_path):
    tensor = Saved(torch, np.array([1.0, 2.0], ">f4"), "0", kind="FloatStorage")
    path = write_zip(tmp_path / "a.pth", {"a": tensor}, [tensor], order=b"big")
    assert weights.read(path)["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("write", WRITERS)
def test_state_dicts_are_unwrapped(torch, tmp_path, write):
    tensor = Saved(torch, np.ones(2, "f4"), "0")
    for wrapper in ("state_dict", "model", "model_state"):
        path = write(tmp_path / "a.pth", {wrapper: {"module.a": tensor}, "epoch": 4}, [tensor])
        assert list(weights.read(path)) == ["module.a"]
    path = write(tmp_path / "a.pth", {"epoch": 4}, [])
    with pytest.raises(ValueError, match="tensors only"):
        weights.read(path)


@pytest.mark.parametrize("write", WRITERS)
def test_numbers_beside_the_tensors_are_left_out(torch, tmp_path, write):
    """A best score of NumPy, and a list in the state dict itself; but no tensors in a place that we do not know."""
    tensor = Saved(torch, np.ones(2, "f4"), "0")
    for content in (
        {"model_state": {"a": tensor}, "best_score": np.float64(0.7), "epoch": 4},
        {"a": tensor, "mask_values": [0, 1], "best": np.float32(0.7)},
    ):
        read = weights.read(write(tmp_path / "a.pth", content, [tensor]))
        assert list(read) == ["a"]
        np.testing.assert_array_equal(read["a"], [1, 1])
    refused = ({"a": tensor, "net": {"b": tensor}}, [tensor]), ({"a": tensor, "b": [tensor]}, [tensor])
    for content, tensors in (*refused, ({"best": np.float64(0.7)}, [])):
        with pytest.raises(ValueError, match="tensors only"):
            weights.read(write(tmp_path / "a.pth", content, tensors))


@pytest.mark.parametrize("write", WRITERS)
def test_a_cut_file_is_refused_at_any_length(torch, tmp_path, write):
    tensor = Saved(torch, np.ones(50, "f4"), "0")
    whole = write(tmp_path / "a.pth", {"a": tensor}, [tensor]).read_bytes()
    for length in (*range(0, len(whole), 7), len(whole) - 1):
        (tmp_path / "a.pth").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"whole checkpoint of tensors\. Received: .*a\.pth"):
            weights.read(tmp_path / "a.pth")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "lie",
    [
        {"offset": 45},
        {"offset": -1},
        {"size": (51,), "strides": (1,)},
        {"size": (2, 50), "strides": (1, 1)},
        {"size": (10**9,), "strides": (0,)},
        {"size": (10,), "strides": (-1,)},
        {"size": (10, 5), "strides": (1,)},
        {"size": (2.5,), "strides": (1,)},
        {"count": 10**12},
        {"count": 51},
        {"count": -1},
    ],
)
def test_lies_about_sizes_are_refused(torch, tmp_path, write, lie):
    options = {"size": (50,), "strides": (1,)} | lie if "offset" not in lie else {"size": (10,), "strides": (1,)} | lie
    tensor = Saved(torch, np.ones(50, "f4"), "0", **options)
    path = tmp_path / "a.pth"
    with pytest.raises(ValueError, match=r"whole checkpoint of tensors"):
        weights.read(write(path, {"a": tensor}, [tensor]))


def test_a_compressed_storage_is_refused(torch, tmp_path):
    tensor = Saved(torch, np.zeros(10**6, "f4"), "0")
    path = write_zip(tmp_path / "a.pth", {"a": tensor}, [tensor], compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="storage 0"):
        weights.read(path)


class Hostile:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "call", [(os.system, "touch owned"), (eval, "open('owned', 'w')"), (print, "x"), (bytearray, 9)]
)
def test_code_is_refused_by_name_and_does_not_run(torch, tmp_path, monkeypatch, write, call):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.pth", {"a": Hostile(*call)}, [])
    with pytest.raises(ValueError, match=rf"\.{call[0].__name__}, which is no tensor and could run code"):
        weights.read(path)
    assert not (tmp_path / "owned").exists()


def test_a_plain_pickle_and_other_files_are_refused(tmp_path):
    for content in (
        pickle.dumps({"a": 1}),
        b"",
        b"no pickle",
        b"PK\x03\x04",
        bytes(range(256)),
        b"\x80\x02r\xff\xff\xff\x7f.",
    ):
        (tmp_path / "a.pth").write_bytes(content)
        with pytest.raises(ValueError, match="whole checkpoint"):
            pth.load(tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        archive.writestr("readme.txt", "none")
    with pytest.raises(ValueError, match=r"without the one data\.pkl"):
        pth.load(tmp_path / "b.pth")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published checkpoints of ../shared/weights are not here")
def test_published_files():
    """Counts and hashes from SOURCE.md; the number of parameters is the authors'."""
    facts = {"espnet_p_2_q_8": ("343b0e77", 364569), "espnet_p_2_q_8_camvid": ("7d354a25", 354517)}
    for name, (digest, parameters) in facts.items():
        path = SHARED / f"{name}.pth"
        assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest)
        state = weights.read(path)
        counted = [
            v for k, v in state.items() if not k.endswith(("running_mean", "running_var", "num_batches_tracked"))
        ]
        assert sum(v.size for v in counted) == parameters
        assert all(np.isfinite(v).all() for v in state.values())


def test_as_torch_reads_them(tmp_path):
    """All dtypes, both formats, views and parameters, against PyTorch itself."""
    torch = pytest.importorskip("torch", reason="needs the torch package, to write and compare")
    generator = torch.Generator().manual_seed(0)
    state = collections.OrderedDict()
    for kind in (
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
        "complex64",
    ):
        values = torch.rand(3, 4, generator=generator) * 100
        state[kind] = values.to(getattr(torch, kind))
    base = torch.arange(24.0).reshape(2, 3, 4)
    state |= {"view": base[1, :, ::2], "transposed": base.permute(2, 0, 1), "parameter": torch.nn.Parameter(base)}
    for legacy in (True, False):
        if not legacy:  # torch cannot write this in the older format
            state["uint16"] = torch.tensor([1, 65535], dtype=torch.uint16)
        path = tmp_path / f"{legacy}.pth"
        torch.save(state, path, _use_new_zipfile_serialization=not legacy)
        found = weights.read(path)
        expected = torch.load(path, weights_only=True)
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            tensor = tensor.detach()
            array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
            np.testing.assert_array_equal(found[key], array, err_msg=f"{key} {legacy=}")
            assert found[key].dtype == array.dtype
    for name in ("espnet_p_2_q_8", "espnet_p_2_q_8_camvid", "espnetv2_s_2.0_city_1024x512"):
        if SHARED.is_dir():
            expected = torch.load(SHARED / f"{name}.pth", map_location="cpu", weights_only=True)
            for key, array in weights.read(SHARED / f"{name}.pth").items():
                np.testing.assert_array_equal(array, expected[key].numpy(), err_msg=key)
